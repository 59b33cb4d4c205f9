"""Who is calling: API keys, kept as hashes, each with its tenant and scopes."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from sqlalchemy import select

from watcher.api.limits import Limits
from watcher.api.problems import Problem
from watcher.store.database import Database
from watcher.store.tables import api_key

KEY_PREFIX: Final = "tuw_"
SCOPES: Final = (
    "wallets:read",
    "wallets:write",
    "asks:write",
    "addresses:replace",
    "links:read",
    "contacts:read",
    "endpoints:write",
    "admin",
)


@dataclass(frozen=True, slots=True)
class Caller:
    """A key that was recognised."""

    tenant: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """`admin` may everything."""
        return scope in self.scopes or "admin" in self.scopes


def make_key() -> str:
    """A new key: 256 random bits."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def digest_key(key: str) -> bytes:
    """What is stored of a key. It has 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(key.encode()).digest()


async def find_caller(request: web.Request, database: Database, limits: Limits) -> Caller:
    """The caller by its `Authorization: Bearer` header.

    Raises `Problem` 401, the same for every fault, and 429 for too many requests: of one address with keys that aren't
    known, or of one tenant.
    """
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    unknown = Problem(
        401,
        "unauthorized",
        "Send Authorization: Bearer with a key from topup-watcher keys create",
        headers={"WWW-Authenticate": "Bearer"},
    )
    if scheme.lower() != "bearer" or not key.startswith(KEY_PREFIX) or not key.isascii():
        limits.meet(request.remote, None)
        raise unknown
    digest = digest_key(key)
    limits.meet(request.remote, digest)
    query = select(api_key).where(api_key.c.digest == digest, api_key.c.revoked_at.is_(None))
    async with database.begin() as conn:
        row = (await conn.execute(query)).mappings().one_or_none()
    if row is None or not hmac.compare_digest(row["digest"], digest):
        limits.forget(digest)
        raise unknown
    limits.remember(digest)
    limits.count(row["tenant"])
    return Caller(row["tenant"], frozenset(row["scopes"]))
