"""What an answer looks like when something is wrong: RFC 9457 problems, with every fault at once."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog
from aiohttp import web

from config.errors import FieldError
from watcher.asks.ground import NotUnderstood
from watcher.asks.lifecycle import MOST_OPEN, IdReused, Over, TooMany
from watcher.inbound.intake import Full
from watcher.registration import AddressIsSet
from watcher.render import render_faults
from watcher.replacing import NotExpected
from watcher.store.errors import StoreUnavailable
from watcher.wallet_plan import Refused

log = structlog.get_logger()

TYPE_BASE: Final = "https://topup-watcher.dev/problems/"
RETRY_SECONDS: Final = 5
INTAKE_RETRY_SECONDS: Final = 1
_REFUSALS: Final = frozenset({400, 403, 404, 409, 410, 413, 422, 501})
"""Statuses of what stays refused however often it comes."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Problem(Exception):
    """An answer other than the one that was asked for."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`code` is machine-readable; `detail` is a sentence for people."""
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def invalid(errors: Sequence[FieldError]) -> Problem:
    """422 with each field's fault."""
    return Problem(422, "invalid_request", "Some fields can't be accepted", errors=errors)


def not_found() -> Problem:
    """404: the same whether it never was, is gone, or is another tenant's."""
    return Problem(404, "not_found", "There is no such thing here")


def make_answer(problem: Problem, request_id: str) -> web.Response:
    """The problem as a response."""
    body: dict[str, Any] = {
        "type": TYPE_BASE + problem.code.replace("_", "-"),
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        "request_id": request_id,
    }
    if problem.errors:
        body["errors"] = render_faults(problem.errors)
    return web.Response(
        body=json.dumps(body).encode(),
        status=problem.status,
        content_type="application/problem+json",
        headers=problem.headers,
    )


def translate(error: Exception) -> Problem | None:
    """An expected error as a problem; None for what should not happen."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, Refused | NotUnderstood):
        return invalid(error.errors)
    if isinstance(error, IdReused | TooMany | Over | AddressIsSet | NotExpected):
        return _translate_conflict(error)
    if isinstance(error, StoreUnavailable | Full):
        return _translate_passing(error)
    if isinstance(error, web.HTTPException) and error.status >= HTTPStatus.BAD_REQUEST:
        return _translate_http(error)
    return None


def list_faults(error: Exception) -> tuple[FieldError, ...] | None:
    """Why what was sent is refused, for those who answer later or line by line.

    None for what is not its own fault, or passes: to be tried again.
    """
    problem = translate(error)
    if problem is None or problem.status not in _REFUSALS:
        return None
    return problem.errors or (FieldError("", problem.code, problem.detail),)


def _translate_passing(error: StoreUnavailable | Full) -> Problem:
    if isinstance(error, Full):
        soon = {"Retry-After": str(INTAKE_RETRY_SECONDS)}
        return Problem(503, "busy", "Too many webhooks wait to be stored: nothing of this one was", headers=soon)
    retry = {"Retry-After": str(RETRY_SECONDS)}
    return Problem(503, "store_unavailable", "The store can't be reached: nothing was changed", headers=retry)


def _translate_conflict(error: IdReused | TooMany | Over | AddressIsSet | NotExpected) -> Problem:
    if isinstance(error, IdReused):
        return Problem(409, "id_reused", "This id came with another body before: what was asked for does not change")
    if isinstance(error, TooMany):
        return Problem(409, "too_many_asks", f"The wallet has {MOST_OPEN} open asks: complete or cancel some")
    if isinstance(error, Over):
        return Problem(409, "over", f"It has come to another end: {error}")
    if isinstance(error, NotExpected):
        return Problem(409, "not_expected", "The wallet has another address on this network than the one expected")
    faults = [FieldError(f"/addresses/{n}", "address_is_set", "is set; it changes by replace") for n in error.networks]
    return Problem(409, "address_is_set", "An address, once set, changes only by the replace call", errors=faults)


def _translate_http(error: web.HTTPException) -> Problem:
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    detail = "There is no such thing here" if error.status == HTTPStatus.NOT_FOUND else error.reason
    return Problem(error.status, codes.get(error.status, "bad_request"), detail, headers=allowed)


def make_problem_middleware(new_id: Callable[[str], str]) -> Any:
    """Give each request an id, and make every error a problem that carries it."""

    @web.middleware
    async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = new_id("req")
        try:
            answer = await handler(request)
        except web.HTTPException as error:
            found = translate(error)
            if found is None:
                raise
            answer = make_answer(found, request_id)
        except Exception as error:
            found = translate(error)
            if found is None:
                log.exception("request.failed", request=request_id, method=request.method)
                found = Problem(500, "internal", "Something went wrong on our side; the log has it under request_id")
            answer = make_answer(found, request_id)
        answer.headers["X-Request-Id"] = request_id
        return answer

    return problems
