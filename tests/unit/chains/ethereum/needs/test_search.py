"""The least amount, whatever it is, in few tries and fewer round trips."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from chains.ethereum.needs.search import find_least

MOST = 2**128


class Node:
    """Something that works from an amount on, and counts how often it was asked."""

    def __init__(self, least: int, calls: int) -> None:
        self.least = least
        self.left = calls
        self.trips = 0
        self.tried: dict[int, bool] = {}

    async def works(self, amounts: Sequence[int]) -> list[bool]:
        self.trips += 1
        self.left -= len(amounts)
        answers = [amount >= self.least for amount in amounts]
        self.tried.update(zip(amounts, answers, strict=True))
        return answers


AMOUNTS = st.one_of(st.integers(0, MOST - 1), st.integers(0, 128).map(lambda bits: min(1 << bits, MOST - 1)))


@given(least=AMOUNTS, guess=AMOUNTS)
async def test_the_least_is_found_and_proven(least: int, guess: int) -> None:
    """From any guess: the amount was tried, and so was one less."""
    node = Node(least, 10_000)
    assert await find_least(node.works, guess, MOST, lambda: node.left) == (least, True)
    assert least == MOST or node.tried.get(least)
    assert least == 0 or node.tried[least - 1] is False


@given(bits=st.integers(0, 96), below=st.integers(0, 2**20))
async def test_a_small_amount_costs_few_round_trips(bits: int, below: int) -> None:
    """Without any guess its order of magnitude is found first: an amount of n bits takes about n/2 trips, not 64."""
    least = max(0, (1 << bits) - below)
    node = Node(least, 180)
    found, is_proven = await find_least(node.works, 0, MOST, lambda: node.left)
    assert (found, is_proven) == (least, True)
    assert node.trips <= 20 + least.bit_length() // 2


@given(least=AMOUNTS, guess=AMOUNTS, calls=st.integers(14, 40))
async def test_what_could_not_be_proven_is_enough(least: int, guess: int, calls: int) -> None:
    """When the calls run out, the amount works and is told as not proven, or is the least."""
    node = Node(least, calls)
    found, is_proven = await find_least(node.works, guess, MOST, lambda: node.left)
    assert found == least if is_proven else found >= least
    assert node.left >= -2
