"""A thin JSON-RPC client over several endpoints: failover, rests after failures, quarantine. For reads only.

Requests may be sent twice (to the next endpoint, or again after a dropped connection), so nothing with an effect
belongs here.
"""

import itertools
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeVar

import aiohttp
import structlog
from yarl import URL

from chains.errors import BlockGone, ChainError, RpcError, Unavailable, WrongNetwork
from chains.rpc_answer import (
    BadAnswer,
    Classify,
    Null,
    Verdict,
    classify_common,
    load,
    read_batch,
    read_one,
    retry_after,
)

log = structlog.get_logger()

T = TypeVar("T")

Request = tuple[str, Sequence[Any]]
"""A method and its parameters."""

TOO_LARGE: Final = 413
"""The code of the RpcError made from an HTTP 413, so that callers can halve what they ask."""


@dataclass(slots=True, eq=False)
class Endpoint:
    """One URL and how it has behaved."""

    url: str = field(repr=False)
    host: str
    """Host and port: all that messages say of it."""
    known: bool = False
    """It has said who it is, and not been lost since."""
    quarantined: bool = False
    """It serves another chain: never asked anything but who it is."""
    rests_until: float = 0.0
    """Monotonic seconds; it asked for a rest, and is not asked before."""
    doubted_until: float = 0.0
    """Monotonic seconds; it failed lately, and is asked after the others."""


@dataclass(frozen=True, slots=True)
class Identity:
    """How an endpoint says which chain it serves, and whether that is ours."""

    method: str
    is_ours: Callable[[Any], bool]


class _Failed(Exception):
    """An endpoint gave nothing usable; the message says why, without its URL."""


class RpcClient:
    """JSON-RPC calls to the first endpoint that gives a usable answer. An async context manager owning its session.

    Errors raised: `RpcError` (the node's own word about the request), `BlockGone` (no endpoint knows the block),
    `WrongNetwork` (all are quarantined), else `Unavailable`.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        timeout_seconds: float = 10.0,
        doubt_seconds: float = 5.0,
        max_bytes: int = 64 * 2**20,
        connections: int = 32,
        classify: Classify = classify_common,
        identity: Identity | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`max_bytes` bounds an answer after decompression; `doubt_seconds` is how long a failure counts.

        With `identity`, each endpoint is asked who it is before its first use and after each failure.
        """
        self.endpoints = tuple(Endpoint(url, _host(url)) for url in urls)
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._doubt = doubt_seconds
        self._max_bytes = max_bytes
        self._connections = connections
        self._classify = classify
        self._identity = identity
        self._clock = clock
        self._ids = itertools.count(1)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=30)
        self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout, trust_env=False)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def check(self) -> None:
        """Ask every endpoint who it is; quarantine the wrong ones, take back those that are right again.

        Raises `WrongNetwork` when every one that answered is wrong, `Unavailable` when none answered.
        """
        failures: list[str] = []
        for endpoint in self.endpoints:
            try:
                await self._identify(endpoint)
            except (Unavailable, BlockGone, _Failed, BadAnswer) as error:
                endpoint.known = False
                failures.append(f"{endpoint.host}: {error}")
            except WrongNetwork:
                continue
        if any(endpoint.known for endpoint in self.endpoints):
            return
        if len(failures) < len(self.endpoints):
            raise WrongNetwork("every endpoint that answered serves another chain")
        raise Unavailable("; ".join(failures) or "no endpoints")

    async def call(
        self, method: str, params: Sequence[Any], *, null: Null = Null.BAD, endpoint: Endpoint | None = None
    ) -> Any:
        """The result of one call. With `endpoint`, that one alone is asked, even while it rests."""

        async def ask(asked: Endpoint) -> Any:
            return await self._call_once(asked, method, params, null)

        return await self._first_usable(ask, endpoint)

    async def batch(
        self, requests: Sequence[Request], *, null: Null = Null.BAD, endpoint: Endpoint | None = None
    ) -> list[Any]:
        """Results in the order asked, all from one endpoint; an item that failed for good is its RpcError.

        An item that says "busy" or "unknown block" sends the whole batch to the next endpoint.
        """

        async def ask(asked: Endpoint) -> list[Any]:
            identities = [next(self._ids) for _ in requests]
            body = [
                {"jsonrpc": "2.0", "id": identity, "method": method, "params": list(params)}
                for identity, (method, params) in zip(identities, requests, strict=True)
            ]
            results = read_batch(load(await self._post(asked, body)), identities, asked.host, null)
            for result in results:
                if isinstance(result, RpcError) and self._verdict(result) in (Verdict.BUSY, Verdict.BEHIND):
                    raise result
                if result is None and null is Null.BEHIND:
                    raise BlockGone(f"{asked.host} does not know the block")
            return results

        return await self._first_usable(ask, endpoint) if requests else []

    async def on_one(self, work: Callable[[Endpoint], Awaitable[T]]) -> T:
        """Do several calls on one endpoint, so that they see one node's view; on the next one when that fails."""

        async def guarded(endpoint: Endpoint) -> T:
            try:
                return await work(endpoint)
            except RpcError as error:
                if self._verdict(error) is Verdict.FINAL:  # about one of the calls, not about the work
                    raise Unavailable(str(error)) from error
                raise

        return await self._first_usable(guarded, None)

    def usable(self) -> list[Endpoint]:
        """Endpoints in the order they would be asked now: configured order, lately failed ones last."""
        now = self._clock()
        ready = [e for e in self.endpoints if not e.quarantined and e.rests_until <= now]
        return sorted(ready, key=lambda e: e.doubted_until > now)

    def doubt(self, endpoint: Endpoint) -> None:
        """Ask this endpoint after the others for a while: it was found stale or contradicting itself."""
        endpoint.doubted_until = self._clock() + self._doubt

    async def _call_once(self, asked: Endpoint, method: str, params: Sequence[Any], null: Null) -> Any:
        number = next(self._ids)
        body = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
        result = read_one(load(await self._post(asked, body)), number, asked.host, null)
        if isinstance(result, RpcError):
            raise result
        if result is None and null is Null.BEHIND:
            raise BlockGone(f"{asked.host} does not know the block")
        return result

    async def _identify(self, endpoint: Endpoint) -> None:
        if self._identity is None:
            endpoint.known = True
            return
        answer = await self._call_once(endpoint, self._identity.method, [], Null.BAD)
        endpoint.known = self._identity.is_ours(answer)
        if not endpoint.known and not endpoint.quarantined:
            log.error("rpc.wrong_network", host=endpoint.host)
        endpoint.quarantined = not endpoint.known
        if endpoint.quarantined:
            raise WrongNetwork(f"{endpoint.host} serves another chain")

    async def _admit(self, endpoint: Endpoint) -> None:
        if endpoint.quarantined:
            raise WrongNetwork(f"{endpoint.host} serves another chain")
        if not endpoint.known:
            await self._identify(endpoint)

    async def _first_usable(self, ask: Callable[[Endpoint], Awaitable[T]], only: Endpoint | None) -> T:
        failures: list[ChainError] = []
        for endpoint in [only] if only is not None else self.usable():
            try:
                await self._admit(endpoint)
                return await ask(endpoint)
            except (BlockGone, WrongNetwork) as error:
                failures.append(error)
            except RpcError as error:
                verdict = self._verdict(error)
                if verdict is Verdict.FINAL:
                    raise
                if verdict is Verdict.BUSY:
                    endpoint.rests_until = self._clock() + min(1.0, self._doubt)
                gone = verdict is Verdict.BEHIND
                failures.append(BlockGone(str(error)) if gone else error)
            except Unavailable as error:
                failures.append(error)
            except (_Failed, BadAnswer) as error:
                self.doubt(endpoint)
                endpoint.known = False
                log.warning("rpc.failed", host=endpoint.host, reason=str(error))
                failures.append(Unavailable(f"{endpoint.host}: {error}"))
        raise self._summary(failures)

    def _summary(self, failures: Sequence[ChainError]) -> ChainError:
        """The one error that says most: an unknown block, then a node's own words, then that nobody answered."""
        for kind in (BlockGone, RpcError):
            for failure in failures:
                if isinstance(failure, kind):
                    return failure
        if self.endpoints and all(endpoint.quarantined for endpoint in self.endpoints):
            return WrongNetwork("every endpoint serves another chain")
        return Unavailable("; ".join(str(failure) for failure in failures) or "every endpoint asked for a rest")

    def _verdict(self, error: RpcError) -> Verdict:
        return Verdict.FINAL if error.code == TOO_LARGE else self._classify(error.code, error.text)

    async def _post(self, endpoint: Endpoint, body: Any) -> bytes:
        """The body of an answer. A kept-alive connection that the node closed meanwhile costs one more try at once."""
        data = json.dumps(body, separators=(",", ":")).encode()
        try:
            try:
                return await self._post_once(endpoint, data)
            except aiohttp.ServerDisconnectedError:
                return await self._post_once(endpoint, data)
        except TimeoutError:
            raise _Failed("no answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # `from None`: aiohttp's errors carry the URL, and the URL may carry a key
            raise _Failed(f"no connection ({type(error).__name__})") from None

    async def _post_once(self, endpoint: Endpoint, data: bytes) -> bytes:
        if self._session is None:
            raise Unavailable("the client is not open")
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        async with self._session.post(endpoint.url, data=data, headers=headers, allow_redirects=False) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(2**18):
                body += chunk
                if len(body) > self._max_bytes:
                    raise _Failed(f"an answer of more than {self._max_bytes} bytes")
            self._check_status(endpoint, response, body)
            return bytes(body)

    def _check_status(self, endpoint: Endpoint, response: aiohttp.ClientResponse, body: bytearray) -> None:
        """Let 200 pass, and errors that carry a JSON-RPC body; the rest says what the status says."""
        if response.status in (429, 503):
            rest = retry_after(response.headers.get("Retry-After"))
            endpoint.rests_until = self._clock() + rest
            raise _Failed(f"HTTP {response.status}, rests {rest:g} s")
        if response.status == TOO_LARGE:
            raise RpcError(endpoint.host, TOO_LARGE, "request too large")
        if response.status != 200 and not body.lstrip().startswith((b"{", b"[")):  # noqa: PLR2004  HTTP's OK
            raise _Failed(f"HTTP {response.status}")


def _host(url: str) -> str:
    parsed = URL(url)
    port = f":{parsed.explicit_port}" if parsed.explicit_port else ""
    return f"{parsed.host or '(no host)'}{port}"
