"""Everything that one sandbox remembers."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from notifier.sandbox.faults import Faults
from notifier.sandbox.idempotency import IdempotencyKeys
from notifier.sandbox.ledger import Ledger
from notifier.sandbox.sessions import Sessions


def _now() -> int:
    return int(time.time())


@dataclass
class Sandbox:
    """State in memory; the ledger may be a file."""

    base_url: Callable[[], str]
    ledger_path: Path | None = None
    now: Callable[[], int] = _now
    create_seconds: float = 0.0
    """How long a create call takes: meanwhile its idempotency key is in use."""
    faults: Faults = field(default_factory=Faults)
    idempotency: IdempotencyKeys = field(default_factory=IdempotencyKeys)

    def __post_init__(self) -> None:
        """Sessions and ledger need the clock and the path."""
        self.sessions = Sessions(self.now)
        self.ledger = Ledger(self.ledger_path)

    def new_request_id(self) -> str:
        """As Stripe's."""
        return "req_" + secrets.token_hex(8)
