"""Finds the storage word behind a view's answer: what is planted there must come back as the view's answer."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from chains.ethereum.needs.layouts import SENTINEL, Field, Slot, find_field, guesses, likely, pattern
from chains.ethereum.needs.memory import Known, Memory
from chains.ethereum.needs.node import Node, is_unsupported
from chains.ethereum.needs.state import Place, State
from chains.ethereum.needs.words import hash_word, lower, view
from chains.rpc import Request

VIEW_GAS: Final = hex(3_000_000)
"""What a view may burn: a token that loops ends here."""
_MOST_KEYS: Final = 8
"""Storage words of one view that are tried."""
_MOST_AT_ONCE: Final = 8
"""Views that are searched for at once; of more, one of each kind first."""
_ROUNDING: Final = 2**40
"""A scaled amount is taken for proven when it is right to one part of so many."""


@dataclass(frozen=True, slots=True)
class View:
    """A view that answers with an amount of some owners."""

    contract: str
    selector: str
    owners: tuple[str, ...]

    @property
    def kind(self) -> tuple[str, str]:
        """What has one layout for all owners."""
        return self.contract, self.selector

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
    found: tuple[Place, Field] | None
    """Where a usual token keeps it, if this one does."""


@dataclass(frozen=True, slots=True)
class Slots:
    """What was found, and which of it has yet to be proven."""

    slots: Mapping[View, Slot]
    doubted: Mapping[View, Slot]
    """A part of the slots."""


async def find_slots(node: Node, memory: Memory, views: Iterable[View]) -> Slots:
    """The slot of each view that has one. Those that are no view, or computed, are left out.

    In one round trip where layouts are known, or usual. Of many, one of each kind is searched for; the others follow
    from its layout.
    """
    waiting = list(dict.fromkeys(views))
    known = {each: layout for each in waiting if (layout := memory.layout(*each.kind))}
    unknown = [each for each in waiting if each not in known]
    first = unknown
    if len(unknown) > _MOST_AT_ONCE:
        first = list({each.kind: each for each in reversed(unknown)}.values())
    can = memory.can(node.host, "eth_createAccessList")
    requests = [*_recall_requests(node, known), *_look_requests(node, first, can=can)]
    answers = iter(await node.many(requests))
    slots = _read_recalled(known, answers)
    doubted = await _place(node, _read_looks(node, memory, first, answers, can=can))
    stale = [each for each in known if each not in slots]
    for each in stale:
        memory.forget(*each.kind)
    doubted |= await _search(node, memory, stale)
    rest = [each for each in unknown if each not in first]
    alike = {each.kind: layout for each, slot in doubted.items() if (layout := layout_of(each, slot))}
    followers = {each: alike[each.kind] for each in rest if each.kind in alike}
    doubted |= _read_recalled(followers, iter(await node.many(_recall_requests(node, followers))))
    kinds = {each.kind for each in doubted}
    doubted |= await _search(node, memory, [each for each in rest if each.kind in kinds and each not in doubted])
    return Slots(slots | doubted, doubted)


def layout_of(view: View, slot: Slot) -> Known | None:
    """What a proven slot tells of other owners; None for a place of no usual layout."""
    layout = guesses(view.owners).get(slot.place[1])
    return None if layout is None else Known(slot.place[0], layout, slot.field)


def proof_request(node: Node, view: View, slot: Slot) -> Request:
    """Asks the view with plenty in the slot, all else of its word kept."""
    return view.request(node, State(words={slot.place: slot.holding(slot.ample)}))


def is_proof(answer: Any, slot: Slot) -> bool:
    """Whether the view answered with what was put there."""
    shown = amount_of(answer)
    return shown is not None and _is_near(shown, slot.ample, slot.field)


def amount_of(answer: Any) -> int | None:
    """The first word of a view's answer; None when it has none."""
    if not isinstance(answer, str) or len(answer) < 66 or not answer.startswith("0x"):  # noqa: PLR2004  0x and a word
        return None
    try:
        return int(answer[2:66], 16)
    except ValueError:
        return None


def _recall_requests(node: Node, known: Mapping[View, Known]) -> list[Request]:
    requests: list[Request] = []
    for each, layout in known.items():
        place = (layout.contract, layout.layout.key(*each.owners))
        requests += [each.request(node), ("eth_getStorageAt", [*place, node.block])]
        if layout.field.scale is not None:
            requests.append(each.request(node, State(words={place: SENTINEL})))
    return requests


def _read_recalled(known: Mapping[View, Known], answers: Iterator[Any]) -> dict[View, Slot]:
    """Slots by a known layout, where the word there agrees with the view. What a share is worth is asked anew."""
    found: dict[View, Slot] = {}
    for each, layout in known.items():
        field: Field | None = layout.field
        amount, word = amount_of(next(answers)), amount_of(next(answers))
        if field and field.scale is not None:
            field = _scaled(amount or 0, amount_of(next(answers)))
        if field and amount is not None and word is not None and _is_near(field.get(word), amount, field):
            found[each] = Slot((layout.contract, layout.layout.key(*each.owners)), word, amount, field)
    return found


async def _search(node: Node, memory: Memory, views: Sequence[View]) -> dict[View, Slot]:
    """Slots of views that nothing is known of."""
    can = memory.can(node.host, "eth_createAccessList")
    answers = iter(await node.many(_look_requests(node, views, can=can)))
    return await _place(node, _read_looks(node, memory, views, answers, can=can))


def _look_requests(node: Node, views: Sequence[View], *, can: bool) -> list[Request]:
    """Each view, with a pattern at each place where usual tokens keep it; and what it reads, where the node tells."""
    requests: list[Request] = []
    for each in views:
        planted = State(words={(each.contract, key): word for key, word in likely(each.owners).items()})
        requests += [each.request(node), each.request(node, planted), *(each.accesses(node) if can else ())]
    return requests


def _read_looks(
    node: Node, memory: Memory, views: Sequence[View], answers: Iterator[Any], *, can: bool
) -> list[_Search]:
    """The words that each view reads for its owners and not for strangers; guesses where the node can't tell."""
    searches = []
    for each in views:
        amount, shown = amount_of(next(answers)), amount_of(next(answers))
        lists = [next(answers), next(answers)] if can else []
        if amount is None:
            continue
        if any(is_unsupported(item) for item in lists):
            memory.cannot(node.host, "eth_createAccessList")
        own, strange = (_places(item) for item in lists) if lists else ((), ())
        places = tuple(place for place in own if place not in strange)[:_MOST_KEYS]
        fields = ((key, find_field(word, shown or 0)) for key, word in likely(each.owners).items())
        found = next((((each.contract, key), field) for key, field in fields if field is not None), None)
        if not places and found is None:
            places = tuple((each.contract, key) for key in guesses(each.owners))
        searches.append(_Search(each, amount, places, found))
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


async def _place(node: Node, searches: Sequence[_Search]) -> dict[View, Slot]:
    """The slots, not yet proven. A word that the view shows whole is its answer; others are read."""
    found = {search.view: search.found for search in searches if search.found is not None}
    found |= await _try(node, [search for search in searches if search.found is None])
    partial = [each for each, (_, field) in found.items() if field != Field()]
    reads = await node.many([("eth_getStorageAt", [*found[each][0], node.block]) for each in partial])
    words = {search.view: search.amount for search in searches}
    words |= {each: amount_of(read) or 0 for each, read in zip(partial, reads, strict=True)}
    amounts = {search.view: search.amount for search in searches}
    return {each: Slot(place, words[each], amounts[each], field) for each, (place, field) in found.items()}


async def _try(node: Node, searches: Sequence[_Search]) -> dict[View, tuple[Place, Field]]:
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
                found[search.view] = (place, field)
                break
    return found


def _scaled(before: int, shown: int | None) -> Field | None:
    """The scale of a word that changes the answer, but not to what it holds."""
    if not shown or shown == before or not 2**40 < shown < 2**200:
        return None
    return Field(scale=Fraction(SENTINEL, shown))


def _is_near(shown: int, asked: int, field: Field) -> bool:
    if field.scale is None:
        return shown == asked
    return abs(shown - asked) <= 1 + asked // _ROUNDING
