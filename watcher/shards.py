"""Which shard an address belongs to, and which replica owns which shard. Pure: every replica finds the same."""

import hashlib
from collections.abc import Collection, Mapping
from typing import Final

MOST_SHARDS: Final = 1024
"""Far below the 65,536 values that the hash has, so that shards are of about one size."""


def find_shard(address: str, total: int) -> int:
    """The shard of an address as it is stored. It depends on nothing else: not on the machine, nor on who asks."""
    return int.from_bytes(hashlib.sha256(address.encode()).digest()[:2]) % total


def assign(owners: Mapping[int, str | None], members: Collection[str]) -> dict[int, str]:
    """Who should own each shard: all of `members` alike (within one), and as few shards as can be change hands.

    `owners`: every shard, with who owns it now; None, or somebody who is no member any more, means that it is free.
    Empty when there are no members.
    """
    names = sorted(set(members))
    if not names:
        return {}
    held = {name: sorted(shard for shard, owner in owners.items() if owner == name) for name in names}
    fair, extra = divmod(len(owners), len(names))
    # whoever has the most already keeps one more than the others, where it doesn't come out even
    by_size = sorted(names, key=lambda name: (-len(held[name]), name))
    room = {name: fair + (place < extra) for place, name in enumerate(by_size)}
    assigned = {shard: name for name in names for shard in held[name][: room[name]]}
    free = iter(sorted(owners.keys() - assigned.keys()))
    for name in names:
        for _ in range(room[name] - len(held[name][: room[name]])):
            assigned[next(free)] = name
    return assigned
