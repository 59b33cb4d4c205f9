"""The least amount, whatever it is."""

from hypothesis import given
from hypothesis import strategies as st

from chains.solana.needs.search import Least, find_least

AMOUNTS = st.integers(0, 2**63)


@given(least=AMOUNTS, guess=AMOUNTS, floor=AMOUNTS)
def test_the_least_is_found_and_proven(least: int, guess: int, floor: int) -> None:
    """From any guess, in at most 150 tries; what is proven was tried with one less."""
    tried: dict[int, bool] = {}

    def works(amount: int) -> bool:
        tried[amount] = amount >= least
        return tried[amount]

    found = find_least(works, guess, floor, 2**63)
    assert found is not None
    assert found.amount == max(least, min(floor, guess))
    assert len(tried) <= 150
    if found.is_proven:
        assert tried[found.amount]
        assert found.amount == 0 or not tried[found.amount - 1]


@given(guess=AMOUNTS)
def test_what_never_works_is_nothing(guess: int) -> None:
    """Not even with the most."""
    assert find_least(lambda _: False, guess, 0, 2**63) is None


@given(outflow=st.integers(1, 2**60), keep=st.integers(2, 10**6))
def test_an_account_left_empty_is_passed_over(outflow: int, keep: int) -> None:
    """Emptied it works, with a little more it doesn't: the amount from which on it does is the one found."""

    def works(amount: int) -> bool:
        return amount == outflow or amount >= outflow + keep

    assert find_least(works, outflow + keep, outflow + 1, 2**62) == Least(outflow + keep, is_proven=True)
