"""What a kind of webhook is: its shape, what it is about, and what comes of it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from config.model import Settings, Tenant
from watcher.api.fields import Id
from watcher.asks.beforehand import Findings
from watcher.clock import Stamp
from watcher.model import NewEvent
from watcher.shapes import Strict


class Subject(Strict):
    """Which thing it is about. Of two revisions of one thing the higher counts, in whatever order they come."""

    id: Id
    revision: Annotated[int, Field(ge=0, lt=2**63)] | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """One webhook of a backend, about to be applied."""

    tenant: Tenant
    settings: Settings
    stamp: Stamp
    received_at: datetime
    data: Mapping[str, Any] = field(repr=False)
    """As it came."""
    body: Any = field(repr=False)
    """The model named by its kind."""
    findings: Findings = field(default_factory=Findings)
    """What it has to know of the world, for an ask."""


Apply = Callable[[AsyncConnection, Told], Awaitable[Sequence[NewEvent]]]
"""Does it, and gives the events to be recorded last. What it raises that `list_faults` knows refuses the webhook."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One type of webhook."""

    about: str
    """The object that its revision and its place in the order belong to."""
    body: type[Subject]
    apply: Apply
    asks: bool = False
    """It opens an ask: what that has to know is found before anything is locked."""
