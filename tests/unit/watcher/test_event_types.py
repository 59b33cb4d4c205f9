"""The one list of event types, and the patterns that endpoints give."""

import pytest
from pydantic import TypeAdapter, ValidationError

from config.schema import EventPattern
from watcher.event_types import EVENT_TYPES, matches
from watcher.model import TopUpStatus


def test_every_type_is_a_pattern_that_means_it_alone() -> None:
    """An endpoint can ask for each by its name, and gets no other."""
    pattern = TypeAdapter(EventPattern)
    for event_type in EVENT_TYPES:
        assert [t for t in EVENT_TYPES if matches(pattern.validate_python(event_type), t)] == [event_type]


def test_whoever_asks_for_all_gets_all() -> None:
    """`*` is every type, `top_up.*` every one of its kind."""
    assert all(matches("*", event_type) for event_type in EVENT_TYPES)
    of_top_ups = [event_type for event_type in EVENT_TYPES if matches("top_up.*", event_type)]
    assert of_top_ups == [event_type for event_type in EVENT_TYPES if event_type.startswith("top_up.")]


@pytest.mark.parametrize("text", ["", "top_*", "top_up", "[a-z]*.*", "?", "top_up.*.x", "Top_up.opened", "top_up.\n"])
def test_what_could_mean_more_is_no_pattern(text: str) -> None:
    """Nothing of a shell's other patterns gets as far as being matched."""
    with pytest.raises(ValidationError):
        TypeAdapter(EventPattern).validate_python(text)


def test_each_end_of_a_top_up_has_its_type() -> None:
    """Moves are told under their status' name."""
    assert {f"top_up.{s}" for s in TopUpStatus} - {"top_up.open"} <= set(EVENT_TYPES)
