"""`/v1/users`: the people behind wallets, as far as asking them well needs it."""

from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert

from watcher.api.fields import Metadata
from watcher.api.problems import not_found
from watcher.api.routing import Answer, Call, Route
from watcher.render import JSON, render_time
from watcher.shapes import Strict
from watcher.store.tables import app_user


def _check_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("is not a time zone of the IANA database")
    return name


class Contacts(Strict):
    """How a person can be reached."""

    email: Annotated[str, StringConstraints(pattern=r"^[^\s@]{1,64}@[^\s@]{1,190}$")] | None = None


class UserBody(Strict):
    """A person as the backend describes them."""

    locale: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")] | None = None
    time_zone: Annotated[str, AfterValidator(_check_zone)] | None = None
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = None
    subdivision: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{1,3}$")] | None = None
    contacts: Contacts = Contacts()
    metadata: Metadata = Field(default_factory=dict)


_WRITTEN = ("locale", "time_zone", "country", "subdivision", "contacts", "metadata")


async def put_user(call: Call) -> Answer:
    """Create, or replace."""
    body: UserBody = call.body
    now = call.deps.clock.now()
    values: dict[str, Any] = body.model_dump()
    values["contacts"] = {k: v for k, v in values["contacts"].items() if v is not None}
    key = {"tenant": call.tenant.id, "id": call.path["id"]}
    async with call.deps.database.begin() as conn:
        new = upsert(app_user).values(**key, **values, version=1, created_at=now, updated_at=now)
        made = await conn.execute(new.on_conflict_do_nothing().returning(app_user.c.id))
        created = made.first() is not None
        query = select(app_user).filter_by(**key).with_for_update()
        row = (await conn.execute(query)).mappings().one()
        if any(row[name] != values[name] for name in _WRITTEN):
            changed = {**values, "version": row["version"] + 1, "updated_at": now}
            await conn.execute(app_user.update().filter_by(**key).values(**changed))
            row = (await conn.execute(query)).mappings().one()
    return Answer(render_user(row, with_contacts=call.caller.may("contacts:read")), 201 if created else 200)


async def get_user(call: Call) -> Answer:
    """One user; contacts only for those that may read them."""
    query = select(app_user).filter_by(tenant=call.tenant.id, id=call.path["id"])
    async with call.deps.database.begin() as conn:
        row = (await conn.execute(query)).mappings().one_or_none()
    if row is None:
        raise not_found()
    return Answer(render_user(row, with_contacts=call.caller.may("contacts:read")))


def render_user(row: Any, *, with_contacts: bool) -> JSON:
    """A user as the API shows it."""
    shown = {
        "object": "user",
        "id": row["id"],
        "version": row["version"],
        "locale": row["locale"],
        "time_zone": row["time_zone"],
        "country": row["country"],
        "subdivision": row["subdivision"],
        "metadata": row["metadata"],
        "created_at": render_time(row["created_at"]),
        "updated_at": render_time(row["updated_at"]),
    }
    return {**shown, "contacts": row["contacts"]} if with_contacts else shown


ROUTES = (
    Route(
        "PUT",
        "/v1/users/{id}",
        "Register or replace a user",
        "wallets:write",
        put_user,
        body=UserBody,
        statuses=(200, 201),
        answer="user",
    ),
    Route("GET", "/v1/users/{id}", "Read a user", "wallets:read", get_user, answer="user"),
)
