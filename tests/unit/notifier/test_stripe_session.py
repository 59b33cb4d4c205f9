"""Stripe's session read strictly: secrets dropped, doubts said, nothing guessed."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from notifier.errors import OnrampError, OnrampMisconfigured, OnrampUnknown
from notifier.model import SessionStatus
from notifier.stripe_session import parse_session

LINK = "https://crypto.link.example?session_hash=CCAQARoX"
HASH = "0x" + "ab" * 32
SIGNATURE = "5" * 88
GOOD: dict[str, Any] = {
    "id": "cos_1Abc",
    "object": "crypto.onramp_session",
    "client_secret": "cos_1Abc_secret_xyz",
    "created": 1_767_323_045,
    "livemode": False,
    "metadata": {"top_up": "tu_1", "attempt": "1"},
    "redirect_url": LINK,
    "status": "fulfillment_complete",
    "transaction_details": {
        "destination_amount": "0.123400000000000000",
        "destination_currency": "eth",
        "destination_network": "base",
        "transaction_id": HASH,
    },
}


def with_details(**changes: Any) -> dict[str, Any]:
    return {**GOOD, "transaction_details": {**GOOD["transaction_details"], **changes}}


def test_whole_session() -> None:
    """Every field, and the client secret in none of them."""
    session = parse_session(GOOD, livemode=False)
    assert session.id == "cos_1Abc"
    assert session.status is SessionStatus.FULFILLMENT_COMPLETE
    assert session.created_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (session.currency, session.network, session.amount) == ("eth", "base", Decimal("0.1234"))
    assert (session.link, session.transaction) == (LINK, HASH)
    assert "secret" not in repr(session)
    assert "session_hash" not in repr(session)


def test_base_network_is_base() -> None:
    """Stripe's two words for base are one network."""
    assert parse_session(with_details(destination_network="base_network"), livemode=False).network == "base"


def test_unknown_status_is_kept_and_told() -> None:
    """Stripe's list of statuses is open: a new one is neither paid nor over."""
    with capture_logs() as logs:
        session = parse_session({**GOOD, "status": "quote_ready"}, livemode=False)
    assert session.status is SessionStatus.UNKNOWN
    assert not session.status.paid
    assert not session.status.terminal
    assert [(line["event"], line["status"]) for line in logs] == [("onramp.status_unknown", "quote_ready")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (HASH, HASH),
        (SIGNATURE, SIGNATURE),
        ("cxt_123", None),
        (HASH[:-1], None),
        (HASH + "0", None),
        ("0" * 88, None),
        (7, None),
        (None, None),
    ],
)
def test_only_what_a_chain_may_know(value: Any, expected: str | None) -> None:
    """A transaction has the shape of an EVM hash or a Solana signature; Stripe's own ids have not."""
    assert parse_session(with_details(transaction_id=value), livemode=False).transaction == expected


@pytest.mark.parametrize("value", ["1e5", "NaN", "-1", "", 5, 0.1, "1_0", "\uff11\uff12"])
def test_odd_amount_is_no_amount(value: Any) -> None:
    """Progress only: what isn't a plain decimal is left out."""
    assert parse_session(with_details(destination_amount=value), livemode=False).amount is None


@pytest.mark.parametrize(
    "value", [None, "", "javascript:alert(1)", "ftp://x", "https://", "https://a b", 5, "http://x"]
)
def test_only_a_secure_link_is_a_link(value: Any) -> None:
    """Anything else than an https address is none."""
    assert parse_session({**GOOD, "redirect_url": value}, livemode=False).link is None


def test_plain_link_of_a_sandbox() -> None:
    """Only where the API itself is spoken to in plain http."""
    plain = {**GOOD, "redirect_url": "http://127.0.0.1:8010/pay/x"}
    assert parse_session(plain, livemode=False, insecure_links=True).link == "http://127.0.0.1:8010/pay/x"


@pytest.mark.parametrize("livemode", [True, False])
def test_other_mode(livemode: bool) -> None:  # noqa: FBT001  a parameter of the test
    """A live session for a test key, or the reverse, is a wrong account."""
    with pytest.raises(OnrampMisconfigured):
        parse_session({**GOOD, "livemode": not livemode}, livemode=livemode)


@pytest.mark.parametrize(
    "change",
    [
        {"object": "checkout.session"},
        {"id": "cs_1"},
        {"id": "cos_../x"},
        {"id": None},
        {"created": "now"},
        {"created": True},
        {"created": 10**12},
    ],
)
def test_not_a_session(change: dict[str, Any]) -> None:
    """What has no identity is no session; what became of the call is unknown."""
    with pytest.raises(OnrampUnknown):
        parse_session({**GOOD, **change}, livemode=False)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), JSON), JSON)
def test_any_json_is_read_or_refused(changes: dict[str, Any], other: Any) -> None:
    """Nothing but an `OnrampError`, whatever stands in whichever field."""
    for data in ({**GOOD, **changes}, with_details(transaction_id=other, destination_network=other), other):
        try:
            parse_session(data, livemode=False)
        except OnrampError:
            continue
