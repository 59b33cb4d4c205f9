"""A wallet as its backend writes it: over the API, in a webhook, or as a line of a file."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError
from sqlalchemy.ext.asyncio import AsyncConnection

from config.model import Settings, Tenant
from watcher.api.fields import Id, IpAddress, Metadata, Time, read_time
from watcher.clock import Stamp
from watcher.registration import Registered, register_wallet
from watcher.shapes import Strict
from watcher.wallet_plan import WalletSpec

NOT_KEPT: Final = frozenset({"id", "revision", "customer_ip_address"})
"""What stands in a body and is no part of the registration."""

Addresses = Annotated[dict[str, Annotated[str, StringConstraints(max_length=128)]], Field(max_length=64)]
"""By network."""


def _check_link_mode(mode: str) -> str:
    if mode != "eager":
        code = "not_available_yet" if mode == "claim" else "not_one_of"
        raise PydanticCustomError(code, 'must be "eager"; "claim" is not available yet')
    return mode


class Asks(Strict):
    """What holds asks back."""

    paused_until: Time | None = None


class WalletBody(Strict):
    """A wallet as its backend describes it."""

    user: Id | None = None
    addresses: Addresses
    policy: Annotated[str, StringConstraints(max_length=64)] = "default"
    funding: list[dict[str, Any]] | None = None
    link_mode: Annotated[str, AfterValidator(_check_link_mode)] = "eager"
    notify: bool = True
    asks: Asks = Asks()
    initial: Literal["ask", "wait_for_drop"] = "ask"
    label: Annotated[str, StringConstraints(max_length=80)] | None = None
    allow_off_curve: bool = False
    customer_ip_address: IpAddress | None = None
    metadata: Metadata = Field(default_factory=dict)


def merge(target: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7396) applied."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


async def write_wallet(
    conn: AsyncConnection,
    wallet_id: str,
    raw: Mapping[str, Any],
    body: WalletBody,
    *,
    tenant: Tenant,
    settings: Settings,
    stamp: Stamp,
    told_at: datetime | None = None,
) -> Registered:
    """Register or replace a wallet by its body, `raw` as it came. Raises `Refused`, `AddressIsSet`.

    `told_at`: when the backend sent it, if that was earlier. The events are to be recorded last in the transaction.
    """
    kept = {name: value for name, value in raw.items() if name not in NOT_KEPT}
    spec = WalletSpec(
        id=wallet_id,
        addresses=body.addresses,
        policy=body.policy,
        funding=body.funding,
        user=body.user,
        label=body.label,
        link_mode=body.link_mode,
        notify=body.notify,
        initial=body.initial,
        allow_off_curve=body.allow_off_curve,
        asks_paused_until=read_time(body.asks.paused_until) if body.asks.paused_until else None,
        customer_ip_address=body.customer_ip_address,
        told_at=told_at,
        metadata=body.metadata,
        body={**kept, "initial": body.initial},  # its default differs from one way in to another
    )
    return await register_wallet(conn, spec, tenant, settings, stamp)
