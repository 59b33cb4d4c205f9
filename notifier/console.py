"""Events as lines for a person at a terminal. A link is never among them."""

from collections.abc import Callable, Mapping
from typing import Any

from notifier.model import Attempt, Endpoint, OutgoingEvent, Verdict


class ConsoleChannel:
    """Fills `notifier.channel.Channel`."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """`write` takes one line without its end."""
        self._write = write

    async def send(self, event: OutgoingEvent, endpoint: Endpoint) -> Attempt:
        """Write it."""
        del endpoint
        self._write(f"{event.created_at:%H:%M:%S} {event.type:<20} {event.subject['id']}{_describe(event.data)}")
        return Attempt(Verdict.DELIVERED)


def _describe(data: Mapping[str, Any]) -> str:
    if holding := data.get("holding"):
        return f"  {holding['balance']} {holding['asset']} on {holding['network']}, trigger {holding['trigger']}"
    if top_up := data.get("top_up"):
        where = ", ".join(dict.fromkeys(d["network"] for d in top_up["destinations"]))
        asset = top_up["destinations"][0]["asset"]
        what = f"{top_up['asked']} {asset}" if top_up["asked"] is not None else "a first funding"
        return f"  {what} on {where} for {top_up['wallet']}"
    return ""
