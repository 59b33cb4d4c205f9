"""`POST /webhooks/stripe`: verified, on disk, answered; looked into afterwards."""

import hashlib

import structlog
from aiohttp import web

from config.model import Tenant
from notifier.errors import BadSignature
from notifier.model import StripeEvent
from notifier.stripe_webhook import read_event
from watcher.api.problems import Problem, not_found
from watcher.api.routing import Answer, Deps, make_response
from watcher.api.strict_json import read_body
from watcher.inbound.intake import Intake
from watcher.store.inbox import Arrival

log = structlog.get_logger()

STRIPE_EVENT_TASK = "stripe_event"


def add_stripe_routes(app: web.Application, deps: Deps, intake: Intake) -> None:
    """One path a tenant, and the bare one for a sole tenant."""

    async def serve(request: web.Request) -> web.StreamResponse:
        tenant = _find_tenant(deps, request.match_info.get("tenant"))
        body = await read_body(request)
        header = request.headers.get("Stripe-Signature")
        try:
            event = read_event(body, header, tenant.stripe_webhook_secrets, now=deps.clock.now())
        except BadSignature as error:
            raise Problem(400, "bad_signature", str(error)) from None
        await _accept(deps, intake, tenant, event, body)
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


async def _accept(deps: Deps, intake: Intake, tenant: Tenant, event: StripeEvent, body: bytes) -> None:
    """Store it once, with the job that acts on it. What is kept names the session and holds none of its secrets."""
    ours = event.session is not None and event.livemode == tenant.livemode
    await intake.keep(
        Arrival(
            tenant.id,
            "stripe",
            event.id,
            hashlib.sha256(body).digest(),
            {"type": event.type, "session": event.session, "livemode": event.livemode},
            deps.clock.now(),
            task=STRIPE_EVENT_TASK if ours else None,
            args={"tenant": tenant.id, "session": event.session},
        )
    )
    log.info("stripe.event", tenant=tenant.id, event_id=event.id, type=event.type)
