"""A wallet backend that sends signed webhooks, and the job that applies them."""

import json
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from notifier.rates import PegRates
from notifier.signatures import sign
from tests.integration.api.conftest import SOURCE_SECRET, Api
from tests.integration.watcher.world import ADDRESS
from watcher.asks.beforehand import Sources
from watcher.inbound.apply import INBOUND_TASK, Inbound
from watcher.store.tables import event, inbox

PATH = "/webhooks/backend/main"


async def post(
    api: Api,
    body: bytes,
    *,
    webhook_id: str = "msg_1",
    secret: str = SOURCE_SECRET,
    age: timedelta = timedelta(),
    path: str = PATH,
    **headers: str,
) -> tuple[int, Any]:
    """Status and answer to a webhook that was signed `age` ago."""
    signed = sign(webhook_id, int((api.world.clock.now() - age).timestamp()), body, [secret])
    sent = {"Content-Type": "application/json", **signed, **{k.replace("_", "-"): v for k, v in headers.items()}}
    async with api.http.post(api.url + path, data=body, headers=sent) as answer:
        return answer.status, await answer.json(content_type=None)


def say(kind: str, **data: Any) -> bytes:
    """A webhook's body."""
    return json.dumps({"type": kind, "data": data}).encode()


def created(wallet_id: str = "w-1", **changes: Any) -> bytes:
    return say("wallet.created", id=wallet_id, addresses={"local-evm": ADDRESS}, **changes)


async def apply(api: Api) -> int:
    """Run the jobs that are due, first to last; how many there were. A dollar buys an ETH."""
    world, rates = api.world, PegRates({"ETH": "usd"}, now=api.world.clock.now)
    sources = Sources(world.database, world.settings, {world.chain.network: world.chain}, rates)
    inbound = Inbound(sources, clock=world.clock, new_id=world.new_id)
    jobs = [args for task, args in await api.world.jobs() if task == INBOUND_TASK]
    for args in jobs:
        await inbound.apply_inbound(**args)
    return len(jobs)


async def outcomes(api: Api) -> dict[str, str | None]:
    """What each webhook came to, by its id."""
    async with api.world.database.begin() as conn:
        rows = (await conn.execute(select(inbox.c.id, inbox.c.outcome))).all()
    return {row[0]: row[1] for row in rows}


async def payloads(api: Api) -> list[Any]:
    """What is kept of each webhook."""
    async with api.world.database.begin() as conn:
        return list((await conn.execute(select(inbox.c.payload).order_by(inbox.c.id))).scalars())


async def refusals(api: Api) -> list[dict[str, Any]]:
    """What was told as `inbound.refused`."""
    query = select(event.c.data).where(event.c.type == "inbound.refused").order_by(event.c.position)
    async with api.world.database.begin() as conn:
        return list((await conn.execute(query)).scalars())
