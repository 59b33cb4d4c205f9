"""Asks a node what a block touched, with the best means that the node has."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final

import structlog

from chains.errors import RpcError, Unavailable
from chains.ethereum import delegations, dirty
from chains.ethereum.answers import at_hash, classify, data
from chains.ethereum.dirty import Touched
from chains.ethereum.planted.code import runtime
from chains.ethereum.reader import PLANTED_AT
from chains.ethereum.registry import Registry
from chains.ethereum.together import together
from chains.model import NATIVE, Asset
from chains.rpc import Endpoint, RpcClient
from chains.rpc_answer import Null, Verdict

log = structlog.get_logger()

_TRACER: Final = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
_REMEMBERED: Final = 3600.0
"""Seconds for which an endpoint that refused to trace is not asked again."""

_BUSY_PAUSE: Final = 60.0
"""Seconds for which one that was too busy or too slow to trace is not asked again."""

_CODES_A_CALL: Final = 4000
"""2,600 gas each: 10.4M, below Osaka's 2^24."""

_CODES_A_BATCH: Final = 100


class Detector:
    """Finds what one block touched, and keeps the registry's knowledge of code up to date."""

    def __init__(
        self,
        rpc: RpcClient,
        registry: Registry,
        assets: Sequence[Asset],
        *,
        trace: bool,
        reread_contracts: bool = True,
        sweep_on: Mapping[str, Collection[str]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`sweep_on`: token reference to the topics of events that move every holder's balance (rebases).

        Without `trace`, wallets with code are dirty at every block; `reread_contracts` exists so that a test can
        show what is missed without that.
        """
        self._rpc = rpc
        self._registry = registry
        self._trace = trace
        self._reread_contracts = reread_contracts
        self._clock = clock
        self._no_trace_until: dict[str, float] = {}
        self._tokens = {asset.reference.lower(): n for n, asset in enumerate(assets) if asset.reference != NATIVE}
        self._sweep_on = {
            number: frozenset(topic.lower() for topic in sweep_on.get(asset.reference, ()))
            for number, asset in enumerate(assets)
        }

    async def touched(self, endpoint: Endpoint, block_hash: str) -> Touched:
        """What a block touched. Raises `BlockGone` or `Unavailable`."""
        found = Touched()
        reads = (
            partial(self._read_block, endpoint, block_hash, found),
            partial(self._read_logs, endpoint, block_hash, found),
            partial(self._read_traces, endpoint, block_hash, found),
        )
        try:
            await together(reads, at_once=len(reads))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise Unavailable(f"{endpoint.host} gave a malformed block") from error
        for index in found.doubtful:
            key = self._registry.key(index, 0)
            if key is not None:
                found.keys.add(key)
        return found

    def suspects(self, found: Touched) -> set[int]:
        """Keys to read beside what was found: of accounts with code, where not everything could be traced."""
        return set() if found.traced or not self._reread_contracts else self._registry.contract_keys()

    async def learn_codes(self, endpoint: Endpoint, indexes: Collection[int], block_hash: str) -> None:
        """Note which of these addresses have code."""
        pending = list(indexes)
        for start in range(0, len(pending), _CODES_A_CALL):
            part = pending[start : start + _CODES_A_CALL]
            addresses = [self._registry.address(index) for index in part]
            flags = await self._scan_codes(endpoint, addresses, block_hash)
            for index, flag in zip(part, flags, strict=True):
                self._registry.mark_code(index, has_code=flag)

    async def _scan_codes(self, endpoint: Endpoint, addresses: Sequence[str], block_hash: str) -> list[bool]:
        calldata = "0x" + "".join(address[2:] for address in addresses)
        override = {PLANTED_AT: {"code": runtime("CodeScanner")}}
        try:
            answer = data(
                await self._rpc.call(
                    "eth_call", [{"to": PLANTED_AT, "data": calldata}, at_hash(block_hash), override], endpoint=endpoint
                )
            )
        except RpcError as error:
            if classify(error.code, error.text) is Verdict.BUSY:
                raise
            answer = b""
        if len(answer) == len(addresses):
            return [byte == 1 for byte in answer]
        return await self._ask_codes(endpoint, addresses, block_hash)

    async def _ask_codes(self, endpoint: Endpoint, addresses: Sequence[str], block_hash: str) -> list[bool]:
        """The same without state overrides."""
        flags: list[bool] = []
        for start in range(0, len(addresses), _CODES_A_BATCH):
            part = addresses[start : start + _CODES_A_BATCH]
            requests = [("eth_getCode", [address, at_hash(block_hash)]) for address in part]
            for answer in await self._rpc.batch(requests, endpoint=endpoint):
                if isinstance(answer, RpcError):
                    raise answer
                flags.append(len(data(answer)) > 0)
        return flags

    async def _read_block(self, endpoint: Endpoint, block_hash: str, found: Touched) -> None:
        block = await self._rpc.call("eth_getBlockByHash", [block_hash, True], null=Null.BEHIND, endpoint=endpoint)
        dirty.from_block(self._registry, block, found)
        listed = delegations.authorizations(block["transactions"])
        requests = [delegations.recovery_request(item, block_hash) for item in listed]
        for start in range(0, len(requests), _CODES_A_BATCH):
            for answer in await self._rpc.batch(requests[start : start + _CODES_A_BATCH], endpoint=endpoint):
                if isinstance(answer, RpcError):
                    raise answer
                digits = delegations.authority(answer)
                index = self._registry.find(digits) if digits else None
                if index is not None:
                    found.doubtful.add(index)

    async def _read_logs(self, endpoint: Endpoint, block_hash: str, found: Touched) -> None:
        """All logs of the tokens; a node that won't give so many makes every holder dirty instead."""
        wanted = [*self._tokens, *dirty.ENTRY_POINTS]
        try:
            logs = await self._rpc.call(
                "eth_getLogs", [{"blockHash": block_hash, "address": wanted}], endpoint=endpoint
            )
        except RpcError as error:
            if classify(error.code, error.text) is Verdict.BUSY:
                raise
            log.warning("logs.refused", host=endpoint.host, reason=error.text)
            for number in self._tokens.values():
                found.keys |= self._registry.keys_of(number)
            return
        dirty.from_logs(self._registry, logs, self._tokens, self._sweep_on, found)

    async def _read_traces(self, endpoint: Endpoint, block_hash: str, found: Touched) -> None:
        if not self._trace or self._clock() < self._no_trace_until.get(endpoint.host, 0.0):
            return
        try:
            traces = await self._rpc.call("debug_traceBlockByHash", [block_hash, _TRACER], endpoint=endpoint)
        except Unavailable as error:
            refused = isinstance(error, RpcError) and classify(error.code, error.text) is not Verdict.BUSY
            self._no_trace_until[endpoint.host] = self._clock() + (_REMEMBERED if refused else _BUSY_PAUSE)
            log.info("trace.refused", host=endpoint.host, reason=str(error))
            return
        found.traced = isinstance(traces, list) and dirty.from_traces(self._registry, traces, found)
