"""Every schema by its name: what a route's `answer` may name."""

from collections.abc import Mapping
from typing import Final

from watcher.api.schemas.asks import ASKS
from watcher.api.schemas.events import EVENTS
from watcher.api.schemas.objects import OBJECTS
from watcher.api.schemas.words import JSON

SCHEMAS: Final[Mapping[str, JSON]] = {**OBJECTS, **ASKS, **EVENTS}
