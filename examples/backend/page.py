"""The page that a wallet's user sees: what is missing, the button, and what came of it."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from .state import State

_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="3">
<title>Wallets</title><link rel="icon" href="data:,"><style>body { font: 16px/1.6 sans-serif; margin: 2rem }</style>
"""
_SAID = {"settling": "paid, on its way", "landed": "landed", "retracted": "not needed any more"}


def render_page(wallets: Iterable[str], state: State) -> str:
    """All that is known of these wallets."""
    told = [entry["data"] for entry in state.values()]
    return _HEAD + "".join(f"<h1>{escape(wallet)}</h1>\n{_render_wallet(wallet, told)}" for wallet in wallets)


def _render_wallet(wallet: str, told: list[Mapping[str, Any]]) -> str:
    holdings = [d["holding"] for d in told if "holding" in d and d["wallet"]["id"] == wallet]
    top_ups = [d["top_up"] for d in told if "top_up" in d and d["top_up"]["wallet"] == wallet]
    top_ups.sort(key=lambda top_up: str(top_up["created_at"]), reverse=True)
    lines = [escape("{asset} on {network} is {status}: {balance} when it was told".format(**h)) for h in holdings]
    lines += [_describe(top_up) for top_up in top_ups]
    return "".join(f"<p>{line}.</p>\n" for line in lines or ["Nothing is missing"])


def _describe(top_up: Mapping[str, Any]) -> str:
    assets = top_up["bill"]["assets"] if top_up["bill"] else []
    missing = escape(", ".join("{missing} {asset} on {network}".format(**a) for a in assets) or "any amount")
    if top_up["status"] != "open":
        return f"Asked for {missing}: {_SAID.get(top_up['status'], escape(top_up['status']))}"
    if top_up["link_status"] != "ready":
        return f"Missing: {missing}; the link comes in a moment"
    return f'Missing: {missing}. <a rel="noreferrer" href="/pay/{escape(top_up["id"])}">Add funds</a>'
