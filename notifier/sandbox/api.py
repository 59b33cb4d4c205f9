"""Stripe's own paths: create, retrieve and list onramp sessions."""

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from notifier.sandbox.errors import StripeRefusal, refuse, unknown_parameter
from notifier.sandbox.faults import FaultKind
from notifier.sandbox.forms import decode_form, decode_pairs
from notifier.sandbox.ledger import Entry, name_key
from notifier.sandbox.rules import DECIMALS, WALLET_KEYS, check_create
from notifier.sandbox.sessions import SandboxSession
from notifier.sandbox.state import Sandbox

PATH: Final = "/v1/crypto/onramp_sessions"
MOST_BYTES: Final = 64 * 1024
HANG_SECONDS: Final = 300
STATUSES: Final = (
    "initialized",
    "rejected",
    "requires_payment",
    "fulfillment_processing",
    "fulfillment_complete",
)
LIST_PARAMETERS: Final = frozenset(
    {
        "created",
        "status",
        "destination_currency",
        "destination_network",
        "limit",
        "starting_after",
        "ending_before",
        "expand",
    }
)


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


async def _answer(sandbox: Sandbox, request: web.Request, operation: str, run: Any) -> web.StreamResponse:
    """Who asks, what for, the fault if one is due, the answer, and the ledger."""
    api_key, params, replayed = None, {}, False
    try:
        api_key = _read_key(request)
        params = await _read_params(request)
        status, body, replayed = await run(sandbox, request, api_key, params)
    except StripeRefusal as error:
        status, body = error.status, error.body()
    session = body.get("id") if body.get("object") == "crypto.onramp_session" else None
    sandbox.ledger.append(
        Entry(
            at=sandbox.now(),
            operation=operation,
            api_key=None if api_key is None else name_key(api_key),
            idempotency_key=request.headers.get("Idempotency-Key"),
            params=params,
            status=status,
            session=session or sandbox.made_by_fault.pop(request, None),
            replayed=replayed,
            code=body["error"].get("code") if "error" in body else None,
        )
    )
    if status == 0:  # an answer that never comes
        await asyncio.sleep(HANG_SECONDS)
    headers = {"Idempotent-Replayed": "true"} if replayed else {}
    headers["Request-Id"] = sandbox.new_request_id()
    return web.Response(
        body=json.dumps(body).encode(), status=status or 504, content_type="application/json", headers=headers
    )


async def _create(
    sandbox: Sandbox, request: web.Request, api_key: str, params: Mapping[str, Any]
) -> tuple[int, Mapping[str, Any], bool]:
    async def run() -> tuple[int, Mapping[str, Any], bool]:
        fault = sandbox.faults.take("create")
        if fault in (FaultKind.RATE_LIMIT, FaultKind.DISABLED):
            raise fault.refusal()
        wanted = check_create(params)
        if fault is FaultKind.ERROR:
            return 500, fault.refusal().body(), True
        session = sandbox.sessions.create(wanted)
        body = session.render(sandbox.base_url())
        if fault is FaultKind.ERROR_AFTER_EFFECT:
            sandbox.made_by_fault[request] = session.id
            return 500, fault.refusal().body(), True
        if fault is FaultKind.TIMEOUT_AFTER_EFFECT:
            sandbox.hang_once.add(session.id)
        return 200, body, True

    key = request.headers.get("Idempotency-Key")
    status, body, replayed = await sandbox.idempotency.once(api_key, key, params, run)
    if body.get("id") in sandbox.hang_once:
        sandbox.hang_once.discard(str(body["id"]))
        return 0, body, replayed
    return status, body, replayed


async def _retrieve(
    sandbox: Sandbox, request: web.Request, api_key: str, params: Mapping[str, Any]
) -> tuple[int, Mapping[str, Any], bool]:
    del api_key
    _refuse_fault(sandbox, "retrieve")
    for name in params:
        if name != "expand":
            raise unknown_parameter(name)
    session = sandbox.sessions.find(request.match_info["id"])
    if session is None:
        message = f"No such onramp session: '{request.match_info['id']}'"
        raise StripeRefusal(404, "resource_missing", message, "id")
    return 200, session.render(sandbox.base_url()), False


async def _list(
    sandbox: Sandbox, request: web.Request, api_key: str, params: Mapping[str, Any]
) -> tuple[int, Mapping[str, Any], bool]:
    del request, api_key
    _refuse_fault(sandbox, "list")
    for name in params:
        if name not in LIST_PARAMETERS:
            raise unknown_parameter(name)
    limit = _read_limit(params)
    found = [s for s in sandbox.sessions.newest_first() if _matches(s, params)]
    page, more = _cut(found, params, limit)
    data = [s.render(sandbox.base_url()) for s in page]
    return 200, {"object": "list", "url": PATH, "has_more": more, "data": data}, False


def _refuse_fault(sandbox: Sandbox, operation: str) -> None:
    fault = sandbox.faults.take(operation)
    if fault is not None:
        raise fault.refusal()


def _read_limit(params: Mapping[str, Any]) -> int:
    text = params.get("limit", "10")
    if not isinstance(text, str) or not text.isdigit() or not 1 <= int(text) <= 100:  # noqa: PLR2004
        raise refuse("parameter_invalid_integer", "limit must be between 1 and 100", "limit")
    return int(text)


def _matches(session: SandboxSession, params: Mapping[str, Any]) -> bool:
    shown = session.render("")["transaction_details"]
    for name, known in (("destination_currency", DECIMALS), ("destination_network", WALLET_KEYS)):
        if name in params and params[name] not in known:
            raise refuse("parameter_invalid", f"Invalid {name}", name)
        if name in params and shown[name] != params[name]:
            return False
    if "status" in params and params["status"] not in STATUSES:
        raise refuse("parameter_invalid", "Invalid status", "status")
    if "status" in params and session.status != params["status"]:
        return False
    return _in_window(session.created, params.get("created"))


def _in_window(created: int, window: Any) -> bool:
    if window is None:
        return True
    bounds = window if isinstance(window, dict) else {"eq": window}
    compare = {
        "eq": created.__eq__,
        "gt": created.__gt__,
        "gte": created.__ge__,
        "lt": created.__lt__,
        "lte": created.__le__,
    }
    for name, text in bounds.items():
        if name not in compare or not isinstance(text, str) or not text.isdigit():
            raise refuse("parameter_invalid_integer", "Invalid created", "created")
        if not compare[name](int(text)):
            return False
    return True


def _cut(found: list[SandboxSession], params: Mapping[str, Any], limit: int) -> tuple[list[SandboxSession], bool]:
    ids = [s.id for s in found]
    for name in ("starting_after", "ending_before"):
        if name in params and params[name] not in ids:
            raise StripeRefusal(400, "resource_missing", f"No such onramp session: '{params[name]}'", name)
    if "ending_before" in params:
        before = found[: ids.index(params["ending_before"])]
        return before[-limit:], len(before) > limit
    after = found[ids.index(params["starting_after"]) + 1 :] if "starting_after" in params else found
    return after[:limit], len(after) > limit


def _read_key(request: web.Request) -> str:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    key = value
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(value, validate=True).decode("ascii").partition(":")[0]
        except (binascii.Error, ValueError):
            key = ""
    if not key:
        message = "You did not provide an API key."
        raise StripeRefusal(401, None, message)
    if key.startswith(("sk_live_", "rk_live_")):
        raise StripeRefusal(401, None, "This is the sandbox of topup-watcher: it takes test keys only (sk_test_…).")
    if not key.startswith(("sk_test_", "rk_test_")) or not key.isascii():
        raise StripeRefusal(401, None, "Invalid API Key provided.")
    return key


async def _read_params(request: web.Request) -> dict[str, Any]:
    if request.method == "GET":
        return decode_pairs(request.query.items())
    body = await request.content.read(MOST_BYTES + 1)
    while len(body) <= MOST_BYTES and not request.content.at_eof():
        body += await request.content.read(MOST_BYTES + 1 - len(body))
    if len(body) > MOST_BYTES:
        raise StripeRefusal(413, None, "The request is too large.")
    try:
        return decode_form(body.decode())
    except ValueError:
        raise refuse("parameter_invalid", "The body is not a form.") from None
