"""Why an onramp call gave no session, sorted by what to do about it.

OnrampError
├── OnrampUnknown       no answer: the session may or may not exist; ask again under the same key
├── OnrampRetry         a stored or passing fault: again later
├── OnrampPaused        Stripe has switched minting off: stop all creates for a while
├── OnrampRefused       these parameters will never do
├── OnrampUserRefused   this person or place is not served
└── OnrampMisconfigured our account or key: an operator must act

BadSignature            a webhook that isn't from who it says
"""


class OnrampError(Exception):
    """Base. Carries Stripe's code and HTTP status; never a key, link or client secret."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        http_status: int | None = None,
        param: str | None = None,
        retry_after_seconds: int | None = None,
        request_id: str | None = None,
    ) -> None:
        """`message` is for people; the rest is what Stripe said."""
        super().__init__(message)
        self.code = code
        self.http_status = http_status
        self.param = param
        self.retry_after_seconds = retry_after_seconds
        self.request_id = request_id


class OnrampUnknown(OnrampError):
    """Time-out, lost connection, unreadable answer."""


class OnrampRetry(OnrampError):
    """429, 409, 5xx, or one of Stripe's passing onramp errors."""


class OnrampPaused(OnrampError):
    """`crypto_onramp_disabled`."""


class OnrampRefused(OnrampError):
    """Permanent for these parameters."""


class OnrampUserRefused(OnrampError):
    """Unsupported customer, country or region."""


class OnrampMisconfigured(OnrampError):
    """401, 403, merchant not set up."""


class BadSignature(Exception):
    """A webhook's signature, timestamp or shape does not hold. `code` says which, for the answer and the log."""

    def __init__(self, code: str, message: str) -> None:
        """`code`: `missing`, `malformed`, `timestamp_too_old`, `timestamp_in_future`, `no_match`, `bad_body`."""
        super().__init__(message)
        self.code = code
