"""Endpoints that lie, stall, refuse or lag: the next one is asked, and an unknown balance is never a zero."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing

import pytest
from structlog.testing import capture_logs

from chains.errors import BlockGone, RpcError, Unavailable, WrongNetwork
from chains.ethereum.answers import classify
from chains.model import BlockRef
from chains.rpc import RpcClient
from chains.rpc_answer import Null
from tests.integration.ethereum.conftest import Clock, chain_on, coin
from tests.nodes.scripted_ethereum import Fault, Refused, ScriptedEthereum

WALLET = "0x00000000000000000000000000000000000000A1"
SINGLE_FAULTS = [fault for fault in Fault if fault not in (Fault.MISSING_ITEM, Fault.TWICE_AN_ITEM)]


@pytest.fixture
async def two() -> AsyncIterator[tuple[ScriptedEthereum, ScriptedEthereum]]:
    """Two nodes that agree on one block."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(ScriptedEthereum())
        second = await stack.enter_async_context(ScriptedEthereum())
        for node in (first, second):
            node.mine({WALLET: 42})
        yield first, second


def ref(node: ScriptedEthereum) -> BlockRef:
    return BlockRef(node.head.number, node.head.hash)


@pytest.mark.parametrize("fault", SINGLE_FAULTS)
async def test_the_next_endpoint_answers(fault: Fault, two: tuple[ScriptedEthereum, ScriptedEthereum]) -> None:
    """Whatever the first endpoint does wrong, the balance is the second one's."""
    first, second = two
    first.faults.extend([fault] * 5)
    async with chain_on(first.url, second.url, timeout_seconds=0.5) as chain:
        balances = await chain.balances([coin(WALLET)], ref(first))
    assert balances[0].amount == 42
    assert second.calls["eth_call"] == 1


@pytest.mark.parametrize("fault", SINGLE_FAULTS)
async def test_unknown_is_never_zero(fault: Fault, two: tuple[ScriptedEthereum, ScriptedEthereum]) -> None:
    """With one endpoint alone, each fault is `Unavailable`, whose message has no path of the URL."""
    first, _ = two
    first.faults.extend([fault] * 9)
    async with chain_on(first.url + "/v3/s3cret", timeout_seconds=0.5) as chain:
        with capture_logs() as logs, pytest.raises(Unavailable) as raised:
            await chain.balances([coin(WALLET)], ref(first))
    assert "s3cret" not in f"{raised.value!r} {raised.value.__cause__!r} {logs}"


async def test_a_dropped_connection_is_tried_again_at_once(two: tuple[ScriptedEthereum, ScriptedEthereum]) -> None:
    """A connection that the node closed meanwhile costs one more try, not the endpoint's good name."""
    first, _ = two
    async with chain_on(first.url) as chain:
        await chain.check()
        first.faults.append(Fault.DROPPED)
        assert (await chain.balances([coin(WALLET)], ref(first)))[0].amount == 42


@pytest.mark.parametrize("fault", [Fault.MISSING_ITEM, Fault.TWICE_AN_ITEM, Fault.WRONG_ID, Fault.NULL, Fault.HTML])
async def test_a_batch_is_matched_by_id(fault: Fault, two: tuple[ScriptedEthereum, ScriptedEthereum]) -> None:
    """A batch that is not one answer a request is refused whole: answers never shift to other wallets."""
    first, second = two
    requests = [("eth_getBalance", [WALLET, hex(1)]), ("eth_getBalance", [WALLET, hex(0)])]
    async with RpcClient([first.url]) as alone:
        first.faults.append(fault)
        with pytest.raises(Unavailable):
            await alone.batch(requests)
    async with RpcClient([first.url, second.url]) as both:
        first.faults.append(fault)
        assert await both.batch(requests) == [hex(42), "0x0"]


async def test_an_item_that_failed_is_its_own_error(two: tuple[ScriptedEthereum, ScriptedEthereum]) -> None:
    """One bad item does not spoil a batch: it is an `RpcError` with the node's code among the results."""
    first, _ = two
    first.refused["eth_getCode"] = Refused(-32000, "no code today")
    async with RpcClient([first.url], classify=classify) as client:
        good, bad = await client.batch([("eth_getBalance", [WALLET, hex(1)]), ("eth_getCode", [WALLET, hex(1)])])
    assert good == hex(42)
    assert isinstance(bad, RpcError)
    assert bad.code == -32000


async def test_a_rest_asked_for_is_given(two: tuple[ScriptedEthereum, ScriptedEthereum]) -> None:
    """An endpoint that said Retry-After: 7 is not asked for seven seconds, and then again."""
    first, second = two
    clock = Clock()
    first.faults.append(Fault.RATE_LIMITED)
    async with RpcClient([first.url, second.url], clock=clock) as client:
        await client.call("eth_getBalance", [WALLET, hex(1)])
        clock.now += 6.9
        await client.call("eth_getBalance", [WALLET, hex(1)])
        assert first.calls["eth_getBalance"] == 1
        clock.now += 0.2
        await client.call("eth_getBalance", [WALLET, hex(1)])
    assert first.calls["eth_getBalance"] == 2


async def test_a_large_answer_is_cut_off(two: tuple[ScriptedEthereum, ScriptedEthereum]) -> None:
    """An answer above the cap is refused before it fills the memory."""
    first, _ = two
    async with RpcClient([first.url], max_bytes=100) as client:
        with pytest.raises(Unavailable, match="more than 100 bytes"):
            await client.call("eth_getBlockByNumber", ["latest", False])


async def test_a_wrong_chain_is_quarantined() -> None:
    """An endpoint of another chain is asked nothing but its chain id; put right, it is taken back by `check`."""
    async with ScriptedEthereum(chain_id=1) as wrong, ScriptedEthereum() as right:
        right.mine({WALLET: 7})
        wrong.mine({WALLET: 99})
        async with chain_on(wrong.url, right.url) as chain:
            await chain.check()
            assert (await chain.balances([coin(WALLET)], ref(right)))[0].amount == 7
            assert set(wrong.calls) == {"eth_chainId"}
            wrong.chain_id = right.chain_id
            await chain.check()
            assert (await chain.balances([coin(WALLET)], ref(right)))[0].amount == 99


async def test_without_a_check_too() -> None:
    """The chain id is asked before an endpoint's first use, also when nobody called `check`."""
    async with ScriptedEthereum(chain_id=1) as wrong:
        wrong.mine({WALLET: 99})
        async with chain_on(wrong.url) as chain:
            with pytest.raises(WrongNetwork):
                await chain.balances([coin(WALLET)], ref(wrong))
            with pytest.raises(WrongNetwork):
                await chain.check()
            with pytest.raises(WrongNetwork):
                async with aclosing(chain.follow(None)) as steps:
                    await anext(steps)


async def test_a_block_is_asked_of_whoever_knows_it(two: tuple[ScriptedEthereum, ScriptedEthereum]) -> None:
    """A node that does not know the block sends the question on; when none does, the block is gone."""
    first, second = two
    block = second.mine({WALLET: 43})
    async with chain_on(first.url, second.url) as chain:
        asked = BlockRef(block.number, block.hash)
        assert (await chain.balances([coin(WALLET)], asked))[0].amount == 43
        with pytest.raises(BlockGone):
            await chain.balances([coin(WALLET)], BlockRef(9, "0x" + "99" * 32))


async def test_null_means_what_the_method_says(two: tuple[ScriptedEthereum, ScriptedEthereum]) -> None:
    """Null is an answer, an unknown block or nonsense, as the caller says."""
    first, _ = two
    async with RpcClient([first.url]) as client:
        missing = ["0x" + "77" * 32, False]
        assert await client.call("eth_getBlockByHash", missing, null=Null.NOTHING) is None
        with pytest.raises(BlockGone):
            await client.call("eth_getBlockByHash", missing, null=Null.BEHIND)
        with pytest.raises(Unavailable):
            await client.call("eth_getBlockByHash", missing)
