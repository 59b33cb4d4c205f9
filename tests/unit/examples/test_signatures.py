"""The example's own verification agrees with ours and with the reference library, and is fooled by neither."""

from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook

from examples.backend.signatures import sign, verify
from notifier import signatures
from tests.nodes.processes import new_secret

NOW = datetime.now(UTC).replace(microsecond=0)
STAMP = int(NOW.timestamp())
SECRET, OTHER = new_secret(), new_secret()
BODY = '{"type":"top_up.landed","data":{"note":"é"}}'.encode()


def test_it_verifies_what_the_watcher_sends() -> None:
    """Under either of two secrets, on both sides of a rotation."""
    for secrets in ([SECRET], [OTHER, SECRET], [SECRET, OTHER]):
        headers = signatures.sign("evt_1", STAMP, BODY, secrets)
        assert verify(headers, BODY, [SECRET], STAMP)
        assert verify(headers, BODY, [new_secret(), SECRET], STAMP)


def test_the_watcher_verifies_what_it_sends() -> None:
    """So does the reference library."""
    now = datetime.now(UTC)  # the library looks at the clock itself, and the suite may be old by now
    headers = sign("proposed-tx-1", BODY, SECRET, int(now.timestamp()))
    assert signatures.verify(headers, BODY, [SECRET], now=now) == "proposed-tx-1"
    assert Webhook(SECRET).verify(BODY, headers)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "evt_2"},
        {"webhook-id": ""},
        {"webhook-id": "\udce9"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,\udce9"},
        {"webhook-signature": "v2,AAAA garbage"},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "-1"},
        {"webhook-timestamp": "NaN"},
        {"webhook-timestamp": "9" * 5000},
        {"webhook-timestamp": "\u0661\u0662"},
        {"webhook-timestamp": str(STAMP + 1)},
    ],
)
def test_a_forgery_is_refused(change: dict[str, str]) -> None:
    """Whatever is in the headers: False, never an exception."""
    assert not verify({**sign("evt_1", BODY, SECRET, STAMP), **change}, BODY, [SECRET, OTHER], STAMP)


def test_another_body_secret_or_time_is_refused() -> None:
    """The bytes, the key and the moment all count; 300 s are allowed, and an empty key verifies nothing."""
    headers = sign("evt_1", BODY, SECRET, STAMP)
    assert not verify(headers, BODY + b" ", [SECRET], STAMP)
    assert not verify(headers, BODY, [OTHER], STAMP)
    assert not verify(headers, BODY, [], STAMP)
    assert not verify(sign("evt_1", BODY, "whsec_", STAMP), BODY, ["whsec_", ""], STAMP)
    assert [verify(headers, BODY, [SECRET], STAMP + s) for s in (-301, -300, 300, 301)] == [False, True, True, False]
