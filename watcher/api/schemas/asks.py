"""What a backend asks for and what it is answered: transactions, checkouts, swaps, and the preflight of each."""

from collections.abc import Mapping
from typing import Final

from watcher.api.schemas.objects import CHANGES, RECEIVED
from watcher.api.schemas.words import (
    AMOUNT,
    FLAG,
    JSON,
    OWN_ID,
    TEXT,
    TIME,
    const,
    fields,
    listed,
    nullable,
    one_of,
    page_of,
    ref,
)
from watcher.event_types import ASK_OBJECTS

ASK_STATUS: Final = one_of("unknown", "covered", "short", "not_funds", "done", "cancelled", "expired")
_REASON: Final = fields(
    {"code": {**TEXT, "pattern": "^[a-z0-9_]+$"}},
    {"detail": nullable(TEXT), "alternatives": listed(fields({"network": TEXT, "asset": TEXT}))},
    about="Why money is not asked for, or would not help.",
)
_GAS: Final = {"anyOf": [fields({"limit": {"type": "integer"}}), fields({"payer": const("other")})]}
_WRITTEN: Final[Mapping[str, Mapping[str, JSON]]] = {
    "transaction": {
        "transaction": {"type": ["object", "string"]},
        "needs": listed(fields({"asset": TEXT, "amount": AMOUNT})),
        "gas": _GAS,
    },
    "checkout": {
        "price": {"anyOf": [fields({"asset": TEXT, "amount": AMOUNT}), fields({"fiat": TEXT, "amount": AMOUNT})]},
        "pay_in": listed(TEXT),
        "mode": one_of("difference", "whole_price"),
        "transaction": {"type": ["object", "string"]},
        "gas": _GAS,
    },
    "swap": {"want": TEXT, "pay_in": listed(fields({"asset": TEXT}, {"amount": nullable(AMOUNT)})), "gas": _GAS},
}
"""What is shown of how it was written, where it was."""


def _answered(kind: str) -> dict[str, JSON]:
    """What an ask and its preflight have in common."""
    return {
        "object": const(kind),
        "status": ASK_STATUS,
        "wallet": OWN_ID,
        "network": TEXT,
        "reason": nullable(_REASON),
        "bill": nullable(ref("bill")),
        "top_ups": listed(ref("top_up")),
    }


def _ask(kind: str) -> JSON:
    life = {"received": RECEIVED, "transaction_hash": nullable(TEXT), "notify": FLAG, "expires_at": TIME}
    return fields({**_answered(kind), "id": OWN_ID, **life, **CHANGES}, _WRITTEN[kind])


def _preflight(kind: str) -> JSON:
    return fields({**_answered(kind), "id": {"type": "null"}}, _WRITTEN[kind])


ASKS: Final[Mapping[str, JSON]] = {
    **{kind: _ask(kind) for kind in ASK_OBJECTS},
    **{f"{kind}_list": page_of(kind) for kind in ASK_OBJECTS},
    "preflight": {
        "description": "As the ask would be answered now; nothing is opened.",
        "anyOf": [_preflight(kind) for kind in ASK_OBJECTS],
    },
}
"""By name, as routes refer to them."""
