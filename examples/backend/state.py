"""What is known from events. Pure: whatever the order, the repeats and the losses made up for, it ends the same."""

from collections.abc import Mapping
from typing import Any

Event = Mapping[str, Any]
State = Mapping[str, Mapping[str, Any]]
"""What was last told of each thing: `{"top_up/tu_1": {"version": 3, "type": "top_up.landed", "data": {…}}}`."""
_UNKNOWN: Mapping[str, Any] = {"version": 0}


def apply(state: State, event: Event) -> State:
    """Newer than what is known, an event takes its place; a repeat or an old one changes nothing. No link is kept."""
    if event["version"] <= state.get(find_key(event), _UNKNOWN)["version"]:
        return state
    data = {k: {**v, "link": None} if k == "top_up" else v for k, v in event["data"].items()}
    return {**state, find_key(event): {"version": event["version"], "type": event["type"], "data": data}}


def has_gap(state: State, event: Event) -> bool:
    """Whether something between what is known and this event may have been lost, or is still on its way."""
    return bool(event["version"] > state.get(find_key(event), _UNKNOWN)["version"] + 1)


def find_key(event: Event) -> str:
    """What an event tells of. A wallet's tell of one holding each, so that none makes another holding's look old."""
    key = "{object}/{id}".format(**event["subject"])
    holding = event["data"].get("holding")
    return key if holding is None else f"{key}/{holding['network']}/{holding['asset']}"
