"""Events: the envelope that all share, what each type carries, and the webhooks section of the OpenAPI document."""

from collections.abc import Mapping
from typing import Final

from watcher.api.schemas.objects import ASSET, FAULT, HOLDING_STATUS
from watcher.api.schemas.words import (
    AMOUNT,
    ANY_OBJECT,
    BLOCK,
    FLAG,
    JSON,
    OWN_ID,
    TEXT,
    TIME,
    VERSION,
    const,
    fields,
    listed,
    nullable,
    one_of,
    our_id,
    ref,
)
from watcher.event_types import ASK_OBJECTS, SENT_TYPES

_EVENT: Final = fields(
    {
        "id": our_id("evt"),
        "type": {**TEXT, "pattern": r"^[a-z_]+\.[a-z_]+$", "description": "Types may be added: ignore unknown ones."},
        "created_at": TIME,
        "livemode": FLAG,
        "subject": fields({"object": TEXT, "id": TEXT}),
        "version": {**VERSION, "description": "Of the subject: apply an event only if it is newer than what you have."},
        "data": ANY_OBJECT,
    },
    {"object": const("event")},
)
_WALLET_NAMED: Final = fields({"object": const("wallet"), "id": OWN_ID, "version": VERSION})
_HOLDING_SEEN: Final = fields(
    {
        **ASSET,
        "address": TEXT,
        "balance": AMOUNT,
        "trigger": AMOUNT,
        "status": HOLDING_STATUS,
        "as_of": BLOCK,
    }
)
_WALLET_LEVEL: Final = fields(
    {"wallet": _WALLET_NAMED, "holding": _HOLDING_SEEN, "ask": nullable(fields({"code": TEXT}))},
    about="`ask` says whether money is asked for, or why not.",
)
_CHANGE: Final = fields(
    {"network": TEXT, "from": TEXT, "to": TEXT, "effective_at": TIME, "status": one_of("pending", "effective")}
)
_NETWORK: Final = fields(
    {
        "object": const("network"),
        "id": TEXT,
        "status": one_of("fresh", "stale", "held"),
        "reason": nullable(TEXT),
    }
)
_INBOUND: Final = fields({"object": const("inbound"), "id": TEXT, "source": TEXT, "type": TEXT})

_DATA: Final[Mapping[str, JSON]] = {
    "top_up": fields({"top_up": ref("top_up")}),
    **{kind: fields({kind: ref(kind)}) for kind in ASK_OBJECTS},
    "wallet": _WALLET_LEVEL,
    "network": fields({"network": _NETWORK, "changed_at": TIME}),
    "inbound": fields({"inbound": _INBOUND, "errors": listed(FAULT, least=1)}),
    "endpoint": fields({"endpoint": fields({"object": const("endpoint"), "id": OWN_ID})}),
}
"""What an event carries, by the object that it is about."""
_OTHER_DATA: Final[Mapping[str, JSON]] = {
    "wallet.address_changed": fields({"wallet": _WALLET_NAMED, "change": _CHANGE})
}
"""Types that carry something else than their object's others."""


def _event_of(kind: str, subject: str) -> JSON:
    about = fields(
        {
            "type": const(kind),
            "subject": fields({"object": const(subject), "id": TEXT}),
            "data": _OTHER_DATA.get(kind, _DATA[subject]),
        }
    )
    return {"allOf": [ref("event"), about]}


EVENTS: Final[Mapping[str, JSON]] = {
    "event": _EVENT,
    **{kind: _event_of(kind, subject) for kind, subject in SENT_TYPES.items()},
}
"""The envelope, and each type by its name."""


def list_webhooks() -> dict[str, JSON]:
    """What registered endpoints receive: one POST for each type of event."""
    return {kind: {"post": _describe(kind)} for kind in SENT_TYPES}


def _describe(kind: str) -> JSON:
    headers = {
        "webhook-id": "The event's id, in every attempt: apply it once.",
        "webhook-timestamp": "Seconds since 1970 of this attempt: refuse what is more than 300 s away.",
        "webhook-signature": "Space-separated `v1,<base64>`: HMAC-SHA256 of `<id>.<timestamp>.<body>`, by each secret.",
    }
    return {
        "summary": kind,
        "security": [],
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": text, "schema": TEXT}
            for name, text in headers.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref(kind)}}},
        "responses": {
            "2XX": {"description": "Received. Anything else is tried again, for about 75 hours."},
            "410": {"description": "No more, please: the endpoint is switched off."},
        },
    }
