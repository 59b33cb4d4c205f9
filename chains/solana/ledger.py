"""Which ledger the endpoints serve, by its genesis hash. No I/O."""

from collections.abc import Callable

import structlog

log = structlog.get_logger()


class Ledger:
    """The cluster's one ledger; or, on a local network, the one that the validator has now: wiped, it makes another."""

    def __init__(self, genesis_hash: str | None) -> None:
        """`genesis_hash` is the configured one; None for a local network, where any is ours."""
        self._configured = genesis_hash
        self._now = genesis_hash
        self.on_change: Callable[[], None] = lambda: None
        """Called when a local network has begun anew: what was seen before says nothing any more."""

    @property
    def local(self) -> str | None:
        """The genesis hash of a local network, as last told: a cursor keeps it. None where it never changes."""
        return self._now if self._configured is None else None

    def is_ours(self, answer: object) -> bool:
        """Whether an endpoint that gives this genesis hash may be believed."""
        if not isinstance(answer, str) or self._configured not in (None, answer):
            return False
        if self._now not in (None, answer):
            log.warning("ledger.changed", genesis_hash=answer)
            self.on_change()
        self._now = answer
        return True

    def recall(self, genesis_hash: str | None) -> bool:
        """Take over what a cursor kept; whether the cursor is of the ledger that is served, as far as known."""
        if self._configured is None and self._now is None:
            self._now = genesis_hash
        return genesis_hash in (None, self.local)
