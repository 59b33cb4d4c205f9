"""`/v1/top-ups`: what is being asked for, and what came of it."""

from typing import Literal

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from watcher.api.fields import Id, IpAddress, Page, Time, read_time
from watcher.api.idempotency import act_once
from watcher.api.problems import Problem, not_found
from watcher.api.routing import Answer, Call, Route
from watcher.apply import defer_session
from watcher.asks.adding import add_funds
from watcher.asks.bodies import Amount, Reference
from watcher.asks.lifecycle import find_ground
from watcher.asks.spec import find_end, understand_press
from watcher.closing import GIVEN_UP
from watcher.model import Session, TopUp, TopUpStatus
from watcher.render import JSON, find_link_status, render_top_up
from watcher.shapes import Strict
from watcher.store.events import record_events
from watcher.store.tables import top_up
from watcher.store.top_ups import find_sessions, find_subjects, find_top_up, lock_top_up, read_top_up
from watcher.store.turns import hurry_turn
from watcher.store.wallets import keep_customer_ip
from watcher.top_ups import move_top_up, note_step


class TopUpPage(Page):
    """Filters of the list."""

    wallet: Id | None = None
    status: (
        Literal["open", "settling", "landed", "retracted", "cancelled", "expired", "superseded", "rejected", "failed"]
        | None
    ) = None


class AddBody(Strict):
    """The person wants to add money."""

    wallet: Id
    network: Reference
    asset: Reference
    amount: Amount | None = None
    expires_at: Time | None = None
    notify: bool = True
    customer_ip_address: IpAddress | None = None


class LinkBody(Strict):
    """The person is about to open the link."""

    customer_ip_address: IpAddress | None = None


async def add(call: Call) -> Answer:
    """Open a top-up for money that the person adds, or give the open one that brings it."""
    body: AddBody = call.body

    async def act(conn: AsyncConnection) -> Answer:
        stamp, settings = call.deps.stamp(), call.deps.settings
        ground = await find_ground(conn, call.tenant.id, body.wallet, body.network, settings)
        expires_at = find_end(read_time(body.expires_at) if body.expires_at else None, stamp.now)
        asset, units = understand_press(
            body.asset, body.amount, ground, onramp=call.tenant.stripe_secret_key is not None
        )
        if body.customer_ip_address is not None:
            await keep_customer_ip(conn, call.tenant.id, body.wallet, body.customer_ip_address, now=stamp.now)
        found, events = await add_funds(
            conn,
            call.tenant,
            body.wallet,
            ground,
            asset,
            units=units,
            notify=body.notify,
            expires_at=expires_at,
            stamp=stamp,
        )
        answer = Answer(await _show(conn, call, found), 201 if events else 200)
        await record_events(conn, events, now=stamp.now, new_id=stamp.new_id)
        return answer

    answer = await act_once(call, "add", act)
    return await _with_link(call, str((answer.content or {})["id"]), answer.status)


async def mint_link(call: Call) -> Answer:
    """The link at the moment of the press: the one that is there, or one that is made now."""
    body: LinkBody = call.body
    async with call.deps.database.begin() as conn:
        found = await _lock(conn, call)
        if found.status is not TopUpStatus.OPEN:
            raise Problem(409, "gone", f"It is {found.status}: there is nothing to pay any more")
        if body.customer_ip_address is not None:
            now = call.deps.clock.now()
            await keep_customer_ip(conn, found.tenant, found.wallet, body.customer_ip_address, now=now)
        if not found.session_deferred:
            await defer_session(conn, found, now=call.deps.clock.now(), pressed=True)
        else:
            await hurry_turn(conn, found.id)
    return await _with_link(call, found.id, 200)


async def _with_link(call: Call, top_up_id: str, status: int) -> Answer:
    """Its link is made by a job: wait for it a moment, and give the top-up as it is."""

    async def ready() -> bool:
        async with call.deps.database.begin() as conn:
            found = await find_top_up(conn, top_up_id)
            sessions = await find_sessions(conn, top_up_id)
        return found is None or find_link_status(found, sessions[-1] if sessions else None) != "pending"

    patience = call.deps.patience_seconds if call.wait_seconds is None else call.wait_seconds
    await call.deps.waiting.until(ready, patience)
    async with call.deps.database.begin() as conn:
        found = await find_top_up(conn, top_up_id)
        if found is None:
            raise not_found()
        return Answer(await _show(conn, call, found), status)


async def get_top_up(call: Call) -> Answer:
    """One top-up; its link only for keys with `links:read`."""
    async with call.deps.database.begin() as conn:
        found = await find_top_up(conn, call.path["id"])
        if found is None or found.tenant != call.tenant.id:
            raise not_found()
        return Answer(await _show(conn, call, found))


async def list_top_ups(call: Call) -> Answer:
    """A page of top-ups, oldest first."""
    page: TopUpPage = call.query
    query = select(top_up).where(top_up.c.tenant == call.tenant.id)
    if page.wallet is not None:
        query = query.where(top_up.c.wallet == page.wallet)
    if page.status is not None:
        query = query.where(top_up.c.status == page.status)
    if page.updated_after is not None:
        query = query.where(top_up.c.updated_at > read_time(page.updated_after))
    async with call.deps.database.begin() as conn:
        if page.after is not None:
            behind = await find_top_up(conn, page.after)
            if behind is None or behind.tenant != call.tenant.id:
                raise Problem(410, "cursor_expired", "There is no such cursor, or no more: start again without after")
            query = query.where(tuple_(top_up.c.created_at, top_up.c.id) > (behind.created_at, behind.id))
        rows = (await conn.execute(query.order_by(top_up.c.created_at, top_up.c.id).limit(page.limit + 1))).mappings()
        found = [read_top_up(row) for row in rows]
        data = [await _show(conn, call, t) for t in found[: page.limit]]
    more = found[page.limit - 1].id if len(found) > page.limit else None
    return Answer({"object": "list", "data": data, "next": more})


async def cancel_top_up(call: Call) -> Answer:
    """Withdraw an open ask; give an overdue paid one up."""

    async def act(conn: AsyncConnection) -> Answer:
        found = await _lock(conn, call)
        stamp = call.deps.stamp()
        if found.status is TopUpStatus.SETTLING and not found.overdue:
            raise Problem(409, "settling", "It is paid and on its way; once it is overdue it can be given up")
        if found.status.active:
            after = TopUpStatus.CANCELLED if found.status is TopUpStatus.OPEN else TopUpStatus.FAILED
            values = {"failure": GIVEN_UP} if after is TopUpStatus.FAILED else None
            found, event = await move_top_up(conn, found, after, stamp, values=values)
            answer = Answer(await _show(conn, call, found))
            await record_events(conn, [event], now=stamp.now, new_id=stamp.new_id)
            return answer
        return Answer(await _show(conn, call, found))

    return await act_once(call, "cancel", act)


async def resend_top_up(call: Call) -> Answer:
    """Tell of an open top-up's link once more, as a new event."""

    async def act(conn: AsyncConnection) -> Answer:
        found = await _lock(conn, call)
        sessions = await find_sessions(conn, found.id)
        if find_link_status(found, sessions[-1] if sessions else None) != "ready":
            raise Problem(409, "no_link", "There is no link to send: it is not ready yet, or of no use any more")
        stamp = call.deps.stamp()
        found, event = await note_step(conn, found, "notified", stamp, event="link_ready")
        answer = Answer(await _show(conn, call, found))
        await record_events(conn, [event], now=stamp.now, new_id=stamp.new_id)
        return answer

    return await act_once(call, "resend", act)


async def _lock(conn: AsyncConnection, call: Call) -> TopUp:
    found = await lock_top_up(conn, call.path["id"])
    if found is None or found.tenant != call.tenant.id:
        raise not_found()
    return found


async def _show(conn: AsyncConnection, call: Call, found: TopUp) -> JSON:
    sessions = await find_sessions(conn, found.id)
    latest: Session | None = sessions[-1] if sessions else None
    subjects = await find_subjects(conn, found.id)
    return render_top_up(found, latest, subjects=subjects, with_link=call.caller.may("links:read"))


ROUTES = (
    Route("GET", "/v1/top-ups", "List top-ups", "wallets:read", list_top_ups, query=TopUpPage, answer="top_up_list"),
    Route("GET", "/v1/top-ups/{id}", "Read a top-up", "wallets:read", get_top_up, answer="top_up"),
    Route("POST", "/v1/top-ups", "Add funds", "asks:write", add, body=AddBody, statuses=(200, 201), answer="top_up"),
    Route("POST", "/v1/top-ups/{id}/link", "Get the link now", "links:read", mint_link, body=LinkBody, answer="top_up"),
    Route("POST", "/v1/top-ups/{id}/cancel", "Withdraw a top-up", "asks:write", cancel_top_up, answer="top_up"),
    Route(
        "POST", "/v1/top-ups/{id}/resend", "Tell of the link once more", "asks:write", resend_top_up, answer="top_up"
    ),
)
