"""The pages: the hosted one at a session's `redirect_url`, and a list of all for whoever runs the sandbox.

A GET changes nothing: mail and chat scanners open links first. Paying is a POST from the page itself.
"""

from importlib.resources import files
from typing import Any, Final

import jinja2
from aiohttp import web

from notifier.sandbox.ledger import Entry
from notifier.sandbox.payments import PaymentRefused, Payments, choose, list_options
from notifier.sandbox.rules import WALLET_KEYS
from notifier.sandbox.sessions import USD_PRICES, SandboxSession
from notifier.sandbox.state import Sandbox

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
}


def add_page_routes(app: web.Application, sandbox: Sandbox, payments: Payments) -> None:
    """Pages, their style, and the two buttons."""
    templates = files("notifier.sandbox") / "templates"
    loader = jinja2.FunctionLoader(lambda name: (templates / name).read_text())
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)

    def show(name: str, status: int = 200, **values: Any) -> web.Response:
        text = environment.get_template(name).render(**values)
        return web.Response(text=text, status=status, content_type="text/html", headers=_HEADERS)

    def find(request: web.Request) -> SandboxSession | None:
        return sandbox.sessions.find_page(request.match_info["page"])

    async def page(request: web.Request) -> web.StreamResponse:
        session = find(request)
        if session is None:
            return show("missing.html", 404)
        return show("pay.html", **describe(session), problem=None)

    async def act(request: web.Request) -> web.StreamResponse:
        session = find(request)
        if session is None:
            return show("missing.html", 404)
        form = await request.post()
        order = {k: str(form[k]) for k in ("currency", "network") if form.get(k)}
        if form.get("deliver") is not None:
            order["deliver"] = str(form["deliver"]).strip()
        then = "reject" if form.get("then") == "reject" else "complete"
        try:
            session = await payments.pay(session.id, then, order=order)
        except PaymentRefused as error:
            return show("pay.html", 409, **describe(sandbox.sessions.find(session.id) or session), problem=str(error))
        sandbox.ledger.append(Entry(sandbox.now(), "pay", None, None, {"then": then, **order}, 200, session.id))
        return web.HTTPSeeOther(f"/pay/{session.page}")

    async def index(_: web.Request) -> web.StreamResponse:
        sessions = [describe(s) for s in sandbox.sessions.newest_first()]
        return show("index.html", sessions=sessions)

    async def style(_: web.Request) -> web.StreamResponse:
        return web.Response(text=(templates / "style.css").read_text(), content_type="text/css")

    async def icon(_: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    app.router.add_get("/", index)
    app.router.add_get("/style.css", style)
    app.router.add_get("/favicon.ico", icon)
    app.router.add_get("/pay/{page}", page)
    app.router.add_post("/pay/{page}", act)


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
        "options": [(c, n, wallets[WALLET_KEYS[n]]) for c, n in options],
        "transaction": session.transaction,
        "metadata": dict(session.wanted.metadata),
    }
