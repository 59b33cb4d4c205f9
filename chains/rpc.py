"""A thin JSON-RPC client over several endpoints: failover, rests after failures, quarantine. For reads only.

Requests may be sent twice (to the next endpoint, or again after a dropped connection), so nothing with an effect
belongs here.
"""

import itertools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import structlog

from chains.errors import BlockGone, ChainError, RpcError, Unavailable, WrongNetwork
from chains.rpc_answer import (
    BadAnswer,
    Classify,
    Null,
    Verdict,
    classify_common,
    find_rest,
    load,
    read_batch,
    read_one,
)
from chains.rpc_budget import TOO_LARGE, UNLIMITED, Allowance, Budget, is_size
from chains.rpc_endpoint import Endpoint, OnCall, find_host
from chains.rpc_http import Failed, TooLong, Wire

__all__ = ["TOO_LARGE", "Endpoint", "Identity", "Request", "RpcClient"]

log = structlog.get_logger()

T = TypeVar("T")

Request = tuple[str, Sequence[Any]]
"""A method and its parameters."""


@dataclass(frozen=True, slots=True)
class Identity:
    """How an endpoint says which chain it serves, and whether that is ours."""

    method: str
    is_ours: Callable[[Any], bool]


class _TooMany(Exception):
    """Fewer calls together may get an answer."""


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
        budgets: Mapping[str, Budget] | None = None,
        on_call: OnCall | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`max_bytes` bounds an answer after decompression; `doubt_seconds` is how long a failure counts.

        With `identity`, each endpoint is asked who it is before its first use and after each failure.
        `budgets` are by host, `*` for the rest; each is shared by all who ask through this client.
        """
        found = budgets or {}
        hosts = [(url, find_host(url)) for url in urls]
        self.endpoints = tuple(
            Endpoint(url, host, Allowance(found.get(host, found.get("*", UNLIMITED)), clock)) for url, host in hosts
        )
        self._wire = Wire(
            timeout_seconds=timeout_seconds,
            max_bytes=max_bytes,
            connections=connections,
            on_call=on_call,
            clock=clock,
        )
        self._doubt = doubt_seconds
        self._classify = classify
        self._identity = identity
        self._clock = clock
        self._ids = itertools.count(1)

    async def __aenter__(self) -> Self:
        await self._wire.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._wire.__aexit__(*exc)

    async def check(self) -> None:
        """Ask every endpoint who it is; quarantine the wrong ones, take back those that are right again.

        Raises `WrongNetwork` when every one that answered is wrong, `Unavailable` when none answered.
        """
        failures: list[str] = []
        for endpoint in self.endpoints:
            try:
                await self._identify(endpoint)
            except (Unavailable, BlockGone, Failed, BadAnswer) as error:
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
            results: list[Any] = []
            while len(results) < len(requests):
                rest = requests[len(results) :]
                part = rest[: asked.allowance.count_first([method for method, _ in rest])]
                try:
                    results += await self._batch_once(asked, part, null)
                except _TooMany:
                    log.info("rpc.batch_halved", host=asked.host, calls=len(part))
                    asked.allowance.learn(len(part))
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

    async def _batch_once(self, asked: Endpoint, requests: Sequence[Request], null: Null) -> list[Any]:
        """Raises `_TooMany` when fewer calls together may get an answer."""
        identities = [next(self._ids) for _ in requests]
        body = [
            {"jsonrpc": "2.0", "id": identity, "method": method, "params": list(params)}
            for identity, (method, params) in zip(identities, requests, strict=True)
        ]
        try:
            answer = load(await self._post(asked, body))
            results = read_batch(answer, identities, asked.host, null)
        except RpcError as error:
            if len(requests) > 1 and is_size(error):
                raise _TooMany from error
            raise
        except TooLong as error:
            if len(requests) > 1:
                raise _TooMany from error
            raise
        for result in results:
            if isinstance(result, RpcError) and len(requests) > 1 and is_size(result):
                raise _TooMany from result
            if isinstance(result, RpcError) and self._verdict(result) in (Verdict.BUSY, Verdict.BEHIND):
                raise result
            if result is None and null is Null.BEHIND:
                raise BlockGone(f"{asked.host} does not know the block")
        return results

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
                    endpoint.rests_until = self._clock() + find_rest(error.data, otherwise=min(1.0, self._doubt))
                gone = verdict is Verdict.BEHIND
                failures.append(BlockGone(str(error)) if gone else error)
            except Unavailable as error:
                failures.append(error)
            except (Failed, BadAnswer) as error:
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
        return await self._wire.post(endpoint, body)
