"""Stripe's own paths: create, retrieve and list onramp sessions."""

import asyncio
import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from notifier.sandbox.errors import StripeRefusal, refuse, unknown_parameter
from notifier.sandbox.faults import FaultKind
from notifier.sandbox.forms import decode_form
from notifier.sandbox.idempotency import Outcome
from notifier.sandbox.ledger import Entry, name_key
from notifier.sandbox.listing import list_sessions
from notifier.sandbox.rules import check_create
from notifier.sandbox.state import Sandbox

PATH: Final = "/v1/crypto/onramp_sessions"
MOST_BYTES: Final = 64 * 1024
HANG_SECONDS: Final = 300

Operation = Callable[[Sandbox, web.Request, str, Mapping[str, Any]], Awaitable[Outcome]]
"""One of the three calls, for an account and its parameters. Raises `StripeRefusal`."""


def add_api_routes(app: web.Application, sandbox: Sandbox) -> None:
    """`POST`, `GET` and list."""

    async def create(request: web.Request) -> web.StreamResponse:
        return await _answer(sandbox, request, "create", _create)

    async def retrieve(request: web.Request) -> web.StreamResponse:
        return await _answer(sandbox, request, "retrieve", _retrieve)

    async def listing(request: web.Request) -> web.StreamResponse:
        return await _answer(sandbox, request, "list", _list)

    app.router.add_post(PATH, create)
    app.router.add_get(PATH, listing)
    app.router.add_get(PATH + "/{id}", retrieve)


async def _answer(sandbox: Sandbox, request: web.Request, operation: str, run: Operation) -> web.StreamResponse:
    """Who asks, what for, the fault if one is due, the answer, and the ledger."""
    api_key: str | None = None
    params: dict[str, Any] = {}
    try:
        api_key = _read_key(request)
        params = await _read_params(request)
        outcome = await run(sandbox, request, api_key, params)
    except StripeRefusal as error:
        outcome = Outcome(error.status, error.body())
    sandbox.ledger.append(
        Entry(
            at=sandbox.now(),
            operation=operation,
            api_key=None if api_key is None else name_key(api_key),
            idempotency_key=request.headers.get("Idempotency-Key"),
            params=params,
            status=0 if outcome.lost else outcome.status,
            session=outcome.session,
            replayed=outcome.replayed,
            code=outcome.body["error"].get("code") if "error" in outcome.body else None,
        )
    )
    if outcome.lost:
        await _wait_for_the_end(request)
    headers = {"Idempotent-Replayed": "true"} if outcome.replayed else {}
    headers["Request-Id"] = sandbox.new_request_id()
    return web.Response(
        body=json.dumps(outcome.body).encode(),
        status=outcome.status,
        content_type="application/json",
        headers=headers,
    )


async def _wait_for_the_end(request: web.Request) -> None:
    """Until whoever asked hangs up, or for five minutes."""
    for _ in range(HANG_SECONDS * 10):
        if request.transport is None or request.transport.is_closing():
            return
        await asyncio.sleep(0.1)


async def _create(sandbox: Sandbox, request: web.Request, api_key: str, params: Mapping[str, Any]) -> Outcome:
    async def run() -> Outcome:
        fault = sandbox.faults.take("create")
        if fault in (FaultKind.RATE_LIMIT, FaultKind.DISABLED):
            raise fault.refusal()
        wanted = check_create(params)
        await asyncio.sleep(sandbox.create_seconds)
        if fault is FaultKind.ERROR:
            return Outcome(500, fault.refusal().body())
        session = sandbox.sessions.create(wanted, api_key)
        if fault is FaultKind.ERROR_AFTER_EFFECT:
            return Outcome(500, fault.refusal().body(), session.id)
        lost = fault is FaultKind.TIMEOUT_AFTER_EFFECT
        return Outcome(200, session.render(sandbox.base_url()), session.id, lost=lost)

    return await sandbox.idempotency.once(api_key, request.headers.get("Idempotency-Key"), params, run)


async def _retrieve(sandbox: Sandbox, request: web.Request, api_key: str, params: Mapping[str, Any]) -> Outcome:
    for name in params:
        if name != "expand":
            raise unknown_parameter(name)
    lost = _run_fault(sandbox, "retrieve")
    session = sandbox.sessions.find(request.match_info["id"])
    if session is None or session.account != api_key:
        message = f"No such onramp session: '{request.match_info['id']}'"
        raise StripeRefusal(404, "resource_missing", message, "id")
    return Outcome(200, session.render(sandbox.base_url()), session.id, lost=lost)


async def _list(sandbox: Sandbox, request: web.Request, api_key: str, params: Mapping[str, Any]) -> Outcome:
    del request
    lost = _run_fault(sandbox, "list")
    page, more = list_sessions(list(sandbox.sessions.newest_first(api_key)), params)
    data = [s.render(sandbox.base_url()) for s in page]
    return Outcome(200, {"object": "list", "url": PATH, "has_more": more, "data": data}, lost=lost)


def _run_fault(sandbox: Sandbox, operation: str) -> bool:
    """Whether the answer of a read never comes. Raises another fault that is due."""
    fault = sandbox.faults.take(operation)
    if fault is not None and fault is not FaultKind.TIMEOUT_AFTER_EFFECT:
        raise fault.refusal()
    return fault is not None


def _read_key(request: web.Request) -> str:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    key = value
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(value, validate=True).decode("ascii").partition(":")[0]
        except (binascii.Error, ValueError):
            key = ""
    if not key:
        message = "You did not provide an API key: send it as the user of HTTP Basic, or as a Bearer token."
        raise StripeRefusal(401, None, message)
    if key.startswith(("sk_live_", "rk_live_")):
        raise StripeRefusal(401, None, "This is the sandbox of topup-watcher: it takes test keys only (sk_test_…).")
    if not key.startswith(("sk_test_", "rk_test_")) or not key.isascii():
        raise StripeRefusal(401, None, "Invalid API Key provided.")
    return key


async def _read_params(request: web.Request) -> dict[str, Any]:
    if request.method == "GET":
        return _decode(request.query_string)
    body = await request.content.read(MOST_BYTES + 1)
    while len(body) <= MOST_BYTES and not request.content.at_eof():
        body += await request.content.read(MOST_BYTES + 1 - len(body))
    if len(body) > MOST_BYTES:
        raise StripeRefusal(413, None, "The request is too large.")
    try:
        return _decode(body.decode())
    except UnicodeDecodeError:
        raise refuse("parameter_invalid", "The body is not a form.") from None


def _decode(text: str) -> dict[str, Any]:
    try:
        return decode_form(text)
    except ValueError as error:
        raise refuse("parameter_invalid", f"Not a form that can be read: {error}.") from None
