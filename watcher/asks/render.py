"""How an ask looks to its backend. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from config.model import Network
from watcher.asks.model import Ask, Need
from watcher.model import NeedKind, Session, TopUp
from watcher.render import JSON, render_time, render_top_up

SHOWN: Final[Mapping[NeedKind, tuple[str, ...]]] = {
    NeedKind.TRANSACTION: ("transaction", "needs", "gas"),
    NeedKind.CHECKOUT: ("price", "pay_in", "mode", "transaction", "gas"),
    NeedKind.SWAP: ("want", "pay_in", "gas"),
}
"""What an ask shows of how it was written."""

Followed = tuple[TopUp, Session | None, Sequence[Mapping[str, str]]]
"""A top-up, its latest attempt, and what it is for."""


def render_ask(
    ask: Ask, needs: Sequence[Need], top_ups: Sequence[Followed], network: Network | None, *, with_links: bool
) -> JSON:
    """A transaction, checkout or swap. Links only for those that may see them."""
    ordered = sorted(top_ups, key=lambda found: (found[0].created_at, found[0].id))
    return {
        "object": ask.kind.value,
        "id": ask.id,
        "status": ask.status.value,
        "version": ask.version,
        "wallet": ask.wallet,
        "network": ask.network if network is None else network.name,
        **{name: ask.body[name] for name in SHOWN[ask.kind] if ask.body.get(name) is not None},
        "reason": None if ask.reason is None else dict(ask.reason),
        "bill": render_needs(needs, ask),
        "top_ups": [
            render_top_up(top_up, attempt, subjects=subjects, with_link=with_links)
            for top_up, attempt, subjects in ordered
        ],
        "received": None if ask.received is None else [dict(entry) for entry in ask.received],
        "transaction_hash": ask.transaction_hash,
        "notify": ask.notify,
        "expires_at": render_time(ask.expires_at),
        "metadata": dict(ask.body.get("metadata") or {}),
        "created_at": render_time(ask.created_at),
        "updated_at": render_time(ask.updated_at),
    }


def render_needs(needs: Sequence[Need], ask: Ask) -> dict[str, Any] | None:
    """The bill of all that is needed; None until each of them was read. What isn't needed any more is left out."""
    counted = [n for n in needs if n.state.living] if ask.status.living else [n for n in needs if n.bill is not None]
    bills = [dict(n.bill) for n in sorted(counted, key=lambda n: n.place) if n.bill is not None]
    if not bills or len(bills) < len(counted):
        return None
    found = ask.analysis
    if found is None or found.at is None:
        return {"exact": True, "method": "stated", "assets": bills}
    return {
        "exact": found.exact,
        "method": found.method,
        "analysed_at": {"height": found.at.number, "hash": found.at.hash},
        "assets": bills,
    }
