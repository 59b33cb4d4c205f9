"""Many texts by number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.names import Names

TEXTS = st.integers(0, 400).map(lambda number: f"Ab{number}")


@given(st.lists(st.tuples(st.booleans(), TEXTS), max_size=2_000))
def test_found_is_what_was_added_and_not_removed(moves: list[tuple[bool, str]]) -> None:
    """Whatever comes and goes in whatever order, each text is found under its own number, and no other is."""
    names = Names(8, fold=True)
    known: dict[str, int] = {}
    for adds, text in moves:
        if adds:
            number, new = names.add(text)
            assert new == (text not in known)
            assert known.setdefault(text, number) == number
        else:
            assert names.remove(text.lower()) == known.pop(text, None)
    assert len(names) == len(known)
    assert len(set(known.values())) == len(known)
    for number in range(400):
        text = f"Ab{number}"
        assert names.find(text.lower()) == known.get(text)
        if text in known:
            assert names.text(known[text]) == text


def test_tables_that_grow_lose_nothing() -> None:
    """Twenty thousand texts are found after every table has grown, and after every second one has gone."""
    names = Names(8)
    for number in range(20_000):
        names.add(str(number))
    for number in range(0, 20_000, 2):
        names.remove(str(number))
    assert [names.find(str(number)) is not None for number in range(20_000)] == [False, True] * 10_000
    assert (len(names), names.top) == (10_000, 20_000)


def test_a_text_that_is_too_long_is_refused() -> None:
    """It would be cut, and another one found."""
    names = Names(8)
    with pytest.raises(ValueError, match="longer than 8"):
        names.add("123456789")
    assert len(names) == 0
