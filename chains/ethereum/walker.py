"""From the last known block to the head by hash and parent hash: what is new, what is orphaned, where a gap is."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from chains.errors import BlockGone
from chains.ethereum.answers import Header
from chains.ethereum.marks import Marks
from chains.model import BlockRef

WINDOW: Final = 64
"""Blocks kept and walked: two epochs, after which Ethereum is final."""


@dataclass(slots=True)
class Seen:
    """A block that the walk has passed."""

    ref: BlockRef
    touched: Marks = field(default_factory=Marks)
    """Holdings read because of this block: to be read again if it is orphaned."""
    given: bool = False
    """It was the head of a step."""


@dataclass(frozen=True, slots=True)
class Walk:
    """The way from a known block to the head."""

    new: tuple[Header, ...]
    """Oldest first; empty when the head is a block already passed. After a gap, the head alone."""
    orphaned: tuple[Seen, ...]
    """Newest first."""
    gap: bool


class Ring:
    """The last blocks passed, oldest first."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[str, Seen] = OrderedDict()

    def __contains__(self, hash_: str) -> bool:
        return hash_ in self._blocks

    def __iter__(self) -> Iterator[Seen]:
        return iter(self._blocks.values())

    def find(self, number: int) -> BlockRef | None:
        """The block of that number; None where it isn't here."""
        return next((seen.ref for seen in reversed(self._blocks.values()) if seen.ref.number == number), None)

    @property
    def tip(self) -> Seen | None:
        """The newest block."""
        return next(reversed(self._blocks.values()), None)

    def above(self, hash_: str) -> tuple[Seen, ...]:
        """The blocks after the named one, newest first."""
        found: list[Seen] = []
        for key, seen in reversed(self._blocks.items()):
            if key == hash_:
                break
            found.append(seen)
        return tuple(found)

    def put(self, seen: Seen) -> None:
        """Add a block on top, and drop the oldest beyond the window."""
        self._blocks[str(seen.ref.hash)] = seen
        while len(self._blocks) > WINDOW:
            self._blocks.popitem(last=False)

    def discard(self, blocks: Sequence[Seen]) -> None:
        """Remove these blocks."""
        for seen in blocks:
            self._blocks.pop(str(seen.ref.hash), None)

    def cut(self, hash_: str) -> tuple[Seen, ...]:
        """Remove and return everything above the named block, newest first; all of it when it isn't there."""
        removed = self.above(hash_)
        self.discard(removed)
        return removed


async def walk(
    ring: Ring,
    head: Header,
    parent_of: Callable[[Header], Awaitable[Header]],
    still_canonical: Callable[[Sequence[BlockRef]], Awaitable[Sequence[bool]]],
) -> Walk:
    """The way from the ring to `head`; the ring is not changed. Raises what the two readers raise."""
    tip = ring.tip
    if tip is None:
        return Walk((head,), (), gap=False)
    oldest = next(iter(ring)).ref.number
    new: list[Header] = []
    block = head
    while block.hash not in ring:
        new.append(block)
        if block.number <= oldest or head.number - tip.ref.number > WINDOW:
            return Walk((head,), await _orphans(ring, still_canonical), gap=True)
        if block.parent in ring:
            return Walk(tuple(reversed(new)), ring.above(block.parent), gap=False)
        block = _checked(block, await parent_of(block))
    return Walk(tuple(reversed(new)), ring.above(block.hash), gap=False)


def _checked(child: Header, parent: Header) -> Header:
    if parent.hash != child.parent or parent.number != child.number - 1:
        raise BlockGone("the node gave another block than the parent asked for")
    return parent


async def _orphans(
    ring: Ring, still_canonical: Callable[[Sequence[BlockRef]], Awaitable[Sequence[bool]]]
) -> tuple[Seen, ...]:
    blocks = list(reversed(list(ring)))
    stands = await still_canonical([seen.ref for seen in blocks])
    return tuple(seen for seen, stand in zip(blocks, stands, strict=True) if not stand)
