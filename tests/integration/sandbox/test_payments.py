"""A payment moves real coins on a real local chain, once, and says so; without a chain it refuses to pretend."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from notifier.sandbox.server import SandboxOptions, open_sandbox
from tests.integration.sandbox.conftest import EVM, TOP_UP, StripeClient, until
from tests.integration.sandbox.door import open_door
from tests.nodes.anvil import COIN, Anvil
from tests.nodes.solana import SOL, SolanaNode

USDC = {**TOP_UP, "destination_currencies[0]": "usdc", "destination_currency": "usdc", "destination_amount": "12.5"}


async def test_no_chain_no_payment(stripe: StripeClient) -> None:
    """Nothing could arrive, so nothing is paid; with "0" delivered it completes without a transaction."""
    session = await stripe.session()
    status, body = await stripe.pay(session["id"])
    assert status == 409
    assert "no local chain" in body["error"]["message"]
    _, again, _ = await stripe.get("/" + session["id"])
    assert again["status"] == "initialized"

    status, paid = await stripe.pay(session["id"], deliver="0")
    assert (status, paid["status"], paid["transaction_details"]["transaction_id"]) == (
        200,
        "fulfillment_complete",
        None,
    )


async def test_reject(stripe: StripeClient) -> None:
    """A refused person's session is terminal: it can't be paid afterwards."""
    session = await stripe.session()
    status, body = await stripe.pay(session["id"], then="reject")
    assert (status, body["status"]) == (200, "rejected")
    assert (await stripe.pay(session["id"], deliver="0"))[0] == 409


async def test_paid_but_not_delivered(stripe: StripeClient) -> None:
    """`processing` is paid and stays so: it can be completed, not refused, and after that neither."""
    session = await stripe.session()
    assert (await stripe.pay(session["id"], then="processing", deliver="0"))[1]["status"] == "fulfillment_processing"
    assert (await stripe.pay(session["id"], then="reject"))[0] == 409
    assert (await stripe.pay(session["id"], deliver="0"))[1]["status"] == "fulfillment_complete"
    assert (await stripe.pay(session["id"], deliver="0"))[0] == 409


@pytest.mark.parametrize("deliver", ["-1", "1e3", "1_0", "NaN", "x", "0." + "1" * 19, "9" * 80])
async def test_odd_amounts(stripe: StripeClient, deliver: str) -> None:
    """Only a plain number with the asset's decimals is an amount."""
    session = await stripe.session()
    assert (await stripe.pay(session["id"], deliver=deliver))[0] == 409


async def test_outside_the_locks(stripe: StripeClient) -> None:
    """The lists of a session bind: another currency is not sold in its place."""
    session = await stripe.session()
    assert (await stripe.pay(session["id"], deliver="0", currency="usdc"))[0] == 409
    assert (await stripe.pay(session["id"], deliver="0", network="base"))[0] == 409


async def test_unknown_session_and_order(stripe: StripeClient) -> None:
    """404, and 400 with the shape that is taken."""
    session = await stripe.session()
    assert (await stripe.pay("cos_unknown"))[0] == 404
    assert (await stripe.pay(session["id"], then="explode"))[0] == 400
    assert (await stripe.pay(session["id"], amount="1"))[0] == 400


@pytest.fixture
async def anvil() -> AsyncIterator[Anvil]:
    async with Anvil() as node:
        yield node


@pytest.mark.evm
async def test_coins_on_ethereum(anvil: Anvil, http: aiohttp.ClientSession) -> None:
    """What was asked arrives, the transaction is the chain's own, and pressing twice at once delivers once."""
    async with open_sandbox(SandboxOptions("127.0.0.1", 0, evm_rpc=anvil.http)) as url:
        stripe = StripeClient(url, http)
        session = await stripe.session()
        answers = await asyncio.gather(*(stripe.pay(session["id"]) for _ in range(3)))

    assert sorted(status for status, _ in answers) == [200, 409, 409]
    paid = next(body for status, body in answers if status == 200)
    assert await anvil.balance(EVM) == COIN // 2
    receipt = await anvil.rpc("eth_getTransactionReceipt", paid["transaction_details"]["transaction_id"])
    assert receipt["to"] == EVM.lower()


@pytest.mark.evm
async def test_another_amount_than_asked(anvil: Anvil, http: aiohttp.ClientSession) -> None:
    """People may edit the amount: less arrives, and the session says how much."""
    async with open_sandbox(SandboxOptions("127.0.0.1", 0, evm_rpc=anvil.http)) as url:
        stripe = StripeClient(url, http)
        _, paid = await stripe.pay((await stripe.session())["id"], deliver="0.1")
    assert paid["transaction_details"]["destination_amount"] == "0.100000000000000000"
    assert await anvil.balance(EVM) == COIN // 10


@pytest.mark.evm
async def test_tokens_on_ethereum(anvil: Anvil, http: aiohttp.ClientSession) -> None:
    """A token is minted where its contract is known, and refused by name where it is not."""
    payer = (await anvil.accounts())[0]
    token = await anvil.deploy(payer, "Token")
    options = SandboxOptions("127.0.0.1", 0, evm_rpc=anvil.http, evm_tokens={"usdc": token})
    async with open_sandbox(options) as url:
        stripe = StripeClient(url, http)
        status, body, _ = await stripe.create(USDC)
        assert status == 200
        assert (await stripe.pay(body["id"]))[0] == 200
    assert await anvil.balance(EVM, token) == 12_500_000

    async with open_sandbox(SandboxOptions("127.0.0.1", 0, evm_rpc=anvil.http)) as url:
        stripe = StripeClient(url, http)
        _, body, _ = await stripe.create(USDC)
        status, answer = await stripe.pay(body["id"])
    assert status == 409
    assert "--evm-token" in answer["error"]["message"]


async def has_pending(anvil: Anvil) -> bool:
    return bool((await anvil.rpc("txpool_status"))["pending"] != "0x0")


@pytest.mark.evm
async def test_slow_block(anvil: Anvil, http: aiohttp.ClientSession) -> None:
    """While the transfer waits for its block the session is processing; complete comes with the block."""
    await anvil.rpc("evm_setAutomine", False)
    async with open_sandbox(SandboxOptions("127.0.0.1", 0, evm_rpc=anvil.http)) as url:
        stripe = StripeClient(url, http)
        session = await stripe.session()
        payment = asyncio.create_task(stripe.pay(session["id"]))
        await until(lambda: has_pending(anvil))
        _, shown, _ = await stripe.get("/" + session["id"])
        assert shown["status"] == "fulfillment_processing"
        assert shown["transaction_details"]["transaction_id"] is None
        await anvil.mine()
        status, paid = await payment
    assert (status, paid["status"]) == (200, "fulfillment_complete")


@pytest.mark.evm
async def test_dead_node(anvil: Anvil, http: aiohttp.ClientSession) -> None:
    """A node that does not answer is said to whoever paid; the session stays paid and can be completed later."""
    async with open_sandbox(SandboxOptions("127.0.0.1", 0, evm_rpc=anvil.http)) as url:
        stripe = StripeClient(url, http)
        session = await stripe.session()
        anvil.kill()
        status, body = await stripe.pay(session["id"])
        assert status == 409
        assert "does not answer" in body["error"]["message"]
        await anvil.start()
        status, paid = await stripe.pay(session["id"])
    assert (status, paid["status"]) == (200, "fulfillment_complete")
    assert await anvil.balance(EVM) == COIN // 2


@pytest.mark.evm
async def test_sent_once(anvil: Anvil, http: aiohttp.ClientSession) -> None:
    """A transfer that nobody could wait for is waited for by the next press of Pay, and not sent again."""
    async with AsyncExitStack() as stack:
        door, front = await stack.enter_async_context(open_door(anvil.http, http))
        options = SandboxOptions("127.0.0.1", 0, evm_rpc=front)
        stripe = StripeClient(await stack.enter_async_context(open_sandbox(options)), http)
        session = await stripe.session()
        door.refused = "eth_getTransactionReceipt"
        assert (await stripe.pay(session["id"]))[0] == 409
        _, shown, _ = await stripe.get("/" + session["id"])
        assert shown["status"] == "fulfillment_processing"
        door.refused = ""
        status, paid = await stripe.pay(session["id"])
    assert (status, paid["status"]) == (200, "fulfillment_complete")
    assert door.seen.count("eth_sendTransaction") == 1
    assert await anvil.balance(EVM) == COIN // 2


@pytest.fixture
async def solana() -> AsyncIterator[SolanaNode]:
    async with SolanaNode() as node:
        yield node


def ask_for_sol(owner: Pubkey) -> dict[str, str]:
    return {
        "wallet_addresses[solana]": str(owner),
        "destination_networks[0]": "solana",
        "destination_network": "solana",
        "destination_currency": "sol",
        "destination_amount": "1.5",
    }


@pytest.mark.solana
async def test_coins_on_solana(solana: SolanaNode, http: aiohttp.ClientSession) -> None:
    """SOL arrives; two equal payments to one address at the same moment are two transactions."""
    owner = Keypair().pubkey()
    fields = ask_for_sol(owner)
    async with open_sandbox(SandboxOptions("127.0.0.1", 0, solana_rpc=solana.rpc_url)) as url:
        stripe = StripeClient(url, http)
        made = [(await stripe.create(fields))[1]["id"] for _ in range(2)]
        answers = await asyncio.gather(*(stripe.pay(session) for session in made))
    assert [status for status, _ in answers] == [200, 200], answers
    assert len({body["transaction_details"]["transaction_id"] for _, body in answers}) == 2
    assert await solana.lamports(owner) == 3 * SOL


@pytest.mark.solana
async def test_many_at_once_on_solana(solana: SolanaNode, http: aiohttp.ClientSession) -> None:
    """Payments at the same moment don't take each other's coins: each of them arrives in full."""
    owners = [Keypair().pubkey() for _ in range(24)]
    async with open_sandbox(SandboxOptions("127.0.0.1", 0, solana_rpc=solana.rpc_url)) as url:
        stripe = StripeClient(url, http)
        made = [(await stripe.create(ask_for_sol(owner)))[1]["id"] for owner in owners]
        answers = [await stripe.pay(made[0])]
        for start in (1, 9, 17):  # in waves: what one wave leaves is what the next one starts with
            answers += await asyncio.gather(*(stripe.pay(session) for session in made[start : start + 8]))
    assert [status for status, _ in answers] == [200] * len(owners), answers
    assert [await solana.lamports(owner) for owner in owners] == [SOL * 3 // 2] * len(owners)


@pytest.mark.evm
async def test_many_at_once_on_ethereum(anvil: Anvil, http: aiohttp.ClientSession) -> None:
    """Payments at the same moment get nonces of their own: each of them arrives, as a transaction of its own."""
    async with open_sandbox(SandboxOptions("127.0.0.1", 0, evm_rpc=anvil.http)) as url:
        stripe = StripeClient(url, http)
        made = [(await stripe.session())["id"] for _ in range(16)]
        answers = await asyncio.gather(*(stripe.pay(session) for session in made))
    assert [status for status, _ in answers] == [200] * len(made), answers
    assert len({body["transaction_details"]["transaction_id"] for _, body in answers}) == len(made)
    assert await anvil.balance(EVM) == len(made) * COIN // 2


@pytest.mark.solana
async def test_tokens_on_solana(solana: SolanaNode, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Tokens are minted by the given authority into an account that is opened for a new owner."""
    mint, owner = await solana.create_mint(), Keypair().pubkey()
    file = tmp_path / "authority.json"
    file.write_text(json.dumps(list(bytes(solana.bank))))
    fields = {
        "wallet_addresses[solana]": str(owner),
        "destination_networks[0]": "solana",
        "destination_network": "solana",
        "destination_currency": "usdc",
        "destination_amount": "7.25",
    }
    tokens = {"usdc": (str(mint.address), file)}
    async with open_sandbox(SandboxOptions("127.0.0.1", 0, solana_rpc=solana.rpc_url, solana_tokens=tokens)) as url:
        stripe = StripeClient(url, http)
        status, body, _ = await stripe.create(fields)
        assert status == 200
        status, paid = await stripe.pay(body["id"])
    assert status == 200, paid
    assert await solana.tokens(mint, owner) == 7_250_000


async def test_ledger_on_disk(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Each request is in the file before its answer, so that a kill loses nothing that was answered."""
    file = tmp_path / "ledger.jsonl"
    async with open_sandbox(SandboxOptions("127.0.0.1", 0, ledger=file)) as url:
        stripe = StripeClient(url, http)
        session = await stripe.session()
        (first,) = [json.loads(line) for line in file.read_text().splitlines()]
        assert (first["operation"], first["session"]) == ("create", session["id"])
        await stripe.pay(session["id"], then="reject")
    assert [json.loads(line)["operation"] for line in file.read_text().splitlines()] == ["create", "pay"]
