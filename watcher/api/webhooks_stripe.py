"""`POST /webhooks/stripe`: verified, on disk, answered; looked into afterwards."""

import hashlib

import structlog
from aiohttp import web
from sqlalchemy.dialects.postgresql import insert as upsert

from config.model import Tenant
from notifier.errors import BadSignature
from notifier.model import StripeEvent
from notifier.stripe_webhook import read_event
from watcher.api.problems import Problem, not_found
from watcher.api.routing import Answer, Deps, make_response
from watcher.api.strict_json import read_body
from watcher.jobs.defer import defer
from watcher.store.tables import inbox

log = structlog.get_logger()

STRIPE_EVENT_TASK = "stripe_event"


def add_stripe_routes(app: web.Application, deps: Deps) -> None:
    """One path a tenant, and the bare one for a sole tenant."""

    async def serve(request: web.Request) -> web.StreamResponse:
        tenant = _find_tenant(deps, request.match_info.get("tenant"))
        body = await read_body(request)
        header = request.headers.get("Stripe-Signature")
        try:
            event = read_event(body, header, tenant.stripe_webhook_secrets, now=deps.clock.now())
        except BadSignature as error:
            raise Problem(400, "bad_signature", str(error)) from None
        await _accept(deps, tenant, event, body)
        return make_response(Answer({"received": True}))

    app.router.add_post("/webhooks/stripe", serve)
    app.router.add_post("/webhooks/stripe/{tenant}", serve)


def _find_tenant(deps: Deps, name: str | None) -> Tenant:
    """A tenant that has a webhook secret: without one anybody's forgery would pass, so there is no such path."""
    tenants = deps.settings.tenants
    if name is None and len(tenants) == 1:
        name = next(iter(tenants))
    found = tenants.get(name or "")
    if found is None or not found.stripe_webhook_secrets:
        raise not_found()
    return found


async def _accept(deps: Deps, tenant: Tenant, event: StripeEvent, body: bytes) -> None:
    """Store it once, with the job that acts on it. What is kept names the session and holds none of its secrets."""
    values = {
        "tenant": tenant.id,
        "source": "stripe",
        "id": event.id,
        "digest": hashlib.sha256(body).digest(),
        "payload": {"type": event.type, "session": event.session, "livemode": event.livemode},
        "received_at": deps.clock.now(),
    }
    async with deps.database.begin() as conn:
        stored = await conn.execute(upsert(inbox).values(**values).on_conflict_do_nothing().returning(inbox.c.id))
        if stored.first() is not None and event.session is not None and event.livemode == tenant.livemode:
            await defer(conn, STRIPE_EVENT_TASK, tenant=tenant.id, session=event.session)
    log.info("stripe.event", tenant=tenant.id, event_id=event.id, type=event.type)
