"""`/_sandbox/…`: what a test or a demo does in place of people and of bad luck."""

import json
from dataclasses import replace
from typing import Any

from aiohttp import web

from notifier.sandbox.ledger import Entry
from notifier.sandbox.payments import PaymentRefused, Payments
from notifier.sandbox.state import Sandbox

THEN = ("complete", "processing", "reject")


def add_control_routes(app: web.Application, sandbox: Sandbox, payments: Payments) -> None:
    """Pay, faults, ledger."""

    async def pay(request: web.Request) -> web.StreamResponse:
        order = await _read(request)
        session_id, then = request.match_info["id"], order.pop("then", "complete")
        strange = set(order) - {"deliver", "currency", "network"}
        if then not in THEN or strange or not all(isinstance(v, str) for v in order.values()):
            return _fault(400, 'send {"then": "complete" | "processing" | "reject", "deliver": "<amount>"}')
        if sandbox.sessions.find(session_id) is None:
            return _fault(404, "there is no such session")
        entry = Entry(sandbox.now(), "pay", None, None, {"then": then, **order}, 200, session_id)
        try:
            session = await payments.pay(session_id, then, order=order)
        except PaymentRefused as error:
            sandbox.ledger.append(replace(entry, status=409))
            return _fault(409, str(error))
        sandbox.ledger.append(entry)
        return web.json_response(session.render(sandbox.base_url()))

    async def faults(request: web.Request) -> web.StreamResponse:
        try:
            sandbox.faults.add(await _read(request))
        except ValueError as error:
            return _fault(400, str(error))
        return web.json_response({"accepted": True})

    async def ledger(_: web.Request) -> web.StreamResponse:
        return web.json_response({"object": "list", "data": [entry.render() for entry in sandbox.ledger.entries]})

    app.router.add_post("/_sandbox/sessions/{id}/pay", pay)
    app.router.add_post("/_sandbox/faults", faults)
    app.router.add_get("/_sandbox/ledger", ledger)


async def _read(request: web.Request) -> dict[str, Any]:
    try:
        order = json.loads(await request.text() or "{}")
    except (ValueError, RecursionError):
        return {"then": "not JSON"}
    return order if isinstance(order, dict) else {"then": "not an object"}


def _fault(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"type": "sandbox", "message": message}}, status=status)
