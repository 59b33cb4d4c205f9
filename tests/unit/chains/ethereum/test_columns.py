"""Balances in columns, compared with what a node gives."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from chains.ethereum.columns import Amounts

AMOUNTS = st.one_of(st.integers(0, 3), st.integers(0, 2**256 - 1))


def words(amounts: list[int]) -> "array[int]":
    return array("Q", b"".join(amount.to_bytes(32) for amount in amounts))


@given(st.lists(st.lists(AMOUNTS, min_size=6, max_size=6), max_size=8), st.sets(st.integers(0, 5)))
def test_what_differs_is_told(rounds: list[list[int]], forgotten: set[int]) -> None:
    """Exactly what changed since the round before is told, what was forgotten, and what is too wide to be kept."""
    columns = Amounts()
    before: list[int | None] = [None] * 6
    for amounts in rounds:
        for index in forgotten:
            columns.forget(index)
        changed = columns.compare(range(6), words(amounts))
        must = {i for i in range(6) if before[i] != amounts[i] or i in forgotten or amounts[i] >= 2**127}
        assert must <= set(changed)
        assert all(amounts[i] >= 2**127 for i in set(changed) - must)
        before = list(amounts)


@given(AMOUNTS, AMOUNTS)
def test_a_recalled_balance_is_told_when_it_differs(known: int, now: int) -> None:
    """A balance from the store counts as read."""
    columns = Amounts()
    columns.put(4, known)
    assert (columns.compare([4], words([now])) == []) == (known == now and known < 2**127)


def test_some_of_many_are_compared_by_their_own_index() -> None:
    """Gaps between the indexes asked for shift nothing."""
    columns = Amounts()
    columns.compare([1, 4, 7], words([10, 40, 70]))
    assert columns.compare([4, 7], words([40, 71])) == [7]
    assert columns.compare([1, 4, 7], words([10, 40, 71])) == []
