"""The reference receiver: however events reach it, it ends as if each had come once, in order."""

from functools import reduce
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from examples.backend.state import State, apply, find_key, has_gap

Event = dict[str, Any]
START: State = {}


def make_event(number: int, subject: tuple[str, str], version: int, holding: str | None) -> Event:
    """What is told, numbered so that no two are alike."""
    kind, name = subject
    data: dict[str, Any] = {kind: {"id": name, "told": number}, "changed_at": "2026-01-02T03:04:05Z", "ask": None}
    if kind == "top_up":
        data[kind]["link"] = None
    if holding is not None:
        data["holding"] = {"network": "base", "asset": holding, "balance": str(number)}
    subject_of = {"object": kind, "id": name}
    return {"id": f"evt_{number}", "type": f"{kind}.changed", "subject": subject_of, "version": version, "data": data}


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """What happened, in order. Versions grow, by more than one where a change was no news; wallets have holdings."""
    subjects = st.sampled_from([("top_up", "tu_1"), ("top_up", "tu_2"), ("wallet", "w-1"), ("network", "base")])
    steps = draw(st.lists(st.tuples(subjects, st.integers(1, 3), st.sampled_from(["ETH", "USDC"])), max_size=25))
    versions: dict[tuple[str, str], int] = {}
    events = []
    for number, (subject, grown, holding) in enumerate(steps):
        versions[subject] = versions.get(subject, 0) + grown
        about = holding if subject[0] == "wallet" else None
        events.append(make_event(number, subject, versions[subject], about))
    return events


def deliver(event: Event) -> Event:
    """As it comes by webhook where links are included."""
    data = {k: {**v, "link": "https://secret.example"} if k == "top_up" else v for k, v in event["data"].items()}
    return {**event, "data": data}


def in_order(events: list[Event]) -> State:
    return reduce(apply, events, START)


@given(st.data(), histories())
def test_it_ends_the_same_whatever_way_events_come(data: st.DataObject, history: list[Event]) -> None:
    """Any order, any repeats, any losses, with catch-ups anywhere in between and one at the end."""
    state: State = {}
    cursor = 0
    moves = st.one_of(st.just("catch up"), st.sampled_from(history)) if history else st.just("catch up")
    for move in data.draw(st.lists(moves, max_size=40)):
        if isinstance(move, str):
            read = history[cursor : cursor + data.draw(st.integers(0, 5))]
            state, cursor = reduce(apply, read, state), cursor + len(read)
        else:
            state = apply(state, deliver(move))
    assert reduce(apply, history[cursor:], state) == in_order(history)


@given(st.data(), histories())
def test_each_delivered_at_least_once_is_enough(data: st.DataObject, history: list[Event]) -> None:
    """Without any catch-up: all events, some of them again, shuffled."""
    again = data.draw(st.lists(st.sampled_from(history))) if history else []
    shuffled = data.draw(st.permutations([*history, *again]))
    assert reduce(apply, map(deliver, shuffled), START) == in_order(history)


@given(histories())
def test_what_it_ends_with_is_the_last_that_was_told(history: list[Event]) -> None:
    """Of each thing, and of each holding of a wallet, the newest event; no link is in it."""
    last = {find_key(event): event for event in history}
    told = in_order([deliver(event) for event in history])
    assert {k: (v["version"], v["data"]) for k, v in told.items()} == {
        k: (e["version"], e["data"]) for k, e in last.items()
    }


def test_each_holding_of_a_wallet_is_known() -> None:
    """An event about one holding that comes late is no old news because of another holding's."""
    events = [make_event(n, ("wallet", "w-1"), n, holding) for n, holding in ((1, "ETH"), (2, "USDC"))]
    for told in (events, events[::-1]):
        holdings = [known["data"]["holding"]["asset"] for known in in_order(told).values()]
        assert sorted(holdings) == ["ETH", "USDC"]


def test_an_older_event_leaves_the_very_state() -> None:
    """Nothing to store, nothing to show anew."""
    state = apply({}, make_event(1, ("top_up", "tu_1"), 3, None))
    assert apply(state, make_event(2, ("top_up", "tu_1"), 3, None)) is state
    assert apply(state, make_event(3, ("top_up", "tu_1"), 2, None)) is state


def test_a_skipped_version_is_a_gap() -> None:
    """The next version and an old one are none, a first event must be the first, and a jump may be a loss."""
    state = apply({}, make_event(1, ("top_up", "tu_1"), 3, None))
    found = [has_gap(state, make_event(2, ("top_up", "tu_1"), version, None)) for version in (2, 3, 4, 5)]
    assert found == [False, False, False, True]
    assert [has_gap({}, make_event(2, ("top_up", "tu_1"), version, None)) for version in (1, 2)] == [False, True]
