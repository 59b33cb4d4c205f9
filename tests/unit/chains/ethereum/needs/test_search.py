"""The least amount that works is found by trying, and is called proven only when one less was seen to fail."""

import asyncio
from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from chains.ethereum.needs.search import find_least

MOST = 2**95


def search(truth: int, guess: int, left: int = 10_000, hints: Sequence[int] = ()) -> tuple[int, bool, int, int]:
    """What was found of a call that works from `truth` on: the amount, whether proven, tries and trips."""
    tries = trips = 0

    async def works(amounts: Sequence[int]) -> list[bool]:
        nonlocal tries, trips
        tries, trips = tries + len(amounts), trips + 1
        assert all(0 <= amount < MOST for amount in amounts)
        return [amount >= truth for amount in amounts]

    least, proven = asyncio.run(find_least(works, guess, MOST, lambda: left - tries, hints))
    return least, proven, tries, trips


@given(truth=st.integers(0, MOST), guess=st.integers(0, MOST))
@example(0, 0)
@example(MOST, 0)
@example(1, 1)
def test_it_finds_the_least(truth: int, guess: int) -> None:
    """From any guess the least amount is found, in a bounded number of tries."""
    least, proven, tries, trips = search(truth, guess)
    assert (least, proven) == (truth, True)
    assert tries <= 14 + 3 * 56
    assert trips <= 1 + 56  # two bits a trip, after some for the order of magnitude


@given(truth=st.integers(0, MOST), off=st.integers(-10, 9))
def test_a_good_guess_is_cheap(truth: int, off: int) -> None:
    """A guess that is a few units off costs a few tries more."""
    _, proven, _, trips = search(truth, max(0, truth + off))
    assert proven
    assert trips <= 4


@given(truth=st.integers(0, MOST), guess=st.integers(0, MOST), left=st.integers(0, 60))
def test_out_of_tries_it_does_not_claim(truth: int, guess: int, left: int) -> None:
    """What is given works; it is called proven only when it is the least."""
    least, proven, tries, _ = search(truth, guess, left)
    assert least >= truth
    assert proven == (least == truth) or not proven
    assert tries <= max(left + 2, 14)


@given(truth=st.integers(1, MOST - 1), guess=st.integers(0, MOST), others=st.lists(st.integers(0, 2**256), max_size=7))
def test_a_hint_that_is_right_proves_it_at_once(truth: int, guess: int, others: list[int]) -> None:
    """Among other numbers, odd ones too, the right one takes one round trip."""
    least, proven, _, trips = search(truth, guess, hints=[*others, truth])
    assert (least, proven, trips) == (truth, True, 1)
