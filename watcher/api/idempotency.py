"""`Idempotency-Key` on actions: the first answer is kept, and given again to the same request."""

import hashlib
import json
from collections.abc import Awaitable, Callable

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from watcher.api.problems import Problem
from watcher.api.routing import Answer, Call
from watcher.store.tables import idempotency

SHOWN_ONCE = frozenset({"link", "secret"})
"""What an answer may hold and a kept one never does."""

Act = Callable[[AsyncConnection], Awaitable[Answer]]


async def act_once(call: Call, name: str, act: Act) -> Answer:
    """Do it in one transaction, with its answer kept beside it when the caller gave a key; no link or secret is.

    Raises `Problem` 409 when the key came with another request before.
    """
    key = call.idempotency_key
    if key is None:
        async with call.deps.database.begin() as conn:
            return await act(conn)
    asked = [name, dict(call.path), call.raw]
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).digest()
    async with call.deps.database.begin() as conn:
        lock = func.hashtextextended(f"{call.tenant.id}/{key}", 1)
        await conn.execute(select(func.pg_advisory_xact_lock(lock)))
        known = select(idempotency).filter_by(tenant=call.tenant.id, key=key)
        row = (await conn.execute(known)).mappings().one_or_none()
        if row is not None:
            if row["digest"] != digest:
                raise Problem(409, "idempotency_key_reused", "This Idempotency-Key came with another request before")
            return Answer(row["answer"], row["status_code"])
        answer = await act(conn)
        content = dict(answer.content or {})
        kept = {name: None if name in SHOWN_ONCE else value for name, value in content.items()}
        await conn.execute(
            insert(idempotency).values(
                tenant=call.tenant.id,
                key=key,
                digest=digest,
                status_code=answer.status,
                answer=kept,
                created_at=call.deps.clock.now(),
            )
        )
        return answer
