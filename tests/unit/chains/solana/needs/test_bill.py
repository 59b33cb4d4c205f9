"""What was found is told without an amount that can't be helped, isn't known, or is absurd."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from chains.model import NATIVE
from chains.needs import Limits, Verdict
from chains.solana.needs.bill import make_needs
from chains.solana.needs.fee import charge_of
from chains.solana.needs.finding import Finding, Taken
from chains.solana.needs.proposal import Proposal, parse
from chains.solana.needs.snapshot import Snapshot

WALLET = Keypair.from_seed(bytes(32)).pubkey()
NOTHING = Snapshot(7, (), {}, {}, b"", b"")
AMOUNTS = st.integers(0, 2**64 - 1)


def proposal(price: int = 0) -> Proposal:
    paid = transfer(TransferParams(from_pubkey=WALLET, to_pubkey=Pubkey.from_bytes(bytes(range(32))), lamports=5))
    steps = [set_compute_unit_limit(100_000), set_compute_unit_price(price), paid]
    return parse(b64encode(bytes(Message.new_with_blockhash(steps, WALLET, Hash.default()))).decode())


@given(taken=AMOUNTS, rent=AMOUNTS, keep=AMOUNTS, price=st.integers(0, 10**9))
def test_the_parts_are_the_whole(taken: int, rent: int, keep: int, price: int) -> None:
    """Coins by what they are for: together exactly what must be there, and no part of nothing."""
    proposed = proposal(price)
    fee = charge_of(proposed).total
    found = Finding(Verdict.FUNDS, exact=True, coin=taken + rent + keep + fee, fee=fee, rent=rent, keep=keep)
    needs = make_needs(proposed, NOTHING, found, Limits([NATIVE]), 3)
    parts = {each.what: each.amount for each in needs.outflows}
    assert sum(parts.values()) == found.coin
    assert all(parts.values())
    assert parts["gas"] == 5_000
    assert parts.get("priority_fee", 0) == fee - 5_000
    assert (parts.get("required", 0), parts.get("rent", 0), parts.get("keep", 0)) == (taken, rent, keep)
    assert needs.exact


@given(fee=st.integers(1, 10**6))
def test_a_fee_that_two_ways_of_counting_disagree_on(fee: int) -> None:
    """It is told as it was charged, and not called exact."""
    needs = make_needs(proposal(), NOTHING, Finding(Verdict.FUNDS, exact=True, coin=fee, fee=fee), Limits([NATIVE]), 3)
    assert sum(each.amount for each in needs.outflows) == fee
    assert needs.exact is (fee == 5_000)


@given(coin=AMOUNTS, amount=AMOUNTS, most=AMOUNTS)
def test_nothing_above_the_bound(coin: int, amount: int, most: int) -> None:
    """One amount too many, and nothing is asked for at all."""
    tokens = (Taken("a", "m", amount, 0, is_associated=True),)
    found = Finding(Verdict.FUNDS, exact=True, coin=coin, tokens=tokens)
    needs = make_needs(proposal(), NOTHING, found, Limits([NATIVE, "m"], most_units=most), 3)
    if max(coin, amount) > most:
        assert (needs.verdict, needs.outflows, needs.exact) == (Verdict.UNKNOWN, (), False)
    else:
        assert {each.amount for each in needs.outflows} <= {coin, amount}
        assert needs.exact


@pytest.mark.parametrize(("have", "verdict"), [(4, Verdict.REVERTS), (5, Verdict.FUNDS), (6, Verdict.FUNDS)])
def test_tokens_where_bought_ones_never_arrive(have: int, verdict: Verdict) -> None:
    """Enough is enough and needs no asking; too little can't be helped, so no other amount is asked for either."""
    tokens = (Taken("odd", "m", 5, have, is_associated=False), Taken("a", "n", 9, 0, is_associated=True))
    found = Finding(Verdict.FUNDS, exact=True, coin=7, tokens=tokens)
    needs = make_needs(proposal(), NOTHING, found, Limits([NATIVE, "m", "n"]), 3)
    assert needs.verdict is verdict
    assert [(each.asset, each.amount) for each in needs.outflows] == (
        [("n", 9), (NATIVE, 7)] if verdict is Verdict.FUNDS else []
    )
    assert needs.exact is (verdict is Verdict.FUNDS)


def test_a_token_that_nobody_knows() -> None:
    """Named once, and not asked for."""
    tokens = tuple(Taken(key, "m", 5, 0, is_associated=True) for key in "ab")
    needs = make_needs(proposal(), NOTHING, Finding(Verdict.FUNDS, coin=7, tokens=tokens), Limits([NATIVE]), 3)
    assert (needs.unknown_assets, [each.asset for each in needs.outflows]) == (("m",), [NATIVE])
