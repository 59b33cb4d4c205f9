"""`/v1/transactions`, `/v1/checkouts`, `/v1/swaps`: what a wallet is about to need."""

from functools import partial
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from watcher.api.fields import Id, Page, read_time
from watcher.api.idempotency import act_once
from watcher.api.problems import Problem, not_found
from watcher.api.routing import Answer, Call, Route
from watcher.asks.beforehand import look_up
from watcher.asks.bodies import BODIES, AskBody, CompleteBody
from watcher.asks.follow import show_ask
from watcher.asks.lifecycle import end_ask, propose
from watcher.asks.model import Ask, State
from watcher.model import NeedKind
from watcher.render import JSON
from watcher.store.asks import AskKey, find_ask, list_asks, lock_ask
from watcher.store.events import record_events
from watcher.store.networks import is_fresh


async def create(kind: NeedKind, call: Call) -> Answer:
    """Open an ask, or give the one that the same body has opened; wait a moment for what is decided about it."""
    body: AskBody = call.body
    key = (call.tenant.id, kind, body.id)
    now = call.deps.clock.now()
    findings = await look_up(body, call.tenant.id, call.deps.sources, now=now, kind=kind)
    async with call.deps.database.begin() as conn:
        stamp = call.deps.stamp()
        opened = await propose(conn, key, body, call.deps.settings, findings, stamp=stamp)
        await record_events(conn, opened.events, now=stamp.now, new_id=stamp.new_id)
    await _wait(call, key)
    return await _answer(call, key, 201 if opened.created else 200)


async def read(kind: NeedKind, call: Call) -> Answer:
    """One ask; links only for keys with `links:read`."""
    return await _answer(call, (call.tenant.id, kind, call.path["id"]), 200)


class AskPage(Page):
    """Filters of the list."""

    wallet: Id | None = None
    status: Literal["unknown", "covered", "short", "not_funds", "done", "cancelled", "expired"] | None = None


async def list_all(kind: NeedKind, call: Call) -> Answer:
    """A page of asks, oldest first."""
    page: AskPage = call.query
    async with call.deps.database.begin() as conn:
        behind = None
        if page.after is not None:
            behind = await find_ask(conn, (call.tenant.id, kind, page.after))
            if behind is None:
                raise Problem(410, "cursor_expired", "There is no such cursor, or no more: start again without after")
        found = await list_asks(
            conn,
            call.tenant.id,
            kind,
            limit=page.limit + 1,
            behind=behind,
            wallet=page.wallet,
            status=page.status,
            updated_after=read_time(page.updated_after) if page.updated_after else None,
        )
        data = [await _show(conn, call, each) for each in found[: page.limit]]
    more = found[page.limit - 1].id if len(found) > page.limit else None
    return Answer({"object": "list", "data": data, "next": more})


async def complete(kind: NeedKind, call: Call) -> Answer:
    """The transaction was made, the purchase is over: nothing is needed any more."""
    body: CompleteBody = call.body
    return await _end(kind, call, State.DONE, transaction_hash=body.transaction_hash)


async def cancel(kind: NeedKind, call: Call) -> Answer:
    """It will not happen: unpaid top-ups that were for nothing else are withdrawn."""
    return await _end(kind, call, State.CANCELLED)


async def _end(kind: NeedKind, call: Call, status: State, *, transaction_hash: str | None = None) -> Answer:
    key = (call.tenant.id, kind, call.path["id"])

    async def act(conn: AsyncConnection) -> Answer:
        ask = await lock_ask(conn, key)
        if ask is None:
            raise not_found()
        stamp, networks = call.deps.stamp(), call.deps.settings.networks
        events = await end_ask(conn, ask, status, networks, stamp, transaction_hash=transaction_hash)
        answer = Answer(await _show(conn, call, await find_ask(conn, key) or ask))
        await record_events(conn, events, now=stamp.now, new_id=stamp.new_id)
        return answer

    return await act_once(call, f"{kind}.{status}", act)


async def _wait(call: Call, key: AskKey) -> None:
    """Until it is decided; with `Prefer: wait`, until its links are ready as well. A stale network decides nothing."""

    async def settled() -> bool:
        async with call.deps.database.begin() as conn:
            ask = await find_ask(conn, key)
            if ask is None or not await is_fresh(conn, ask.network):
                return True
            if ask.status is State.UNKNOWN:
                return False
            if call.wait_seconds is None:
                return True
            shown = await _show(conn, call, ask)
        return all(t["link_status"] != "pending" for t in shown["top_ups"])

    seconds = call.deps.patience_seconds if call.wait_seconds is None else call.wait_seconds
    await call.deps.waiting.until(settled, seconds)


async def _answer(call: Call, key: AskKey, status: int) -> Answer:
    async with call.deps.database.begin() as conn:
        ask = await find_ask(conn, key)
        if ask is None:
            raise not_found()
        return Answer(await _show(conn, call, ask), status)


async def _show(conn: AsyncConnection, call: Call, ask: Ask) -> JSON:
    network = call.deps.settings.networks.get(ask.network)
    shown = await show_ask(conn, ask, network, with_links=call.caller.may("links:read"))
    judged = ask.status in (State.SHORT, State.COVERED)
    if judged and (network is None or not await is_fresh(conn, ask.network)):
        shown = {**shown, "status": State.UNKNOWN.value}
    return shown


def _routes(kind: NeedKind, body: type[AskBody]) -> tuple[Route, ...]:
    path, name = f"/v1/{kind}s", kind.value
    many = f"{path}/{{id}}"
    return (
        Route(
            "POST",
            path,
            f"Propose a {name}",
            "asks:write",
            partial(create, kind),
            body=body,
            statuses=(200, 201),
            answer=name,
        ),
        Route(
            "GET", path, f"List {name}s", "wallets:read", partial(list_all, kind), query=AskPage, answer=f"{name}_list"
        ),
        Route("GET", many, f"Read a {name}", "wallets:read", partial(read, kind), answer=name),
        Route(
            "POST",
            f"{many}/complete",
            f"Complete a {name}",
            "asks:write",
            partial(complete, kind),
            body=CompleteBody,
            answer=name,
        ),
        Route("POST", f"{many}/cancel", f"Cancel a {name}", "asks:write", partial(cancel, kind), answer=name),
    )


ROUTES = tuple(route for kind, body in BODIES.items() for route in _routes(kind, body))
