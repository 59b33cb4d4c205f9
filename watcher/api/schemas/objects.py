"""The things that are answered: users, wallets, top-ups with their bills, events, deliveries, endpoints, problems."""

from collections.abc import Mapping
from typing import Final

from watcher.api.schemas.words import (
    AMOUNT,
    ANY_OBJECT,
    BLOCK,
    COUNT,
    DECIMALS,
    FLAG,
    JSON,
    METADATA,
    OWN_ID,
    TEXT,
    TIME,
    VERSION,
    const,
    fields,
    listed,
    mapped,
    nullable,
    one_of,
    our_id,
    page_of,
    ref,
)
from watcher.event_types import ASK_OBJECTS
from watcher.model import HoldingStatus, Outcome, TopUpStatus

HOLDING_STATUS: Final = one_of(*(status.value for status in HoldingStatus))
TOP_UP_STATUSES: Final = tuple(status.value for status in TopUpStatus)
STEPS: Final = ("decided", "session_created", "notified", "reminded", "unreached", "pressed", "overdue")
WHATS: Final = (
    *("required", "other_asks", "gas", "l1_fee", "rent", "priority_fee"),
    *("keep", "buffer", "target", "price", "rate", "received"),
)
LINE_AMOUNT: Final[JSON] = {
    **AMOUNT,
    "pattern": r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$",
    "description": "As every amount; negative only for `received`: what has come already of a purchase.",
}
CHANGES: Final[Mapping[str, JSON]] = {"version": VERSION, "metadata": METADATA, "created_at": TIME, "updated_at": TIME}
"""What each object has beside its name and its life."""
ASSET: Final[Mapping[str, JSON]] = {"network": TEXT, "asset": TEXT, "decimals": DECIMALS}
"""Beside each amount of an asset."""

_USER: Final = fields(
    {
        "object": const("user"),
        "id": OWN_ID,
        "locale": nullable(TEXT),
        "time_zone": nullable(TEXT),
        "country": nullable(TEXT),
        "subdivision": nullable(TEXT),
        **CHANGES,
    },
    {"contacts": {**mapped(TEXT), "description": "Only for keys with the scope contacts:read."}},
)
_HOLDING: Final = fields(
    {
        "network": TEXT,
        "asset": TEXT,
        "decimals": nullable(DECIMALS),
        "balance": nullable(AMOUNT),
        "status": HOLDING_STATUS,
        "as_of": nullable(BLOCK),
    },
    about="One asset at one address. `balance` is null until it was read.",
)
_WALLET: Final = fields(
    {
        "object": const("wallet"),
        "id": OWN_ID,
        "status": HOLDING_STATUS,
        "user": nullable(OWN_ID),
        "addresses": mapped(TEXT),
        "policy": TEXT,
        "funding": nullable(listed(ANY_OBJECT)),
        "link_mode": one_of("eager", "claim"),
        "notify": FLAG,
        "asks": fields({"paused_until": nullable(TIME)}),
        "initial": one_of("ask", "wait_for_drop"),
        "allow_off_curve": FLAG,
        "label": nullable(TEXT),
        "holdings": listed(ref("holding")),
        "open_top_ups": listed(our_id("tu")),
        "watched_since": mapped(fields({"height": COUNT})),
        **CHANGES,
    }
)
_LANDED_WHEN: Final = {
    "anyOf": [
        fields({"balance_at_least": AMOUNT}),
        fields({"received_at_least": AMOUNT}),
        fields({"any_rise": const(value=True)}),
    ]
}
_BILL: Final = fields(
    {
        "exact": FLAG,
        "method": TEXT,
        "assets": listed(
            fields(
                {
                    **ASSET,
                    "as_of": BLOCK,
                    "lines": listed(fields({"what": one_of(*WHATS), "amount": LINE_AMOUNT})),
                    "needed": AMOUNT,
                    "balance": AMOUNT,
                    "in_flight": AMOUNT,
                    "missing": AMOUNT,
                    "asked": nullable(AMOUNT),
                    "landed_when": _LANDED_WHEN,
                },
                {"adjusted": fields({"code": one_of("raised_to_minimum", "lowered_to_maximum")})},
            )
        ),
    },
    {"analysed_at": fields({"height": {"type": "integer"}, "hash": nullable(TEXT)})},
    about="What is needed of each asset and why, all of one block. `asked` is what the link is for.",
)
RECEIVED: Final = nullable(
    listed(fields({"session": nullable(TEXT), **ASSET, "amount": AMOUNT, "transaction": TEXT}, about="What arrived."))
)
SUBJECT: Final = fields({"object": TEXT, "id": TEXT})
_ONRAMP: Final = fields(
    {"provider": const("stripe"), "session": nullable(TEXT), "status": nullable(TEXT), "livemode": FLAG},
    about="The latest attempt at the onramp.",
)
_STEP: Final = fields({"step": one_of(*STEPS, *TOP_UP_STATUSES), "at": TIME, "proof": ANY_OBJECT})
_TOP_UP: Final = fields(
    {
        "object": const("top_up"),
        "id": our_id("tu"),
        "status": one_of(*TOP_UP_STATUSES),
        "wallet": OWN_ID,
        "for": listed(fields({"object": one_of("wallet", *ASK_OBJECTS), "id": OWN_ID})),
        "group": our_id("grp"),
        "destinations": listed(fields({**ASSET, "address": TEXT}), least=1),
        "asked": nullable(AMOUNT),
        "bill": nullable(ref("bill")),
        "reason": fields({"code": TEXT}, {"trigger": AMOUNT, "policy": TEXT, "policy_version": TEXT}),
        "onramp": nullable(_ONRAMP),
        "link": nullable({**TEXT, "description": "A secret: only for keys with links:read, while it is of use."}),
        "link_status": one_of("pending", "ready", "withheld", "gone"),
        "link_mode": one_of("eager", "claim"),
        "notify": FLAG,
        "expires_at": TIME,
        "late": FLAG,
        "overdue": FLAG,
        "superseded_by": nullable(our_id("tu")),
        "received": RECEIVED,
        "outcome": nullable(one_of(*(outcome.value for outcome in Outcome))),
        "failure": nullable(fields({"code": TEXT})),
        "timeline": listed(_STEP, least=1),
        **CHANGES,
    }
)
_DELIVERY: Final = fields(
    {
        "object": const("delivery"),
        "id": our_id("dlv"),
        "event": our_id("evt"),
        "type": TEXT,
        "subject": SUBJECT,
        "endpoint": TEXT,
        "status": one_of("pending", "delivered", "dead", "superseded"),
        "attempts": COUNT,
        "next_attempt_at": nullable(TIME),
        "last_status_code": nullable({"type": "integer"}),
        "last_detail": nullable(TEXT),
        "created_at": TIME,
        "updated_at": TIME,
    }
)
_ENDPOINT: Final = fields(
    {
        "object": const("endpoint"),
        "id": OWN_ID,
        "url": TEXT,
        "events": listed(TEXT, least=1),
        "include_links": FLAG,
        "enabled": FLAG,
        "created_at": TIME,
        "updated_at": TIME,
    },
    {
        "secret": nullable({**TEXT, "pattern": "^whsec_", "description": "Only in the answer that made it."}),
        "source": one_of("api", "config"),
        "gone_at": nullable(TIME),
        "version": VERSION,
        "metadata": METADATA,
    },
)
FAULT: Final = fields({"field": TEXT, "code": TEXT, "message": TEXT})
_PROBLEM: Final = fields(
    {
        "type": TEXT,
        "title": TEXT,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {**TEXT, "pattern": "^[a-z0-9_]+$"},
        "request_id": our_id("req"),
    },
    {"detail": TEXT, "errors": listed(FAULT, least=1)},
    about="A problem (RFC 9457), with every fault at once.",
)

OBJECTS: Final[Mapping[str, JSON]] = {
    "user": _USER,
    "holding": _HOLDING,
    "wallet": _WALLET,
    "bill": _BILL,
    "top_up": _TOP_UP,
    "delivery": _DELIVERY,
    "endpoint": _ENDPOINT,
    "problem": _PROBLEM,
    "wallet_list": page_of("wallet"),
    "top_up_list": page_of("top_up"),
    "delivery_list": page_of("delivery"),
    "endpoint_list": page_of("endpoint"),
    "event_list": page_of("event", [fields({"object": const("event")})]),
}
"""By name, as routes and other schemas refer to them."""
