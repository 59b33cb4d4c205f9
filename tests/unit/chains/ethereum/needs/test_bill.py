"""What it costs and what it comes to: whole numbers, margins rounded up, nothing counted twice or forgotten."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.errors import RpcError
from chains.ethereum.needs.bill import Found, Terms, absurd_of, make_outflows
from chains.ethereum.needs.gas import gas_limit, gas_outflows, layer1_outflow, with_margin
from chains.ethereum.needs.layer1 import Layer1, size_of
from chains.ethereum.needs.pending import BLOB_GAS, Queue, read_queue
from chains.ethereum.needs.proposal import Proposal, parse_transaction
from chains.ethereum.needs.runs import Run, gas_of, moves_of
from chains.ethereum.needs.words import TRANSFER, checksummed
from chains.model import NATIVE, Fee
from chains.needs import Limits, Verdict

WALLET = "0xa11ce00000000000000000000000000000000001"
TOKEN = "0x00000000000000000000000000000000deadbeef"
OTHER = "0x00000000000000000000000000000000deadbee0"
AMOUNTS = st.integers(0, 2**100)


def proposal(**fields: Any) -> Proposal:
    return parse_transaction(WALLET, {"to": TOKEN, **fields})


@given(AMOUNTS)
def test_a_margin_is_fifteen_per_cent_rounded_up(amount: int) -> None:
    """Never a unit less than 15 % more, and never two units more."""
    assert 100 * with_margin(amount) >= 115 * amount > 100 * (with_margin(amount) - 1)


def test_the_limit_is_the_wallets_or_the_estimate_with_its_margin() -> None:
    """A chosen limit stands; a plain transfer takes what it always takes; no estimate is no limit."""
    authorization = {"address": TOKEN, "nonce": "0x0", "chainId": "0x1"}
    assert gas_limit(proposal(gas="0x5208"), "0xffffff") == 21_000
    assert gas_limit(proposal(), "0x5208") == 21_000
    assert gas_limit(proposal(), hex(21_001)) == 24_152
    assert gas_limit(proposal(), hex(100_000)) == 115_000
    assert gas_limit(proposal(authorizationList=[authorization] * 2), hex(100_000)) == 172_500
    signed = {**authorization, "r": "0x1", "s": "0x1"}
    assert gas_limit(proposal(authorizationList=[signed]), hex(100_000)) == 115_000
    nothing: list[Any] = [None, RpcError("node", 3, "reverted"), "much", {}, 7.5]
    for none in nothing:
        assert gas_limit(proposal(), none) is None


@given(
    limit=st.integers(21_000, 2**24), price=st.integers(0, 2**50), count=st.integers(0, 9), blob=st.integers(0, 2**40)
)
def test_gas_and_blobs_at_their_prices(limit: int, price: int, count: int, blob: int) -> None:
    """The price is the transaction's own where it has one, else the present fee; blobs are beside it."""
    blobs = ["0x01" + "00" * 31] * count
    own = gas_outflows(
        proposal(maxFeePerGas=hex(price), maxFeePerBlobGas=hex(blob), blobVersionedHashes=blobs), limit, Fee(7), 3
    )
    assert sum(outflow.amount for outflow in own) == limit * price + count * BLOB_GAS * blob
    free = gas_outflows(proposal(blobVersionedHashes=blobs), limit, Fee(7), 3)
    assert sum(outflow.amount for outflow in free) == limit * 7 + count * BLOB_GAS * 3
    assert {outflow.asset for outflow in (*own, *free)} == {NATIVE}
    assert free[0].extra == {"limit": limit, "price": 7, "estimated": True}
    assert gas_outflows(proposal(gasPrice="0x0", gas="0x1"), limit, Fee(7), None)[0].extra["estimated"] is False


@given(data=st.none() | AMOUNTS, operator=AMOUNTS)
def test_layer_1_with_its_margin(data: int | None, operator: int) -> None:
    """Both parts have the margin."""
    outflow = layer1_outflow(Layer1(data, operator))
    assert outflow.amount == with_margin(data or 0) + with_margin(operator)
    assert outflow.extra == {"data": with_margin(data or 0), "operator": with_margin(operator)}
    assert (outflow.asset, outflow.what) == (NATIVE, "l1_fee")


@given(
    st.dictionaries(st.sampled_from([NATIVE, TOKEN, OTHER]), AMOUNTS),
    st.dictionaries(st.sampled_from([NATIVE, TOKEN, OTHER]), AMOUNTS),
    st.none() | st.integers(21_000, 10**7),
    AMOUNTS,
)
def test_the_whole_is_the_sum_of_its_parts(
    amounts: dict[str, int], waiting: dict[str, int], limit: int | None, layer1: int
) -> None:
    """What moves, gas, layer 1 and what waits: of other tokens than it needs, what waits is left out."""
    found = Found(amounts, Verdict.FUNDS, "", exact=True, method="trace")
    terms = Terms(Fee(5), Limits([NATIVE]), pays_gas=True)
    outflows = make_outflows(
        proposal(), found, terms, limit=limit, fees=Layer1(layer1, 0), queue=Queue(2, waiting), blob_price=None
    )
    for asset in (NATIVE, TOKEN, OTHER):
        wanted = amounts.get(asset, 0)
        if asset == NATIVE:
            wanted += 5 * (limit or 0) + with_margin(layer1)
        if asset == NATIVE or asset in amounts:
            wanted += waiting.get(asset, 0)
        named = asset if asset == NATIVE else checksummed(asset)
        assert sum(outflow.amount for outflow in outflows if outflow.asset == named) == wanted
    assert all(outflow.amount for outflow in outflows if outflow.what in ("required", "keep"))
    assert all(outflow.extra == {"pending": 2} for outflow in outflows if outflow.what == "keep")


def test_absurd_is_more_than_the_most() -> None:
    """The most itself is still believed."""
    assert absurd_of({TOKEN: 5, NATIVE: 5}, 5) is None
    assert absurd_of({}, 0) is None
    assert checksummed(TOKEN) in (absurd_of({NATIVE: 5, TOKEN: 6}, 5) or "")


def waiting(nonce: int, **fields: Any) -> tuple[str, dict[str, Any]]:
    base = {"value": "0x5", "gas": "0x64", "maxFeePerGas": "0x2", "gasPrice": "0x1", "to": OTHER, "input": "0x"}
    return str(nonce), {**base, **fields}


def test_what_waits_is_counted_up_to_its_own_nonce() -> None:
    """Coins, gas at the highest price, blobs, and plain token transfers; calls are said to be uncertain."""
    moved = "0xa9059cbb" + "00" * 31 + "01" + f"{77:064x}"
    blob = {"blobVersionedHashes": ["0x01"], "maxFeePerBlobGas": "0x3", "maxFeePerGas": None}
    entries = [waiting(3), waiting(10, to=TOKEN.upper().replace("X", "x"), input=moved), waiting(9, **blob)]
    queue = read_queue({"pending": dict(entries), "queued": {}}, queued=3, nonce=None)
    assert queue == Queue(3, {NATIVE: 205 + 205 + 105 + 3 * BLOB_GAS, TOKEN: 77}, certain=True)
    assert read_queue({"pending": dict(entries)}, queued=3, nonce=9) == Queue(1, {NATIVE: 205})
    called = read_queue({"pending": dict([waiting(0, input="0x12345678")])}, queued=1, nonce=None)
    assert (called.count, called.certain) == (1, False)


@pytest.mark.parametrize(
    "answer", [None, RpcError("node", -32601, "no"), {"pending": {"x": {}}}, {"pending": {"1": {}}}, "0x", [1]]
)
def test_a_queue_that_is_not_told_is_only_counted(answer: Any) -> None:
    """Nothing is claimed of what is not told; nothing waits where the count says so."""
    assert read_queue(answer, queued=2, nonce=None) == Queue(2, {}, certain=False)
    if answer is None:
        assert read_queue(answer, queued=0, nonce=None) == Queue(0, {}, certain=True)


@given(st.lists(st.tuples(st.sampled_from([NATIVE, TOKEN]), st.integers(-100, 100))), st.integers(-300, 300))
def test_the_peak_of_what_had_left(moves: list[tuple[str, int]], fell: int) -> None:
    """What had to be there is the most that had left at any time, or what the balance fell by, if that is more."""
    for asset in (NATIVE, TOKEN):
        out = Run(None, tuple(moves), {asset: fell}).outflows().get(asset, 0)
        total = had = 0
        for moved, amount in moves:
            total += amount if moved == asset else 0
            had = max(had, total)
        assert out == max(had, fell, 0)


def test_what_a_log_moves() -> None:
    """To and from the sender, and both where it pays itself; an NFT, another event or cut-off data moves nothing."""
    me, you = ("0x" + address[2:].rjust(64, "0") for address in (WALLET, OTHER))
    data = f"0x{9:064x}"
    log = {"address": TOKEN.upper().replace("X", "x"), "topics": [TRANSFER, me, you], "data": data}
    assert moves_of([log], WALLET) == [(TOKEN, 9)]
    assert moves_of([{**log, "topics": [TRANSFER, you, me]}], WALLET) == [(TOKEN, -9)]
    assert moves_of([{**log, "topics": [TRANSFER, me, me]}], WALLET) == [(TOKEN, 9), (TOKEN, -9)]
    assert moves_of([{**log, "address": "0x" + "ee" * 20}], WALLET) == [(NATIVE, 9)]
    odd = [
        {**log, "topics": [TRANSFER, me, you, you]},
        {**log, "data": data[:-1]},
        {**log, "topics": [you, me, you]},
        5,
    ]
    assert moves_of(odd, WALLET) == []


def test_gas_of_a_run() -> None:
    """A chosen limit is run with, up to twice what a transaction may have; else as much as it may have."""
    assert [gas_of(limit) for limit in (None, 0, 50_000, 2**63)] == [hex(2**24), "0x0", "0xc350", hex(2**25)]


@given(st.binary(max_size=300), st.integers(0, 3), st.integers(0, 3))
def test_the_size_bounds_the_real_one(data: bytes, entries: int, keys: int) -> None:
    """An unsigned transaction of that content is never longer than what layer 1 is asked about."""
    access = [{"address": TOKEN, "storageKeys": ["0x" + "11" * 32] * keys}] * entries
    size = size_of(proposal(data="0x" + data.hex(), accessList=access))
    least = 1 + 4 + len(data) + 21 + entries * (21 + 33 * keys)
    assert least + 100 <= size <= least + 200 + 12 * entries
