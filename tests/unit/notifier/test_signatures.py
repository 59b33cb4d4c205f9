"""Standard Webhooks signatures: the reference library verifies ours and we its; nothing else is raised."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from notifier.errors import BadSignature
from notifier.signatures import MOST_SIGNATURES, sign, verify

NOW = datetime.now(UTC).replace(microsecond=0)
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
BODY = b'{"type":"top_up.landed"}'


def signed(at: datetime = NOW, secrets: tuple[str, ...] = (SECRET,)) -> dict[str, str]:
    return sign("evt_1", int(at.timestamp()), BODY, secrets)


def test_the_reference_library_verifies_ours() -> None:
    """A receiver that uses the standardwebhooks package accepts our signature."""
    fresh = signed(datetime.now(UTC))  # the library looks at the clock itself, and the suite may be old by now
    assert Webhook(SECRET).verify(BODY, fresh) == {"type": "top_up.landed"}


def test_we_verify_the_reference_library() -> None:
    """A backend that signs with the standardwebhooks package is accepted."""
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("evt_1", NOW, BODY.decode()),
    }
    assert verify(headers, BODY, [SECRET], now=NOW) == "evt_1"


def test_both_secrets_are_valid_while_one_is_replaced() -> None:
    """Signed with two, verified by either; verified with two, signed by either."""
    assert verify(signed(secrets=(OTHER, SECRET)), BODY, [SECRET], now=NOW)
    assert verify(signed(), BODY, [OTHER, SECRET], now=NOW)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"webhook-signature": "v1,AAAA"}, "no_match"),
        ({"webhook-id": "evt_2"}, "no_match"),
        ({"webhook-signature": "v1,\udce9"}, "no_match"),  # how an HTTP server hands over a byte that isn't UTF-8
        ({"webhook-id": "\udce9"}, "no_match"),
        ({"webhook-signature": ""}, "missing"),
        ({"webhook-timestamp": "1700000000.9"}, "malformed"),
        ({"webhook-timestamp": "NaN"}, "malformed"),
        ({"webhook-timestamp": "\u0661\u0662"}, "malformed"),
        ({"webhook-timestamp": str(int((NOW - timedelta(seconds=301)).timestamp()))}, "timestamp_too_old"),
        ({"webhook-timestamp": str(int((NOW + timedelta(seconds=301)).timestamp()))}, "timestamp_in_future"),
    ],
)
def test_each_fault_is_named(change: dict[str, str], code: str) -> None:
    """Forged, replayed, from the future, unreadable: refused with its reason."""
    with pytest.raises(BadSignature) as refused:
        verify(signed() | change, BODY, [SECRET], now=NOW)
    assert refused.value.code == code


@pytest.mark.parametrize("secrets", [[], [""], ["whsec_"], ["not base64 !"], [OTHER]])
def test_no_usable_secret_verifies_nothing(secrets: list[str]) -> None:
    """An empty secret would accept anybody's forgery."""
    forged = sign("evt_1", int(NOW.timestamp()), BODY, ["whsec_"])
    with pytest.raises(BadSignature):
        verify(forged, BODY, secrets, now=NOW)


def test_only_so_many_signatures_are_looked_at() -> None:
    """A header of thousands costs no more than sixteen."""
    flood = signed() | {"webhook-signature": "v1,AA " * MOST_SIGNATURES + signed()["webhook-signature"]}
    with pytest.raises(BadSignature):
        verify(flood, BODY, [SECRET], now=NOW)


@given(st.dictionaries(st.sampled_from(list(signed())), st.text(max_size=80)), st.binary(max_size=60))
def test_nothing_else_is_ever_raised(headers: dict[str, str], body: bytes) -> None:
    """Whatever the headers and body are, the answer is BadSignature."""
    with pytest.raises(BadSignature):
        verify(headers, body, [SECRET], now=NOW)


@given(st.text(max_size=80), st.text(max_size=80))
def test_nothing_else_is_raised_once_the_stamp_is_good(event_id: str, signature: str) -> None:
    """The same when only id and signature are hostile, so that the comparison itself is reached."""
    headers = signed() | {"webhook-id": event_id, "webhook-signature": f"v1,{signature}"}
    with pytest.raises(BadSignature):
        verify(headers, BODY, [SECRET], now=NOW)
