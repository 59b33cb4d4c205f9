"""What is answered and sent is described, whole and strictly, with room for fields to come."""

import json
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import pytest

from notifier.model import OutgoingEvent
from notifier.webhook import encode_event
from tests.described import DOCUMENT, validate, validate_event
from tests.fakes.settings import EVM, make_network
from watcher.api.application import ROUTES
from watcher.api.schemas.table import SCHEMAS
from watcher.asks.model import ASK_KINDS, Ask, State
from watcher.asks.render import render_ask
from watcher.event_types import SENT_TYPES
from watcher.model import NeedKind

AT = "2026-01-02T03:04:05.000Z"
BLOCK = {"height": 812, "hash": None, "time": AT}
CHANGES = {"version": 3, "metadata": {}, "created_at": AT, "updated_at": AT}
BILL = {
    "exact": True,
    "method": "balance",
    "assets": [
        {
            "network": "base",
            "asset": "USDC",
            "decimals": 6,
            "as_of": BLOCK,
            "lines": [{"what": "required", "amount": "10"}, {"what": "gas", "amount": "0.00042", "limit": 65000}],
            "needed": "10",
            "balance": "3.1",
            "in_flight": "0",
            "missing": "6.9",
            "asked": "6.9",
            "adjusted": {"code": "raised_to_minimum"},
            "landed_when": {"balance_at_least": "10"},
        }
    ],
}
TOP_UP = {
    "object": "top_up",
    "id": "tu_1",
    "status": "open",
    "wallet": "user-42",
    "for": [{"object": "transaction", "id": "tx-1"}],
    "group": "grp_1",
    "destinations": [{"network": "base", "asset": "USDC", "decimals": 6, "address": "0xB00F"}],
    "asked": "6.9",
    "bill": BILL,
    "reason": {"code": "transaction"},
    "onramp": {"provider": "stripe", "session": "cos_1", "status": "initialized", "livemode": False},
    "link": None,
    "link_status": "pending",
    "link_mode": "eager",
    "notify": True,
    "expires_at": AT,
    "late": False,
    "overdue": False,
    "superseded_by": None,
    "received": None,
    "outcome": None,
    "failure": None,
    "timeline": [{"step": "decided", "at": AT, "proof": BLOCK}],
    **CHANGES,
}
WRITTEN: dict[str, dict[str, Any]] = {
    "transaction": {"needs": [{"asset": "USDC", "amount": "10"}], "gas": {"limit": 65000}},
    "checkout": {"price": {"fiat": "usd", "amount": "700"}, "pay_in": ["USDC"], "mode": "whole_price"},
    "swap": {"want": "0xB00F", "pay_in": [{"asset": "USDC", "amount": "57.2"}, {"asset": "ETH"}]},
}


def make_ask(kind: str, **changes: Any) -> dict[str, Any]:
    ask = {"object": kind, "id": "x-1", "status": "short", "wallet": "user-42", "network": "base", "reason": None}
    life = {"received": None, "transaction_hash": None, "notify": True, "expires_at": AT}
    return {**ask, **WRITTEN[kind], "bill": BILL, "top_ups": [TOP_UP], **life, **CHANGES, **changes}


def make_stored_ask(kind: NeedKind) -> Ask:
    """As `make_ask` shows it, without its bill."""
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return Ask(
        tenant="default",
        kind=kind,
        id="x-1",
        wallet="user-42",
        network=EVM,
        status=State.SHORT,
        body=WRITTEN[kind.value],
        expires_at=at,
        version=3,
        created_at=at,
        updated_at=at,
    )


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_is_one(name: str) -> None:
    """Valid JSON Schema 2020-12, each reference leading somewhere in the document."""
    schema = DOCUMENT["components"]["schemas"][name]
    jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    text = json.dumps(schema)
    refs = [part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]]
    assert set(refs) <= set(DOCUMENT["components"]["schemas"])


def test_each_route_says_what_it_answers() -> None:
    """No operation is described as any object."""
    assert not [route.path for route in ROUTES if route.statuses != (204,) and route.answer not in SCHEMAS]


def test_each_event_type_is_a_webhook_with_a_schema() -> None:
    """The document's webhooks are the known types, none more and none fewer."""
    webhooks = DOCUMENT["webhooks"]
    assert set(webhooks) == set(SENT_TYPES)
    for kind, item in webhooks.items():
        content = item["post"]["requestBody"]["content"]["application/json"]
        assert content["schema"] == {"$ref": f"#/components/schemas/{kind}"}


@pytest.mark.parametrize("kind", ["transaction", "checkout", "swap"])
def test_asks_are_described_as_the_contract_shows_them(kind: str) -> None:
    """An ask, a list of them, its preflight, and an event that tells of it."""
    validate(kind, make_ask(kind))
    validate(f"{kind}_list", {"object": "list", "data": [make_ask(kind)], "next": None})
    preflight = {k: v for k, v in make_ask(kind).items() if k not in CHANGES}
    validate("preflight", preflight | {"id": None})
    reason = {"code": "not_sold_here", "detail": "…", "alternatives": [{"network": "base", "asset": "ETH"}]}
    told = make_ask(kind, status="not_funds", bill=None, top_ups=[], reason=reason)
    event = {"id": "evt_1", "type": f"{kind}.not_funds", "created_at": AT, "livemode": False, "version": 4}
    validate_event({**event, "subject": {"object": kind, "id": "x-1"}, "data": {kind: told}})


@pytest.mark.parametrize("kind", ASK_KINDS)
def test_asks_are_described_as_they_are_rendered(kind: NeedKind) -> None:
    """What the renderer makes of an ask: the very fields, no more and no fewer."""
    rendered = render_ask(make_stored_ask(kind), [], [], make_network(), with_links=False)
    validate(kind.value, rendered)
    assert set(rendered) == set(make_ask(kind.value))


def test_fields_may_be_added() -> None:
    """What is not described yet is no fault, at any depth."""
    bill = {**BILL, "assets": [{**BILL["assets"][0], "new": 1}]}  # type: ignore[index]
    validate("top_up", {**TOP_UP, "bill": bill, "new": {"er": 1}})


@pytest.mark.parametrize("changes", [{"asked": 6.9}, {"asked": "1e3"}, {"asked": "-1"}, {"status": "opened"}])
def test_what_is_there_is_strict(changes: dict[str, Any]) -> None:
    """A number for an amount, an exponent, a sign, a status that isn't one: none passes."""
    with pytest.raises(AssertionError):
        validate("top_up", {**TOP_UP, **changes})


@pytest.mark.parametrize("name", TOP_UP)
def test_nothing_may_be_missing(name: str) -> None:
    """Each field of a top-up is always there."""
    with pytest.raises(AssertionError):
        validate("top_up", {k: v for k, v in TOP_UP.items() if k != name})


def test_an_event_leaves_as_it_is_described() -> None:
    """The body that is signed, beside what the list shows of it."""
    subject = {"object": "top_up", "id": "tu_1"}
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    sent = OutgoingEvent("evt_1", "top_up.opened", at, False, subject, 3, {"top_up": TOP_UP})
    validate_event(json.loads(encode_event(sent)))
