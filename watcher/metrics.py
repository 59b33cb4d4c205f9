"""What the daemon counts. One registry a process, made by whoever starts it."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Metrics:
    """Named after what is counted; labels are names of the configuration, never ids or addresses."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Registers everything in `registry`; twice in one is an error."""
        self._registry = registry
        self.head = Gauge("topup_head", "Height of the last recorded block.", ["network"], registry=registry)
        self.shards = Gauge("topup_shards", "Shards that this replica owns.", ["network"], registry=registry)
        self.shards_taken = Counter(
            "topup_shards_taken", "Shards that this replica has taken.", ["network"], registry=registry
        )
        self.crashes = Counter("topup_task_crashes", "Crashes of background tasks.", ["task"], registry=registry)
        self.jobs_rescued = Counter("topup_jobs_rescued", "Jobs taken over from dead workers.", registry=registry)
        self.job_faults = Counter("topup_job_faults", "Unexpected faults of jobs.", ["task"], registry=registry)
        self.inbound_ignored = Counter(
            "topup_inbound_ignored", "Webhooks of backends of a type that is not known.", ["source"], registry=registry
        )
        self.rpc_calls = Counter(
            "topup_rpc_calls", "JSON-RPC calls sent to nodes.", ["network", "host", "method"], registry=registry
        )
        self.rpc_calls_per_wallet_day = Gauge(
            "topup_rpc_calls_per_wallet_day",
            "JSON-RPC calls of the last day for each wallet that is watched.",
            ["network"],
            registry=registry,
        )

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self._registry)
