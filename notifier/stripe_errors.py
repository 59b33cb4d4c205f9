"""What a failed Stripe call means for us. Decided on the answer's body: the SDK's own classes hide the code.

Sources: docs.stripe.com/crypto/onramp (error codes), and the SDK's behaviour run against a stub.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import stripe

from notifier.errors import (
    OnrampError,
    OnrampMisconfigured,
    OnrampPaused,
    OnrampRefused,
    OnrampRetry,
    OnrampUnknown,
    OnrampUserRefused,
)

MOST_RETRY_AFTER_SECONDS: Final = 3600
"""A longer Retry-After is cut to this: one odd header must not silence an account for a day."""
_MOST_MESSAGE_CHARACTERS: Final = 300
_CODE = re.compile(r"[A-Za-z0-9_.\[\]-]{1,100}", re.ASCII)
_SECRETS = re.compile(r"\b(?:[srp]k_(?:test|live)_\S+|whsec_\S+|cos_\w+_secret_\w+|https?://\S+)")

PAUSED: Final = "crypto_onramp_disabled"
KEY_IN_USE: Final = "idempotency_key_in_use"
PASSING: Final = frozenset(
    {
        "crypto_onramp_service_error",
        "crypto_onramp_session_error",
        "crypto_onramp_quote_expired",
        "zerohash_api_error",
        "lock_timeout",
        "rate_limit",
        KEY_IN_USE,
    }
)
ACCOUNT: Final = frozenset(
    {"crypto_onramp_merchant_not_properly_setup", "crypto_onramp_invalid_merchant_configuration"}
)
USER: Final = frozenset(
    f"crypto_onramp_{name}"
    for name in (
        "unsupportable_customer",
        "unsupported_country",
        "unsupported",
        "unsupported_region",
        "transaction_blocked",
        "identity_verification_failed",
        "verification_error",
        "missing_identity_verification",
        "missing_minimum_identity_verification",
        "missing_document_verification",
        "missing_tax_attestation",
        "declaration_not_found",
        "bank_institution_block",
        "invalid_payment_method",
        "consumer_wallet_doesnt_exist",
        "limit_exceeded",
        "currency_not_available_in_region",
    )
)
_PASSING_STATUSES: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)


def sort_error(error: stripe.StripeError) -> OnrampError:
    """Our error for the SDK's. Carries Stripe's code, parameter and request id; no key, link or answer body."""
    status = error.http_status
    if isinstance(error, stripe.APIConnectionError) or status is None:
        return OnrampUnknown("no answer from Stripe: the connection failed or timed out")
    body: Any = getattr(error, "error", None)
    code, kind = _read(body, "code"), _read(body, "type")
    sort = _sort(status, code, kind)
    message = f"Stripe answered {status}" + (f" {code or kind}" if code or kind else "")
    if sort in (OnrampRefused, OnrampUserRefused) and (said := _read_message(body)):
        message = f"{message}: {said}"
    return sort(
        message,
        code=code or kind,
        http_status=status,
        param=_read(body, "param"),
        retry_after_seconds=_read_retry_after(error.headers),
        request_id=error.request_id,
    )


def _sort(status: int, code: str | None, kind: str | None) -> type[OnrampError]:
    """The first that holds. Below 400 the SDK could not read the body: what was done is not known."""
    cases: tuple[tuple[bool, type[OnrampError]], ...] = (
        (status < HTTPStatus.BAD_REQUEST, OnrampUnknown),
        (code == PAUSED, OnrampPaused),
        (code in USER, OnrampUserRefused),
        (status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) or code in ACCOUNT, OnrampMisconfigured),
        (code in PASSING, OnrampRetry),
        # one key, two bodies: ours to repair, and no repetition helps
        (kind == "idempotency_error", OnrampRefused),
        (status in _PASSING_STATUSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR, OnrampRetry),
    )
    return next((sort for holds, sort in cases if holds), OnrampRefused)


def _read(body: Any, name: str) -> str | None:
    """A short machine word of the error object, or None for anything else."""
    value = body.get(name) if isinstance(body, Mapping) else getattr(body, name, None)
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None


def _read_message(body: Any) -> str | None:
    value = body.get("message") if isinstance(body, Mapping) else getattr(body, "message", None)
    return _SECRETS.sub("***", value)[:_MOST_MESSAGE_CHARACTERS] if isinstance(value, str) else None


def _read_retry_after(headers: Mapping[str, str] | None) -> int | None:
    """Seconds. A date, which Stripe does not send, is not read."""
    for name, value in (headers or {}).items():
        if name.lower() == "retry-after" and value.isascii() and value.isdigit() and len(value) <= 9:  # noqa: PLR2004  no giant ints
            return min(int(value), MOST_RETRY_AFTER_SECONDS)
    return None
