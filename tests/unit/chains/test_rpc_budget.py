"""What an endpoint may be asked: by the second, by weight, at once; and what is learned of it."""

import pytest

from chains.errors import RpcError
from chains.rpc_answer import LONGEST_REST, find_rest
from chains.rpc_budget import LONGEST_WAIT, REMEMBERED_SECONDS, UNLIMITED, Allowance, Budget, OverBudget, is_size


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_without_a_budget_nothing_waits() -> None:
    """The default is no limit."""
    allowance = Allowance(UNLIMITED, Clock())
    assert [allowance.take(["eth_call"] * 1_000) for _ in range(100)] == [0.0] * 100
    assert allowance.count_first(["eth_call"] * 5_000) == 5_000


def test_calls_are_spread_over_time() -> None:
    """Ten a second: ten at once, then one each tenth of a second, whoever asks."""
    clock = Clock()
    allowance = Allowance(Budget(calls_per_second=10), clock)
    waits = [allowance.take(["eth_call"]) for _ in range(30)]
    assert waits == pytest.approx([0] * 11 + [number / 10 for number in range(1, 20)])
    clock.now += 60
    assert [allowance.take(["eth_call"]) for _ in range(11)] == pytest.approx([0] * 11)


def test_in_any_ten_seconds_no_more_than_declared() -> None:
    """Sent when told, calls of uneven batches never exceed the rate by more than a second's worth and one batch."""
    clock = Clock()
    allowance = Allowance(Budget(calls_per_second=10), clock)
    sent: list[tuple[float, int]] = []
    for number in range(200):
        size = number % 7 + 1
        wait = allowance.take(["eth_call"] * size)
        sent.append((clock.now + wait, size))
        clock.now += wait / 2
    for begin, _ in sent:
        assert sum(size for at, size in sent if begin <= at < begin + 10) <= 10 * 10 + 10 + 7


def test_dear_methods_use_up_more() -> None:
    """Credits by weight; a method without one costs one; whichever budget is narrower decides."""
    allowance = Allowance(Budget(credits_per_second=100, credits={"eth_getLogs": 75}), Clock())
    assert [allowance.take([method]) for method in ("eth_getLogs", "eth_getLogs")] == [0.0, 0.0]
    assert allowance.take(["eth_call"]) == pytest.approx(0.5)
    assert allowance.take(["eth_call"]) == pytest.approx(0.51)


def test_whose_turn_is_far_away_is_sent_elsewhere() -> None:
    """The wait is bounded, and what was refused takes nothing."""
    allowance = Allowance(Budget(calls_per_second=1), Clock())
    waits = [allowance.take(["eth_call"]) for _ in range(int(LONGEST_WAIT) + 2)]
    assert waits[-1] == LONGEST_WAIT
    for _ in range(3):
        with pytest.raises(OverBudget):
            allowance.take(["eth_call"])


def test_a_batch_fits_into_a_second() -> None:
    """By calls, by credits, and by what the operator said; never none."""
    methods = ["eth_call"] * 50
    assert Allowance(Budget(calls_per_second=20), Clock()).count_first(methods) == 20
    assert Allowance(Budget(credits_per_second=100, credits={"eth_call": 26}), Clock()).count_first(methods) == 3
    assert Allowance(Budget(credits_per_second=10, credits={"eth_call": 26}), Clock()).count_first(methods) == 1
    assert Allowance(Budget(most_in_batch=7), Clock()).count_first(methods) == 7


def test_a_cap_is_learned_and_forgotten() -> None:
    """Half of what was refused, for an hour."""
    clock = Clock()
    allowance = Allowance(UNLIMITED, clock)
    allowance.learn(100)
    assert allowance.count_first(["eth_call"] * 500) == 50
    allowance.learn(1)
    assert allowance.count_first(["eth_call"] * 500) == 1
    clock.now += REMEMBERED_SECONDS + 1
    assert allowance.count_first(["eth_call"] * 500) == 500


@pytest.mark.parametrize(
    ("code", "text", "size"),
    [
        (-32600, "batch too large", True),
        (-32008, "Response is too big", True),
        (-32003, "response too large", True),
        (-32010, "The batch request was too large", True),
        (413, "request too large", True),
        (-32005, "daily request count exceeded", False),
        (3, "execution reverted", False),
        (-32000, "header not found", False),
    ],
)
def test_which_refusals_fewer_calls_may_not_meet(*, code: int, text: str, size: bool) -> None:
    """The words and codes that nodes use for it."""
    assert is_size(RpcError("host", code, text)) is size


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        ({"rate": {"backoff_seconds": 30, "allowed_rps": 1}}, 30),
        ({"backoff_seconds": 0.5}, 1.0),
        ({"backoff_seconds": 86_400}, LONGEST_REST),
        ({"backoff_seconds": True}, 1.0),
        ({"rate": None}, 1.0),
        ("soon", 1.0),
        (None, 1.0),
    ],
)
def test_the_rest_that_a_busy_node_asks_for(data: object, rest: float) -> None:
    """As -32005 carries it; nonsense counts as the usual second."""
    assert find_rest(data, otherwise=1.0) == rest
