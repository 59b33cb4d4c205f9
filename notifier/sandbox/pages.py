"""The pages: the hosted one at a session's `redirect_url`, and a list of all for whoever runs the sandbox.

A GET changes nothing: mail and chat scanners open links first. Paying is a POST from the page itself.
"""

from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from typing import Any, Final

import jinja2
from aiohttp import web

from notifier.sandbox.ledger import Entry
from notifier.sandbox.payments import PaymentRefused, Payments, choose, list_options
from notifier.sandbox.rules import WALLET_KEYS
from notifier.sandbox.sessions import USD_PRICES, SandboxSession
from notifier.sandbox.state import Sandbox

_POLICY: Final = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
}
TEMPLATES: Final = files("notifier.sandbox") / "templates"


class Pages:
    """The handlers of the pages."""

    def __init__(self, sandbox: Sandbox, payments: Payments) -> None:
        """Templates are read when first shown."""
        self._sandbox = sandbox
        self._payments = payments
        loader = jinja2.FunctionLoader(lambda name: (TEMPLATES / name).read_text())
        self._environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)

    def add_routes(self, app: web.Application) -> None:
        """Pages, their style, and the two buttons."""
        app.router.add_get("/", self._index)
        app.router.add_get("/style.css", self._style)
        app.router.add_get("/favicon.ico", self._icon)
        app.router.add_get("/pay/{page}", self._page)
        app.router.add_post("/pay/{page}", self._act)

    def _show(self, name: str, values: Mapping[str, Any], *, http_status: int = 200) -> web.Response:
        text = self._environment.get_template(name).render(values)
        return web.Response(text=text, status=http_status, content_type="text/html", headers=_HEADERS)

    def _find(self, request: web.Request) -> SandboxSession | None:
        return self._sandbox.sessions.find_page(request.match_info["page"])

    async def _page(self, request: web.Request) -> web.StreamResponse:
        session = self._find(request)
        if session is None:
            return self._show("missing.html", {}, http_status=404)
        return self._show("pay.html", {**describe(session), "problem": None})

    async def _act(self, request: web.Request) -> web.StreamResponse:
        session = self._find(request)
        if session is None:
            return self._show("missing.html", {}, http_status=404)
        form = await request.post()
        order = {k: str(form[k]).strip() for k in ("currency", "network", "deliver") if form.get(k)}
        if form.get("asset"):  # the menu's: one that is sold there, for two menus could be set to what is not
            order["currency"], _, order["network"] = str(form["asset"]).partition("/")
        then = "reject" if form.get("then") == "reject" else "complete"
        entry = Entry(self._sandbox.now(), "pay", None, None, {"then": then, **order}, 200, session.id)
        try:
            await self._payments.pay(session.id, then, order=order)
        except PaymentRefused as error:
            self._sandbox.ledger.append(replace(entry, status=409))
            now = self._sandbox.sessions.find(session.id) or session
            return self._show("pay.html", {**describe(now), "problem": str(error)}, http_status=409)
        self._sandbox.ledger.append(entry)
        return web.Response(status=303, headers={"Location": f"/pay/{session.page}"})

    async def _index(self, _: web.Request) -> web.StreamResponse:
        sessions = [describe(s) for s in self._sandbox.sessions.newest_first()]
        return self._show("index.html", {"sessions": sessions})

    async def _style(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text=(TEMPLATES / "style.css").read_text(), content_type="text/css")

    async def _icon(self, _: web.Request) -> web.StreamResponse:
        return web.Response(status=204)


def describe(session: SandboxSession) -> dict[str, Any]:
    """What a page shows of a session."""
    options = list_options(session)
    try:
        order = choose(session, {"deliver": str(session.amount() if session.amount() is not None else "0")})
    except PaymentRefused:
        order = None
    amount = session.amount()
    currency = order.currency if order else None
    price = None
    if amount is not None and currency is not None:
        price = f"{amount * USD_PRICES.get(currency, 1):,.2f}"
    wallets = session.wanted.wallet_addresses
    return {
        "id": session.id,
        "page": session.page,
        "status": session.status,
        "over": session.status in ("fulfillment_complete", "rejected"),
        "currency": currency,
        "network": order.network if order else None,
        "address": order.address if order else None,
        "amount": None if amount is None else format(amount.normalize(), "f"),
        "price": price,
        "options": options,
        "addresses": {n: wallets[WALLET_KEYS[n]] for _, n in options if session.network in (None, n)},
        "transaction": session.transaction,
        "metadata": dict(session.wanted.metadata),
    }
