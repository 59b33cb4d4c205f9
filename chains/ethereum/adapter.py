"""`chains.chain.Chain` for Ethereum and the networks that speak its JSON-RPC."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal, Self

from chains.errors import BlockGone, RpcError, Unavailable
from chains.ethereum import fees, receipts
from chains.ethereum.answers import Header, classify, header, quantity
from chains.ethereum.detect import Detector
from chains.ethereum.follower import Follower
from chains.ethereum.heads import HeadFeed
from chains.ethereum.needs.find import find_needs
from chains.ethereum.needs.lacking import keep_lacking
from chains.ethereum.needs.memory import Memory
from chains.ethereum.needs.raw import read_raw
from chains.ethereum.reader import BalanceReader
from chains.ethereum.registry import Registry
from chains.ethereum.sweep import Sweep
from chains.ethereum.together import together
from chains.model import NATIVE, Asset, Balance, BlockRef, Fee, Holding, NetworkId, Receipt, Step
from chains.needs import Limits, TransactionNeeds
from chains.rpc import Identity, RpcClient
from chains.rpc_answer import Null
from chains.rpc_budget import Budget
from chains.rpc_endpoint import OnCall

_ASSETS_AT_ONCE: Final = 4

CloseAt = int | Literal["safe", "finalized"]
"""The closing depth: confirmations (1 is the head itself), or one of the node's own tags."""


class EthereumChain:
    """One EVM network over its HTTP endpoints, woken by its websockets."""

    def __init__(
        self,
        network: NetworkId,
        chain_id: int,
        *,
        http_urls: Sequence[str],
        ws_urls: Sequence[str] = (),
        assets: Sequence[Asset],
        close_confirmations: CloseAt = 12,
        poll_seconds: float = 2.0,
        stale_seconds: float = 60.0,
        max_head_age_seconds: float | None = None,
        slice_size: int = 4_000,
        sweep_calls_a_minute: float = 60,
        trace: bool = True,
        sweep_on: Mapping[str, Collection[str]] | None = None,
        timeout_seconds: float = 10.0,
        reread_contracts: bool = True,
        budgets: Mapping[str, Budget] | None = None,
        on_call: OnCall | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Plain settings of one network.

        `poll_seconds` is the floor below the websocket's alarm; `stale_seconds` the patience without a readable
        head; `max_head_age_seconds` refuses a head older than that (None for local networks, which may rest);
        `slice_size` is how many addresses each block's rotating slice has at most, and `sweep_calls_a_minute` bounds
        what such slices may cost, one call a watched asset; `trace` whether to use `debug_traceBlockByHash` where a
        node has it; `sweep_on` names, by token, topics of events that move every holder's balance.
        `reread_contracts` is for a test (see `Detector`). `budgets` and `on_call`: see `RpcClient`.
        """
        identity = Identity("eth_chainId", lambda answer: quantity(answer) == chain_id)
        self._network = network
        self._chain_id = chain_id
        self._learned = Memory(clock)
        self._close_at = close_confirmations
        self._rpc = RpcClient(
            http_urls,
            timeout_seconds=timeout_seconds,
            classify=classify,
            identity=identity,
            budgets=budgets,
            on_call=on_call,
            clock=clock,
        )
        self._reader = BalanceReader(self._rpc, clock)
        self._wake = asyncio.Event()
        self._heads = HeadFeed(ws_urls, self._wake, silence_seconds=max(stale_seconds, 2 * poll_seconds))
        self._registry = registry = Registry(network, assets)
        detector = Detector(
            self._rpc,
            registry,
            assets,
            trace=trace,
            reread_contracts=reread_contracts,
            sweep_on=sweep_on or {},
            clock=clock,
        )
        self._follower = Follower(
            self._rpc,
            registry,
            detector,
            self._wake,
            poll_seconds=poll_seconds,
            stale_seconds=stale_seconds,
            max_head_age_seconds=max_head_age_seconds,
            sweep=Sweep(
                self._reader,
                registry,
                [asset.reference for asset in assets],
                size=slice_size,
                calls_a_minute=sweep_calls_a_minute,
                clock=clock,
            ),
            clock=clock,
            wall_clock=wall_clock,
        )

    @property
    def network(self) -> NetworkId:
        """The CAIP-2 id."""
        return self._network

    async def __aenter__(self) -> Self:
        await self._rpc.__aenter__()
        self._heads.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._heads.stop()
        await self._rpc.__aexit__(*exc)

    async def check(self) -> None:
        """Ask each endpoint for its chain id. Raises `WrongNetwork`, `Unavailable`."""
        await self._rpc.check()

    @property
    def watched(self) -> Collection[Holding]:
        """All that is watched."""
        return self._registry

    def watch(self, holdings: Collection[Holding]) -> None:
        """Watch these; they are dirty in the next step. Raises ValueError for an asset the chain wasn't given."""
        self._follower.watch(holdings)

    def recall(self, balances: Iterable[Balance]) -> None:
        """See `Chain.recall`. Raises ValueError for an asset the chain wasn't given."""
        self._follower.recall(balances)

    def unwatch(self, holdings: Collection[Holding]) -> None:
        """Stop watching these."""
        self._follower.unwatch(holdings)

    def follow(self, after: BlockRef | None) -> AsyncGenerator[Step, None]:
        """Each move of the head after `after`. One iterator at a time."""
        return self._follower.follow(after)

    async def balances(self, holdings: Collection[Holding], at: BlockRef) -> tuple[Balance, ...]:
        """Balances at exactly that block, in the order given. Raises `BlockGone`, `Unavailable`."""
        if at.hash is None:
            raise BlockGone("a block of this network has a hash")
        block_hash = at.hash
        places: dict[str, list[int]] = {}
        for place, holding in enumerate(holdings):
            places.setdefault(holding.asset, []).append(place)
        asked = list(holdings)
        found: list[Balance | None] = [None] * len(asked)

        async def read(asset: str, mine: Sequence[int]) -> None:
            token = None if asset == NATIVE else asset
            amounts = await self._reader.read(token, [asked[place].address for place in mine], block_hash)
            for place, amount in zip(mine, amounts, strict=True):
                found[place] = Balance(asked[place], amount, at)

        await together([partial(read, *each) for each in places.items()], at_once=_ASSETS_AT_ONCE)
        balances = tuple(balance for balance in found if balance is not None)
        self._follower.note(balances, block_hash)
        return balances

    async def settled_balances(self, holdings: Collection[Holding]) -> tuple[Balance, ...]:
        """Balances at the closing depth. Raises `Unavailable`, also on a chain too young."""
        try:
            deep = self._follower.find_deep(self._close_at) if isinstance(self._close_at, int) else None
            return await self.balances(holdings, deep or (await self._settled()).ref)
        except BlockGone as error:
            raise Unavailable(f"the closing block cannot be read: {error}") from error

    async def find_receipt(self, transaction: str, holding: Holding) -> Receipt | None:
        """What a transaction brought to a holding, once at the closing depth; None until then, or if it failed."""
        try:
            found = await receipts.find_transaction(self._rpc, transaction)
            if found is None:
                return None
            sent, receipt = found
            number = quantity(receipt["blockNumber"])
            if number > (await self._settled()).number:
                return None
            if holding.asset == NATIVE:
                amount = await receipts.coin_amount(self._rpc, sent, receipt, holding.address)
            else:
                amount = receipts.token_amount(receipt, holding.asset, holding.address)
        except BlockGone as error:
            raise Unavailable(f"the receipt's block cannot be read: {error}") from error
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise Unavailable("a malformed receipt") from error
        return Receipt(transaction, holding, amount, BlockRef(number, receipt["blockHash"])) if amount > 0 else None

    async def fee(self) -> Fee:
        """See `Chain.fee`."""
        return Fee(await fees.price_of_gas(self._rpc))

    async def find_needs(
        self, sender: str, transaction: Mapping[str, Any] | str, limits: Limits, *, pays_gas: bool = True
    ) -> TransactionNeeds:
        """See `Chain.find_needs`. A serialised transaction may be unsigned, or signed by the sender."""
        if isinstance(transaction, str):
            transaction = read_raw(transaction)
        head, fee = await self._head_and_fee()
        needs = await find_needs(
            self._rpc,
            sender,
            transaction,
            at=head.ref,
            fee=fee,
            limits=limits,
            chain_id=self._chain_id,
            memory=self._learned,
            pays_gas=pays_gas,
        )
        return await keep_lacking(needs, sender, self._reader)

    async def _head_and_fee(self) -> tuple[Header, Fee]:
        """In one round trip."""
        try:
            asked = [("eth_getBlockByNumber", ["latest", False]), fees.HISTORY]
            block, history = await self._rpc.batch(asked, null=Null.BEHIND)
        except BlockGone as error:
            raise Unavailable(f"the head cannot be read: {error}") from error
        for answer in (block, history):
            if isinstance(answer, RpcError):
                raise answer
        return header(block), Fee(await fees.read_price(self._rpc, history))

    async def _settled(self) -> Header:
        if not isinstance(self._close_at, int):
            return await self._numbered(self._close_at)
        head = await self._numbered("latest")
        if self._close_at <= 1:
            return head
        deep = head.number - self._close_at + 1
        if deep < 0:
            raise Unavailable(f"the chain has {head.number + 1} blocks, {self._close_at} are asked for")
        return await self._numbered(hex(deep))

    async def _numbered(self, number: str) -> Header:
        block = await self._rpc.call("eth_getBlockByNumber", [number, False], null=Null.BEHIND)
        return header(block)
