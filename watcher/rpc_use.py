"""How much the nodes of a network are asked: calls by host and method, and how many a wallet costs in a day."""

from collections import deque
from collections.abc import Callable
from typing import Final

from watcher.metrics import Metrics

HOUR: Final = 3_600
MOST_HOURS: Final = 24
DAY: Final = 86_400


class RpcUse:
    """One network's. Counts calls as they are sent, and works out the rest when the metrics are read."""

    def __init__(
        self, metrics: Metrics, network: str, *, count_wallets: Callable[[], int], monotonic: Callable[[], float]
    ) -> None:
        """`count_wallets`: how many are watched now; `monotonic`: seconds."""
        self._metrics = metrics
        self._network = network
        self._count_wallets = count_wallets
        self._monotonic = monotonic
        self._since = monotonic()
        self._hours: deque[tuple[int, int]] = deque(maxlen=MOST_HOURS)
        """Calls by the hour, the last ones."""
        metrics.rpc_calls_per_wallet_day.labels(network).set_function(self.per_wallet_day)

    def on_call(self, host: str, method: str) -> None:
        """One more was sent."""
        self._metrics.rpc_calls.labels(self._network, host, method).inc()
        hour = int(self._monotonic() - self._since) // HOUR
        before = self._hours.pop()[1] if self._hours and self._hours[-1][0] == hour else 0
        self._hours.append((hour, before + 1))

    def per_wallet_day(self) -> float:
        """Calls of the last 24 hours, or of the time there was, made up to a day, for each wallet that is watched."""
        passed = self._monotonic() - self._since
        first = int(passed) // HOUR - MOST_HOURS + 1
        calls = sum(count for hour, count in self._hours if hour >= first)
        seconds = max(1.0, passed - max(0, first) * HOUR)
        return calls * DAY / seconds / max(1, self._count_wallets())
