"""`POST /v1/preflight`: how an ask would stand, without opening anything."""

from dataclasses import replace
from typing import Any, Self

import structlog
from pydantic import model_validator

from chains.errors import ChainError
from chains.model import Balance, BlockRef, Fee
from config.errors import FieldError
from watcher.api.fields import read_time
from watcher.api.problems import Problem, invalid
from watcher.api.routing import Answer, Call, Route, validate
from watcher.asks.beforehand import look_up
from watcher.asks.bodies import BODIES, AskBody
from watcher.asks.ground import Ground, Understood
from watcher.asks.lifecycle import find_ground, make_ask, make_needs
from watcher.asks.preview import preview
from watcher.asks.render import render_ask
from watcher.asks.spec import find_end, understand
from watcher.judge import Rules
from watcher.model import NeedKind
from watcher.shapes import Strict
from watcher.store.networks import find_head, is_fresh

log = structlog.get_logger()


class PreflightBody(Strict):
    """One of the three bodies, without its id, under its name."""

    transaction: dict[str, Any] | None = None
    checkout: dict[str, Any] | None = None
    swap: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(value is not None for value in (self.transaction, self.checkout, self.swap)) != 1:
            raise ValueError("must hold exactly one of transaction, checkout and swap")
        return self


async def preflight(call: Call) -> Answer:
    """The object as it would be, with `id` null. What can't be read just now is `unknown`."""
    kind, body = _read(call.body)
    stamp = call.deps.stamp()
    findings = await look_up(body, call.tenant.id, call.deps.sources, now=stamp.now)
    async with call.deps.database.begin() as conn:
        ground = await find_ground(conn, call.tenant.id, body.wallet, body.network, call.deps.settings)
        ground = replace(ground, analysis=findings.analysis)
        expires_at = find_end(read_time(body.expires_at) if body.expires_at else None, stamp.now)
        understood = understand(body, ground, findings.rates)
        ask = make_ask((call.tenant.id, kind, body.id), body, ground, understood, expires_at=expires_at, stamp=stamp)
        head = await find_head(conn, ground.network.id) if await is_fresh(conn, ground.network.id) else None
    found = None if not understood.wants else await _read_chain(call, ground, understood, head)
    if found is None:
        shown = render_ask(ask, (), (), ground.network, with_links=False)
    else:
        rules = Rules(ground.network, call.deps.settings.tenants, call.deps.settings.networks)
        needs = make_needs(ask, understood)
        async with call.deps.database.begin() as conn:
            shown = await preview(conn, rules, ask, needs, found[0], fee=found[1], now=stamp.now)
    return Answer({**shown, "id": None, "version": 0})


def _read(body: PreflightBody) -> tuple[NeedKind, AskBody]:
    """The body of an ask, with faults at their places."""
    for kind, model in BODIES.items():
        raw = getattr(body, kind.value)
        if raw is not None:
            if "id" in raw:
                raise invalid([FieldError(f"/{kind}/id", "unknown_field", "is not a known field: nothing is opened")])
            try:
                return kind, validate(model, {**raw, "id": "preflight"})
            except Problem as problem:
                raise invalid([replace(e, field=f"/{kind}{e.field}") for e in problem.errors]) from None
    raise invalid([FieldError("", "required", "must hold exactly one of transaction, checkout and swap")])


async def _read_chain(
    call: Call, ground: Ground, understood: Understood, head: BlockRef | None
) -> tuple[tuple[Balance, ...], Fee] | None:
    chain = call.deps.sources.chains.get(ground.network.id)
    if chain is None or head is None:
        return None
    wanted = sorted({want.holding for want in understood.wants})
    try:
        found = await chain.balances(wanted, head)
        return (found, await chain.fee()) if len(found) == len(wanted) else None  # some can't be read
    except ChainError as error:
        log.info("preflight.unread", network=ground.network.name, reason=str(error))
        return None


ROUTES = (
    Route(
        "POST",
        "/v1/preflight",
        "See how an ask would stand",
        "asks:write",
        preflight,
        body=PreflightBody,
        answer="preflight",
    ),
)
