"""Stripe's webhooks: only fresh ones, only signed ones, and no input that ends in another error."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from notifier.errors import BadSignature
from notifier.model import StripeEvent
from notifier.stripe_webhook import MOST_SIGNATURES, parse_event, read_event, verify_signature

SECRET = "whsec_test"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EVENT: dict[str, Any] = {
    "id": "evt_1",
    "object": "event",
    "type": "crypto.onramp_session.updated",
    "livemode": False,
    "data": {"object": {"object": "crypto.onramp_session", "id": "cos_1", "client_secret": "cos_1_secret_x"}},
}
BODY = json.dumps(EVENT).encode()


def sign(body: bytes = BODY, secret: str = SECRET, *, at: datetime = NOW) -> str:
    """A header made by Stripe's own library."""
    make = stripe.WebhookSignature.generate_signature_header
    return str(make(body.decode(), secret, int(at.timestamp())))


def code_of(body: bytes, header: str | None, secrets: list[str], now: datetime = NOW) -> str:
    with pytest.raises(BadSignature) as raised:
        read_event(body, header, secrets, now=now)
    return raised.value.code


def test_signed_by_stripes_library() -> None:
    """What Stripe signs is read, without its secrets."""
    event = read_event(BODY, sign(), [SECRET], now=NOW)
    assert event == StripeEvent("evt_1", "crypto.onramp_session.updated", livemode=False, session="cos_1")


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_fresh(seconds: int) -> None:
    """Five minutes either way."""
    assert read_event(BODY, sign(at=NOW + timedelta(seconds=seconds)), [SECRET], now=NOW).session == "cos_1"


@pytest.mark.parametrize(
    ("delta", "code"),
    [(-301, "timestamp_too_old"), (301, "timestamp_in_future"), (31_536_000, "timestamp_in_future")],
)
def test_stale_or_from_the_future(delta: int, code: str) -> None:
    """A second more is refused, whatever its signature; Stripe's own library takes any future."""
    assert code_of(BODY, sign(at=NOW + timedelta(seconds=delta)), [SECRET]) == code


def test_while_a_secret_is_replaced() -> None:
    """Several secrets here, several signatures there: one match is enough, and v0 never is one."""
    stamp = int(NOW.timestamp())
    good = sign().partition("v1=")[2]
    assert read_event(BODY, sign(), ["whsec_new", SECRET], now=NOW).session == "cos_1"
    assert read_event(BODY, f"t={stamp},v1={'0' * 64},v1={good}", [SECRET], now=NOW).session == "cos_1"
    assert code_of(BODY, f"t={stamp},v0={good}", [SECRET]) == "malformed"


def test_only_so_many_signatures_are_looked_at() -> None:
    """A header of thousands of signatures costs no more than sixteen."""
    stamp, good = int(NOW.timestamp()), sign().partition("v1=")[2]
    padding = f"v1={'0' * 64},"
    header = f"t={stamp},{padding * (MOST_SIGNATURES - 1)}v1={good}"
    assert read_event(BODY, header, [SECRET], now=NOW).session == "cos_1"
    assert code_of(BODY, f"t={stamp},{padding * MOST_SIGNATURES}v1={good}", [SECRET]) == "no_match"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "missing"),
        ("", "missing"),
        ("garbage", "malformed"),
        ("t=,v1=00", "malformed"),
        ("t=1767323045", "malformed"),
        ("t=1767323045,t=1767323045,v1=00", "malformed"),
        ("t=17_67323045,v1=00", "malformed"),
        ("t=\uff11767323045,v1=00", "malformed"),
        ("t=-1,v1=00", "malformed"),
        ("t=1767323045,v1=é", "no_match"),
        ("t=1767323045,v1=", "no_match"),
        ("t=1767323045,v1=" + "\uff21" * 64, "no_match"),
    ],
)
def test_odd_headers(header: str | None, code: str) -> None:
    """Each is told apart for the log, and none gets in."""
    assert code_of(BODY, header, [SECRET]) == code


@pytest.mark.parametrize("secrets", [[], [""], ["whsec_other"]])
def test_wrong_or_empty_secret(secrets: list[str]) -> None:
    """No secret, an empty one and a wrong one accept nothing, not even what is signed with nothing."""
    assert code_of(BODY, sign(), secrets) == "no_match"
    if "" in secrets:
        assert code_of(BODY, sign(secret=""), secrets) == "no_match"


def test_changed_body() -> None:
    """One byte more and the signature is void."""
    assert code_of(BODY + b" ", sign(), [SECRET]) == "no_match"


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{}", "null", "[" * 60_000, '{"id":"evt_1","type":"x"}', '{"id":"e v","type":"x","livemode":true}'],
)
def test_signed_nonsense(body: str) -> None:
    """Authentic, and yet no event."""
    assert code_of(body.encode(), sign(body.encode()), [SECRET]) == "bad_body"


@pytest.mark.parametrize("kind", ["crypto.onramp_session_updated", "crypto.onramp_session.fulfillment_completed"])
def test_every_name_of_the_event(kind: str) -> None:
    """Sources disagree on its name: all of them name the session."""
    assert parse_event(json.dumps({**EVENT, "type": kind}).encode()).session == "cos_1"


@pytest.mark.parametrize(
    "change",
    [
        {"type": "payment_intent.succeeded"},
        {"data": {"object": {"object": "payment_intent", "id": "cos_1"}}},
        {"data": {"object": {"object": "crypto.onramp_session", "id": "pi_1"}}},
        {"data": {"object": {"object": "crypto.onramp_session", "id": "cos_/../x"}}},
        {"data": None},
        {"data": {"object": []}},
    ],
)
def test_other_authentic_events(change: dict[str, Any]) -> None:
    """They are read, so that they can be answered 200, and are about no session."""
    assert parse_event(json.dumps({**EVENT, **change}).encode()).session is None


HEADERS = st.one_of(
    st.text(max_size=60),
    st.builds(lambda t, v: f"t={t},v1={v}", st.text(max_size=14), st.text(max_size=70)),
    st.builds(lambda t, n: f"t={t}," + "v1=ab," * n, st.integers(0, 10**13), st.integers(0, 5)),
)


@given(st.binary(max_size=60), HEADERS, st.lists(st.text(max_size=8), max_size=3))
def test_any_input_is_refused_in_one_way(body: bytes, header: str, secrets: list[str]) -> None:
    """No header, body or secret raises anything but `BadSignature`."""
    with pytest.raises(BadSignature):
        verify_signature(body, header, secrets, now=NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
EVENTS = st.dictionaries(st.sampled_from(sorted(EVENT)), JSON).map(lambda d: json.dumps({**EVENT, **d}).encode())


@given(st.binary(max_size=80) | EVENTS | JSON.map(lambda thing: json.dumps(thing).encode()))
def test_any_body_is_an_event_or_refused(body: bytes) -> None:
    """The same of an authentic body."""
    try:
        parse_event(body)
    except BadSignature as error:
        assert error.code == "bad_body"  # noqa: PT017  either outcome is right
