"""The second net under secrets: whatever reaches the log by mistake loses its keys, links and addresses with keys.

The first net is not to log them. Pure.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

MASK: Final = "***"
SECRET_FIELDS: Final = frozenset(
    {
        "api_key",
        "authorization",
        "client_secret",
        "customer_ip_address",
        "database_url",
        "email",
        "link",
        "password",
        "redirect_url",
        "secret",
        "session_hash",
        "stripe_signature",
        "url",
        "webhook_signature",
    }
)
"""Fields whose value is never for a log, whatever it looks like."""
_TOKENS = re.compile(
    r"\b(?:sk|rk|pk)_(?:test|live)_\w+"
    r"|\bwhsec_[\w+/=-]+"
    r"|\bcos_\w+?_secret_\w+"
    r"|(?<=session_hash=)[^\s&\"'<>]+"
    r"|(?<=\bBearer )[^\s\"']+"
    r"|(?<=\bBasic )[\w+/=-]{8,}",
    re.IGNORECASE,
)
_CONNINFO_PASSWORD = re.compile(r"(?<=\bpassword=)(?:'[^']*'|\S+)")
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>\\]+", re.IGNORECASE)
_KEY_SEGMENT = re.compile(r"(?<=/)[A-Za-z0-9_-]{20,}(?=/|$)")


def scrub(value: Any) -> Any:
    """The same value without secrets; mappings and sequences are gone through."""
    if isinstance(value, str):
        return scrub_text(value)
    if isinstance(value, Mapping):
        return {key: scrub_field(str(key), inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [scrub(inner) for inner in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return scrub_text(str(value))


def scrub_field(name: str, value: Any) -> Any:
    """The value of a named field."""
    return MASK if name.lower() in SECRET_FIELDS and value is not None else scrub(value)


def scrub_text(text: str) -> str:
    """Text without keys, tokens, and what URLs carry beside scheme, host and plain path."""
    text = _URL.sub(lambda found: _scrub_url(found.group()), text)
    return _CONNINFO_PASSWORD.sub(MASK, _TOKENS.sub(MASK, text))


def _scrub_url(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    _, at, host = parts.netloc.rpartition("@")
    return urlunsplit(
        (
            parts.scheme,
            f"{MASK}@{host}" if at else host,
            _KEY_SEGMENT.sub(MASK, parts.path),
            MASK if parts.query else "",
            MASK if parts.fragment else "",
        )
    )
