"""Each recipe of Stripe's onramp guide, from a signed webhook or a call to landed, on both local chains at once."""

import asyncio
import json
import time
from base64 import b64encode
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from spl.token import instructions as spl
from spl.token import models

from notifier.signatures import sign
from scripts.local_world import LocalWorld, Owner, Plan, build_world
from tests.nodes.anvil import selector_data
from tests.nodes.processes import new_secret

pytestmark = [pytest.mark.acceptance, pytest.mark.evm, pytest.mark.solana]

SECRET = new_secret()
PLAN = Plan(
    policies='[policies.default]\nnetworks = ["local-evm", "local-solana"]\n',
    more=f"""\
[tenants.default.sources.app]
secret = "{SECRET}"
[[networks.local-evm.assets]]
symbol = "SHIB"
reference = "0x95aD61b0a150d79219dCF64E1E6Cc01f0B64C4cE"
decimals = 18
[[networks.local-solana.assets]]
symbol = "BONK"
reference = "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263"
decimals = 5
[rates]
peg = {{ USDC = "usd" }}
""",
)
EVM = "0xB00F0759DbeeF5E543Cc3E3B07A6442F5f3928a2"
USDC = 10**6
COIN = {"local-evm": ("ETH", 10**18), "local-solana": ("SOL", 10**9)}
FUNDING = {"wallet_addresses", "lock_wallet_address", "destination_networks", "metadata"}
"""What the guide's first recipe sends, with the lock and our mark; others add the pair, and an amount that is known."""
PAIR = {"destination_network", "destination_currency", "destination_currencies"}

Story = Callable[[LocalWorld, str, Owner], Coroutine[Any, Any, None]]


async def tell(story: Story, folder: Path, sent: set[str]) -> None:
    """The story on Ethereum and on Solana, at the same time; Stripe is `sent` these fields for it, and nothing else."""
    owners: dict[str, Owner] = {"local-evm": EVM, "local-solana": Keypair()}
    async with AsyncExitStack() as stack:
        world = await build_world(stack, folder, PLAN)
        async with asyncio.TaskGroup() as stories:
            for network, owner in owners.items():
                stories.create_task(story(world, network, owner))
        created = await list_created(world)
        assert created
        assert all(fields == sent for fields in created), created


async def list_created(world: LocalWorld) -> list[set[str]]:
    """The fields of each request for a session, as they arrived."""
    ledger = await world.sandbox.ledger(world.http)
    return [set(entry["params"]) for entry in ledger if entry["operation"] == "create"]


async def send(world: LocalWorld, kind: str, data: dict[str, Any]) -> None:
    """A webhook of the backend's, signed."""
    body = json.dumps({"type": kind, "data": data}).encode()
    headers = {**sign(f"msg-{kind}-{data['id']}", int(time.time()), body, [SECRET]), "Content-Type": "application/json"}
    async with world.http.post(f"{world.daemon.url}/webhooks/backend/app", data=body, headers=headers) as answer:
        assert answer.status == 202, await answer.text()


async def register(world: LocalWorld, network: str, owner: Owner, **more: Any) -> dict[str, Any]:
    """A wallet with a little of the coin, so that it exists on chain."""
    coin, unit = COIN[network]
    await world.give(owner, coin, unit // 20)
    return {"id": f"w-{network}", "addresses": {network: address_of(owner)}, **more}


def address_of(owner: Owner) -> str:
    return str(owner.pubkey()) if isinstance(owner, Keypair) else owner


async def post(world: LocalWorld, path: str, body: dict[str, Any]) -> Any:
    status, answer = await world.backend.call("POST", path, body)
    assert status == 201, answer
    return answer


async def pay_all(world: LocalWorld, path: str) -> dict[str, Any]:
    """Pay every link of an ask as it comes, until it is covered and all that was paid has landed."""
    paid: set[str] = set()

    async def covered() -> dict[str, Any] | None:
        ask: dict[str, Any] = await world.backend.get(path)
        for top_up in ask["top_ups"]:
            if top_up["link_status"] == "ready" and top_up["id"] not in paid:
                paid.add(top_up["id"])
                await world.pay(top_up["onramp"]["session"])
        landed = all(top_up["status"] == "landed" for top_up in ask["top_ups"])
        return ask if landed and ask["status"] == "covered" else None

    return dict(await world.wait(covered, f"{path} covered"))


async def told(world: LocalWorld, kind: str, subject: str) -> dict[str, Any]:
    """The event of that type about that thing."""

    async def heard() -> dict[str, Any] | None:
        found = (e for e in world.events() if e["type"] == kind and e["subject"]["id"] == subject)
        return next(found, None)

    return dict(await world.wait(heard, f"{kind} about {subject}"))


async def test_funding(tmp_path: Path) -> None:
    """A wallet created by webhook gets one link without an asset or amount; any rise lands it."""

    async def story(world: LocalWorld, network: str, owner: Owner) -> None:
        funding = [{"when": "created", "networks": [network]}]
        wallet = await register(world, network, owner, funding=funding)
        await send(world, "wallet.created", wallet)
        ready = await world.wait_top_up("top_up.link_ready", wallet["id"])
        assert ready["asked"] is None
        coin = COIN[network][0].lower()
        await world.pay(ready["onramp"]["session"], currency=coin, deliver="0.3")  # the person chooses
        landed = await world.wait_top_up("top_up.landed", wallet["id"])
        assert landed["outcome"] == "full"

    await tell(story, tmp_path, FUNDING)


async def test_transaction(tmp_path: Path) -> None:
    """Token and gas both short: one group, gas first; both land on chain and the transaction can be made."""

    async def story(world: LocalWorld, network: str, owner: Owner) -> None:
        wallet = await register(world, network, owner)
        await world.backend.put(f"/v1/wallets/{wallet['id']}", {"addresses": wallet["addresses"]})
        coin, unit = COIN[network]
        id_ = f"tx-{network}"
        needs = [{"asset": "USDC", "amount": "12.5"}, {"asset": coin, "amount": "0.2"}]
        found = await post(
            world, "/v1/transactions", {"id": id_, "wallet": wallet["id"], "network": network, "needs": needs}
        )
        assert found["status"] == "short", found
        bill = {entry["asset"]: entry for entry in found["bill"]["assets"]}
        assert (bill["USDC"]["missing"], bill["USDC"]["asked"]) == ("12.5", "12.5")
        assert [line["what"] for line in bill[coin]["lines"]] == ["required", "gas", "buffer"]
        first, second = found["top_ups"]
        assert (first["destinations"][0]["asset"], first["group"]) == (coin, second["group"])
        covered = await pay_all(world, f"/v1/transactions/{id_}")
        assert {t["status"] for t in covered["top_ups"]} == {"landed"}
        assert await world.balance(owner, "USDC") == 12_500_000
        assert await world.balance(owner, coin) >= unit // 5
        sent = await world.spend(owner, "USDC", 12_500_000)
        done = await post_done(world, id_, sent.removeprefix("0x"))
        assert done["status"] == "done"
        assert (await told(world, "transaction.done", id_))["data"]["transaction"]["status"] == "done"

    await tell(story, tmp_path, FUNDING | PAIR | {"destination_amount"})


async def test_proposed_transaction(tmp_path: Path) -> None:
    """A transaction, unsigned: exactly what it takes of token and coin is asked for, and once landed it succeeds."""

    async def story(world: LocalWorld, network: str, owner: Owner) -> None:
        wallet = await register(world, network, owner)
        await world.backend.put(f"/v1/wallets/{wallet['id']}", {"addresses": wallet["addresses"]})
        id_ = f"proposed-{network}"
        amount = 12 * USDC + 345_678
        body = {"id": id_, "wallet": wallet["id"], "network": network, "transaction": write(world, owner, amount)}
        before = await world.backend.call("POST", "/v1/preflight", {"transaction": without(body, "id")})
        found = await post(world, "/v1/transactions", body)
        assert (before[1]["status"], found["status"]) == ("short", "short"), (before, found)
        bill = {entry["asset"]: entry for entry in found["bill"]["assets"]}
        assert bill["USDC"]["missing"] == bill["USDC"]["asked"] == "12.345678"
        assert (found["bill"]["exact"], found["bill"]["method"]) == (True, found["bill"]["method"])
        assert "gas" in {line["what"] for line in bill[COIN[network][0]]["lines"]}
        covered = await pay_all(world, f"/v1/transactions/{id_}")
        assert {t["status"] for t in covered["top_ups"]} == {"landed"}
        assert await world.balance(owner, "USDC") == amount
        await world.spend(owner, "USDC", amount)  # it was for exactly this
        assert await world.balance(owner, "USDC") == 0

    await tell(story, tmp_path, FUNDING | PAIR | {"destination_amount"})


def write(world: LocalWorld, owner: Owner, amount: int) -> Any:
    """Send USDC to somebody who has none yet: as a call on Ethereum, as a message in base64 on Solana."""
    if not isinstance(owner, Keypair):
        return {"to": world.token, "data": selector_data("transfer(address,uint256)", "0x" + "cd" * 20, amount)}
    mint, other = world.mint, Keypair().pubkey()
    opens = spl.create_idempotent_associated_token_account(owner.pubkey(), other, mint.address, mint.program)
    pays = spl.transfer_checked(
        models.TransferCheckedParams(
            program_id=mint.program,
            source=mint.account_of(owner.pubkey()),
            mint=mint.address,
            dest=mint.account_of(other),
            owner=owner.pubkey(),
            amount=amount,
            decimals=mint.decimals,
        )
    )
    return b64encode(bytes(Message.new_with_blockhash([opens, pays], owner.pubkey(), Hash.default()))).decode()


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


async def post_done(world: LocalWorld, id_: str, transaction: str) -> Any:
    status, answer = await world.backend.call(
        "POST", f"/v1/transactions/{id_}/complete", {"transaction_hash": transaction}
    )
    assert status == 200, answer
    return answer


async def test_checkout(tmp_path: Path) -> None:
    """A price in fiat by webhook, whole: asked for although the wallet has enough, covered once it arrived."""

    async def story(world: LocalWorld, network: str, owner: Owner) -> None:
        wallet = await register(world, network, owner)
        await world.give(owner, "USDC", 100 * USDC)
        await send(world, "wallet.created", wallet)
        id_ = f"order-{network}"
        price = {"price": {"fiat": "usd", "amount": "30"}, "pay_in": ["USDC"], "mode": "whole_price"}
        gas = {"gas": {"payer": "other"}}
        await send(world, "checkout.requested", {"id": id_, "wallet": wallet["id"], "network": network, **price, **gas})
        short = (await told(world, "checkout.short", id_))["data"]["checkout"]
        assert short["bill"]["assets"][0]["landed_when"] == {"received_at_least": "30"}
        covered = await pay_all(world, f"/v1/checkouts/{id_}")
        assert covered["received"][0]["amount"] == "30"
        assert await world.balance(owner, "USDC") == 130 * USDC

    await tell(story, tmp_path, FUNDING | PAIR | {"destination_amount"})


async def test_swap(tmp_path: Path) -> None:
    """What Stripe does not sell is left out, the first that it sells is asked for; covered says what arrived."""

    async def story(world: LocalWorld, network: str, owner: Owner) -> None:
        wallet = await register(world, network, owner)
        await send(world, "wallet.created", wallet)
        unsold = "SHIB" if network == "local-evm" else "BONK"
        id_ = f"swap-{network}"
        body = {"id": id_, "wallet": wallet["id"], "network": network, "want": unsold, "gas": {"payer": "other"}}
        await send(world, "swap.requested", {**body, "pay_in": [{"asset": unsold}, {"asset": "USDC", "amount": "9"}]})
        await told(world, "swap.short", id_)
        await pay_all(world, f"/v1/swaps/{id_}")
        covered = (await told(world, "swap.covered", id_))["data"]["swap"]
        assert [(r["asset"], r["amount"]) for r in covered["received"]] == [("USDC", "9")]
        assert await world.balance(owner, "USDC") == 9 * USDC

    await tell(story, tmp_path, FUNDING | PAIR | {"destination_amount"})
