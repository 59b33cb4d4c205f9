"""Calls of nodes as `/metrics` shows them."""

from prometheus_client import CollectorRegistry

from watcher.metrics import Metrics
from watcher.rpc_use import DAY, HOUR, RpcUse


class Use:
    """One network's use, an hour after its start, with ten wallets."""

    def __init__(self) -> None:
        self.now, self.wallets = 0.0, 10
        self.metrics = Metrics(CollectorRegistry())
        self.use = RpcUse(self.metrics, "base", count_wallets=lambda: self.wallets, monotonic=lambda: self.now)

    def call(self, times: int) -> None:
        for _ in range(times):
            self.use.on_call("node.example", "eth_call")


def test_calls_per_wallet_and_day() -> None:
    """A hundred calls in an hour for ten wallets are 240 a wallet and day."""
    it = Use()
    it.call(100)
    it.now = HOUR
    assert it.use.per_wallet_day() == 240
    assert 'topup_rpc_calls_per_wallet_day{network="base"} 240.0' in it.metrics.render().decode()
    assert 'topup_rpc_calls_total{host="node.example",method="eth_call",network="base"} 100.0' in (
        it.metrics.render().decode()
    )


def test_what_is_older_than_a_day_is_forgotten() -> None:
    """Only the last 24 hours count, and memory is bounded by them."""
    it = Use()
    it.call(10_000)
    for hour in range(1, 48):
        it.now = hour * HOUR + 1.0
        it.call(10)
    it.now = 48 * HOUR - 1.0
    assert 23 < it.use.per_wallet_day() < 25
    it.now += 2 * DAY
    assert it.use.per_wallet_day() == 0


def test_without_wallets_it_is_all_of_them() -> None:
    """Nothing is divided by zero."""
    it = Use()
    it.wallets = 0
    it.call(1)
    it.now = DAY - 1.0
    assert round(it.use.per_wallet_day()) == 1
