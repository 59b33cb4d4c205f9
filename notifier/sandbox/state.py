"""Everything that one sandbox remembers."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    faults: Faults = field(default_factory=Faults)
    idempotency: IdempotencyKeys = field(default_factory=IdempotencyKeys)
    made_by_fault: dict[Any, str] = field(default_factory=dict)
    """Sessions whose answer was an error all the same, by request: the ledger names them."""
    hang_once: set[str] = field(default_factory=set)
    """Sessions whose first answer never comes."""

    def __post_init__(self) -> None:
        """Sessions and ledger need the clock and the path."""
        self.sessions = Sessions(self.now)
        self.ledger = Ledger(self.ledger_path)

    def new_request_id(self) -> str:
        """As Stripe's."""
        return "req_" + secrets.token_hex(8)
