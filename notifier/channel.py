"""How an event reaches somebody. Filled by `notifier.webhook` and `notifier.console`."""

from typing import Protocol

from notifier.model import Attempt, Endpoint, OutgoingEvent


class Channel(Protocol):
    """One way of handing over an event."""

    async def send(self, event: OutgoingEvent, endpoint: Endpoint) -> Attempt:
        """One attempt. Every outcome is an `Attempt`; only cancellation is raised."""
