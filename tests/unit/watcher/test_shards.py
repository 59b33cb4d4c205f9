"""Who owns which shard: the same for all who ask, fair, and changed as little as can be."""

from collections import Counter
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from watcher.shards import assign, find_shard

NAMES = ("a", "b", "c", "d", "e")

members = st.sets(st.sampled_from(NAMES), min_size=1)
owners = st.lists(st.one_of(st.none(), st.sampled_from(NAMES)), min_size=1, max_size=24).map(
    lambda found: dict(enumerate(found))
)


def count_moves(before: dict[int, str | None], after: dict[int, str], alive: set[str]) -> int:
    """Shards that somebody who lives gives away."""
    return sum(owner in alive and after[shard] != owner for shard, owner in before.items())


def test_an_address_stays_in_its_shard() -> None:
    """The hash is written down: another release that moved wallets would leave them watched by nobody for a while."""
    found = [find_shard(f"0x{n:040x}", 8) for n in range(8)]
    assert found == [7, 3, 3, 3, 1, 0, 4, 5]
    assert find_shard("So11111111111111111111111111111111111111112", 1) == 0


def test_shards_are_of_about_one_size() -> None:
    """10,000 addresses in 8 shards: none has a tenth more or less than its share."""
    sizes = Counter(find_shard(f"0x{n:040x}", 8) for n in range(10_000))
    assert set(sizes) == set(range(8))
    assert all(1_125 <= size <= 1_375 for size in sizes.values())


def test_nobody_owns_nothing() -> None:
    """Without members there is nobody to say a shard is whose."""
    assert assign({0: "a", 1: None}, []) == {}


def test_a_dead_one_s_shards_are_spread() -> None:
    """Of three, one dies: the two others keep theirs and share what it had."""
    before: dict[int, str | None] = {0: "a", 1: "a", 2: "b", 3: "b", 4: "c", 5: "c"}
    assert assign(before, {"a", "c"}) == {0: "a", 1: "a", 2: "a", 3: "c", 4: "c", 5: "c"}


@given(owners, members)
def test_every_shard_has_an_owner_that_lives(before: dict[int, str | None], alive: set[str]) -> None:
    """None is left out, and none goes to somebody who is gone."""
    after = assign(before, alive)
    assert after.keys() == before.keys()
    assert set(after.values()) <= alive


@given(owners, members)
def test_the_burden_is_shared(before: dict[int, str | None], alive: set[str]) -> None:
    """Nobody has two more than another."""
    sizes = Counter(dict.fromkeys(alive, 0)) + Counter(assign(before, alive).values())
    counts = [sizes[name] for name in alive]
    assert max(counts) - min(counts) <= 1


@given(owners, members)
def test_all_who_ask_find_the_same(before: dict[int, str | None], alive: set[str]) -> None:
    """The order in which rows are read says nothing."""
    backwards = dict(reversed(before.items()))
    assert assign(before, sorted(alive)) == assign(backwards, sorted(alive, reverse=True))


@given(owners, members)
def test_once_it_is_fair_nothing_moves(before: dict[int, str | None], alive: set[str]) -> None:
    """What was assigned is assigned again: two replicas don't pass a shard to and fro."""
    after = assign(before, alive)
    assert assign(after, alive) == after


@given(
    st.lists(st.sampled_from((None, "a", "b", "c")), min_size=1, max_size=5),
    st.sets(st.sampled_from("abc"), min_size=1),
)
def test_no_other_fair_way_moves_less(found: list[str | None], alive: set[str]) -> None:
    """Against every way there is, of few shards."""
    before = dict(enumerate(found))
    ways = (dict(enumerate(way)) for way in product(sorted(alive), repeat=len(found)))
    fair = [w for w in ways if max(c := [list(w.values()).count(n) for n in alive]) - min(c) <= 1]
    assert count_moves(before, assign(before, alive), alive) == min(count_moves(before, way, alive) for way in fair)
