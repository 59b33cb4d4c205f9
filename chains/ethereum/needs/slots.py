"""Finds the storage word behind a view's answer, and proves it: another word there must change the answer as said."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from chains.errors import RpcError
from chains.ethereum.needs.layouts import SENTINEL, Field, Slot, find_field, guesses, pattern
from chains.ethereum.needs.memory import Known, Memory
from chains.ethereum.needs.node import Node, is_unsupported
from chains.ethereum.needs.state import Place, State
from chains.ethereum.needs.words import hash_word, lower, view
from chains.rpc import Request

VIEW_GAS: Final = hex(3_000_000)
"""What a view may burn: a token that loops ends here."""
_MOST_KEYS: Final = 8
"""Storage words of one view that are tried."""
_ROUNDING: Final = 2**40
"""A scaled amount is taken for proven when it is right to one part of so many."""


@dataclass(frozen=True, slots=True)
class View:
    """A view that answers with an amount of some owners."""

    contract: str
    selector: str
    owners: tuple[str, ...]

    def request(self, node: Node, state: State | None = None) -> Request:
        """The call."""
        call = {"to": self.contract, "data": view(self.selector, *self.owners), "gas": VIEW_GAS}
        return "eth_call", [call, node.block, *([state.override()] if state else [])]

    def accesses(self, node: Node) -> list[Request]:
        """What the view reads: for these owners, and for strangers."""
        strangers = [f"0x{hash_word(SENTINEL, number) >> 96:040x}" for number in range(len(self.owners))]
        texts = [view(self.selector, *owners) for owners in (self.owners, strangers)]
        calls = [{"to": self.contract, "data": text, "gas": VIEW_GAS} for text in texts]
        return [("eth_createAccessList", [call, node.block]) for call in calls]


@dataclass(frozen=True, slots=True)
class _Search:
    """One view under search."""

    view: View
    amount: int
    places: tuple[Place, ...]


async def find_slots(node: Node, memory: Memory, views: Iterable[View]) -> dict[View, Slot]:
    """The slot of each view that has one. Those that are no view, or computed, are left out.

    One view of each kind is searched for; the others follow from its layout, where it is a usual one.
    """
    waiting = list(dict.fromkeys(views))
    known = _known(memory, waiting)
    first = _one_of_each([each for each in waiting if each not in known])
    recalling, looking = _recalling(node, known), _looking(node, memory, first)
    answers = await node.many([*recalling, *looking])
    found = _recalled(memory, known, answers[: len(recalling)])
    found |= await _proven(node, memory, _looked(node, memory, first, answers[len(recalling) :]))
    waiting = [each for each in waiting if each not in found and each not in first]
    changed = _one_of_each([each for each in waiting if each in known])
    found |= await _search(node, memory, changed)
    waiting = [each for each in waiting if each not in changed]
    found |= await _recall(node, memory, waiting)
    alike = {(each.contract, each.selector) for each in found}
    odd = [each for each in waiting if each not in found and (each.contract, each.selector) in alike]
    return found | await _search(node, memory, odd)


def _one_of_each(views: Sequence[View]) -> list[View]:
    """The first of each contract and selector."""
    return list({(each.contract, each.selector): each for each in reversed(views)}.values())


async def _search(node: Node, memory: Memory, views: Sequence[View]) -> dict[View, Slot]:
    """Slots of views that nothing is known of."""
    answers = await node.many(_looking(node, memory, views))
    return await _proven(node, memory, _looked(node, memory, views, answers))


async def _proven(node: Node, memory: Memory, searches: Sequence[_Search]) -> dict[View, Slot]:
    """Their slots, and what the next look may know of them."""
    proven = await _prove(node, await _try(node, searches))
    for each, slot in proven.items():
        layout = guesses(each.owners).get(slot.place[1])
        if layout is not None:
            memory.learn(each.contract, each.selector, Known(slot.place[0], layout, slot.field))
    return proven


def amount_of(answer: Any) -> int | None:
    """The first word of a view's answer; None when it has none."""
    if not isinstance(answer, str) or len(answer) < 66 or not answer.startswith("0x"):  # noqa: PLR2004  0x and a word
        return None
    try:
        return int(answer[2:66], 16)
    except ValueError:
        return None


async def _recall(node: Node, memory: Memory, views: Sequence[View]) -> dict[View, Slot]:
    """Slots by a known layout."""
    known = _known(memory, views)
    return _recalled(memory, known, await node.many(_recalling(node, known)))


def _known(memory: Memory, views: Sequence[View]) -> dict[View, Known]:
    return {each: layout for each in views if (layout := memory.layout(each.contract, each.selector))}


def _recalling(node: Node, known: Mapping[View, Known]) -> list[Request]:
    """Each view, and the word where its answer should be. What a share is worth is asked anew."""
    requests: list[Request] = []
    for each, layout in known.items():
        place = (layout.contract, layout.layout.key(*each.owners))
        requests += [each.request(node), ("eth_getStorageAt", [*place, node.block])]
        if layout.field.scale is not None:
            requests.append(each.request(node, State(words={place: SENTINEL})))
    return requests


def _recalled(memory: Memory, known: Mapping[View, Known], answered: Sequence[Any]) -> dict[View, Slot]:
    """The slots whose word agrees with the view."""
    answers = iter(answered)
    found: dict[View, Slot] = {}
    for each, layout in known.items():
        place = (layout.contract, layout.layout.key(*each.owners))
        field: Field | None = layout.field
        amount, word = amount_of(next(answers)), amount_of(next(answers))
        if field and field.scale is not None:
            field = _scaled(amount or 0, amount_of(next(answers)))
        if field and amount is not None and word is not None and _is_near(field.get(word), amount, field):
            found[each] = Slot(place, word, amount, field)
        else:
            memory.forget(each.contract, each.selector)
    return found


def _looking(node: Node, memory: Memory, views: Sequence[View]) -> list[Request]:
    """Each view, and the words that it reads for its owners and for strangers."""
    can = memory.can(node.host, "eth_createAccessList")
    return [request for each in views for request in (each.request(node), *(each.accesses(node) if can else ()))]


def _looked(node: Node, memory: Memory, views: Sequence[View], answers: Sequence[Any]) -> list[_Search]:
    """The words that each view reads for its owners and not for strangers; guesses where the node can't tell."""
    step = len(answers) // len(views) if views else 1
    searches = []
    for number, each in enumerate(views):
        answer, *lists = answers[step * number : step * (number + 1)]
        amount = amount_of(answer)
        if amount is None:
            continue
        if any(is_unsupported(item) for item in lists):
            memory.cannot(node.host, "eth_createAccessList")
        own, strange = (_places(item) for item in lists) if lists else ((), ())
        places = tuple(place for place in own if place not in strange)[:_MOST_KEYS]
        guessed = tuple((each.contract, key) for key in guesses(each.owners))
        searches.append(_Search(each, amount, places or guessed))
    return searches


def _places(answer: Any) -> tuple[Place, ...]:
    entries = answer.get("accessList") if isinstance(answer, Mapping) else None
    return tuple(
        (lower(entry.get("address")), key.lower())
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, Mapping)
        for key in entry.get("storageKeys") or ()
        if isinstance(key, str)
    )


async def _try(node: Node, searches: Sequence[_Search]) -> dict[View, tuple[Place, Field, int]]:
    """Which place, and how the amount is kept there: each place gets a pattern of its own, in one call for all.

    A view that multiplies overflows on patterns; there, one small number a place shows the ratio.
    """
    requests: list[Request] = []
    for search in searches:
        planted = State(words={place: pattern(number) for number, place in enumerate(search.places)})
        requests.append(search.view.request(node, planted))
        if len(search.places) <= _MOST_KEYS:
            requests += [search.view.request(node, State(words={place: SENTINEL})) for place in search.places]
    answers = iter(await node.many(requests))
    found = {}
    for search in searches:
        shown = amount_of(next(answers))
        small = [amount_of(next(answers)) for _ in search.places] if len(search.places) <= _MOST_KEYS else []
        for number, place in enumerate(search.places):
            field = find_field(pattern(number), shown or 0)
            field = field or (_scaled(search.amount, small[number]) if small else None)
            if field is not None:
                found[search.view] = (place, field, search.amount)
                break
    return found


def _scaled(before: int, shown: int | None) -> Field | None:
    """The scale of a word that changes the answer, but not to what it holds."""
    if not shown or shown == before or not 2**40 < shown < 2**200:
        return None
    return Field(scale=Fraction(SENTINEL, shown))


async def _prove(node: Node, fields: Mapping[View, tuple[Place, Field, int]]) -> dict[View, Slot]:
    """Read each word, put an amount in its field with all else kept, and see the view answer with it."""
    reads = await node.many([("eth_getStorageAt", [*place, node.block]) for place, _, _ in fields.values()])
    slots = {
        each: Slot(place, word, amount, field)
        for (each, (place, field, amount)), read in zip(fields.items(), reads, strict=True)
        if (word := amount_of(read)) is not None and not isinstance(read, RpcError)
    }
    requests = [each.request(node, State(words={s.place: s.holding(s.ample)})) for each, s in slots.items()]
    answers = await node.many(requests)
    return {
        each: slot
        for (each, slot), answer in zip(slots.items(), answers, strict=True)
        if (shown := amount_of(answer)) is not None and _is_near(shown, slot.ample, slot.field)
    }


def _is_near(shown: int, asked: int, field: Field) -> bool:
    if field.scale is None:
        return shown == asked
    return abs(shown - asked) <= 1 + asked // _ROUNDING
