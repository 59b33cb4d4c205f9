"""`chains.chain.Chain` for Solana and the clusters that speak its JSON-RPC."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, Self

from chains.errors import Unavailable
from chains.model import NATIVE, Asset, Balance, BlockRef, Fee, Holding, NetworkId, Receipt, Step
from chains.needs import BadTransaction, Limits, TransactionNeeds
from chains.rpc import Identity, RpcClient
from chains.rpc_budget import Budget
from chains.rpc_endpoint import OnCall
from chains.solana import fees, receipts
from chains.solana.accounts import Account, lamports_of, tokens_of
from chains.solana.follower import Follower
from chains.solana.ledger import Ledger
from chains.solana.needs.find import find_needs
from chains.solana.needs.process import Runner
from chains.solana.needs.programs import Programs
from chains.solana.pubsub import AccountFeed
from chains.solana.reader import MOST_ACCOUNTS, AccountReader, classify
from chains.solana.registry import Mints, Registry
from chains.solana.slots import Commitment, Slots

CloseAt = Literal[1, "finalized"]
"""The closing depth: `finalized`, or 1 for `confirmed`, which is for local clusters."""


class SolanaChain:
    """One cluster over its HTTP endpoints, with hints from its websockets."""

    def __init__(
        self,
        network: NetworkId,
        genesis_hash: str | None,
        *,
        http_urls: Sequence[str],
        ws_urls: Sequence[str] = (),
        assets: Sequence[Asset],
        close_confirmations: CloseAt = "finalized",
        poll_seconds: float = 2.0,
        stale_seconds: float = 60.0,
        tick_seconds: float = 2.0,
        priority_fee: int | None = None,
        slice_size: int | None = None,
        sweep_calls_a_minute: float = 60,
        subscriptions_per_connection: int = 5_000,
        ack_seconds: float = 10.0,
        silence_seconds: float = 15.0,
        timeout_seconds: float = 10.0,
        resync: bool = True,
        budgets: Mapping[str, Budget] | None = None,
        on_call: OnCall | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Plain settings of one network; the first of `assets` is the native coin.

        `genesis_hash` is what endpoints must give; None, for a local validator, believes any, and takes another one
        than before for a new ledger: a step with a gap at its head, however low its slots are. `poll_seconds` is the
        time between two looks that nothing woke; `tick_seconds` the longest time without a step while slots pass,
        and the pace of the rotating slice of `slice_size` holdings, by default what
        `sweep_calls_a_minute` allow; `stale_seconds` the patience with endpoints that
        can't be read, or whose slot stands. `priority_fee`: micro-lamports a unit, None to ask the node. A websocket
        must answer each request within `ack_seconds` and tell a slot every `silence_seconds`. `resync` is for a test
        (see `AccountFeed`). `budgets` and `on_call`: see `RpcClient`.
        """
        self._ledger = Ledger(genesis_hash)
        identity = Identity("getGenesisHash", self._ledger.is_ours)
        self._network = network
        self._close_at: Commitment = "confirmed" if close_confirmations == 1 else "finalized"
        self._priority_fee = priority_fee
        self._clock = clock
        self._rpc = RpcClient(
            http_urls,
            timeout_seconds=timeout_seconds,
            classify=classify,
            identity=identity,
            budgets=budgets,
            on_call=on_call,
            clock=clock,
        )
        self._reader = AccountReader(self._rpc, clock=clock)
        self._mints = Mints(network, assets, self._reader, clock=clock)
        self._runner, self._programs = Runner(), Programs()
        wake = asyncio.Event()
        self._feed = AccountFeed(
            ws_urls,
            wake,
            per_connection=subscriptions_per_connection,
            ack_seconds=ack_seconds,
            silence_seconds=silence_seconds,
            identity=identity if genesis_hash is not None else None,
            resync=resync,
        )
        self._registry = Registry(self._mints)
        self._follower = Follower(
            self._rpc,
            self._reader,
            self._registry,
            self._feed,
            wake,
            ledger=self._ledger,
            poll_seconds=poll_seconds,
            stale_seconds=stale_seconds,
            tick_seconds=tick_seconds,
            slice_size=int(sweep_calls_a_minute * tick_seconds / 60 * MOST_ACCOUNTS)
            if slice_size is None
            else slice_size,
            clock=clock,
        )
        self._ledger.on_change = self._begin_anew

    @property
    def network(self) -> NetworkId:
        """The CAIP-2 id."""
        return self._network

    async def __aenter__(self) -> Self:
        await self._rpc.__aenter__()
        self._feed.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._feed.stop()
        await self._runner.close()
        await self._rpc.__aexit__(*exc)

    async def check(self) -> None:
        """Ask each endpoint for its genesis hash. Raises `WrongNetwork`, `Unavailable`."""
        await self._rpc.check()

    @property
    def watched(self) -> Collection[Holding]:
        """All that is watched."""
        return self._registry

    def watch(self, holdings: Collection[Holding]) -> None:
        """Watch these; they are dirty in the next step. Raises ValueError for an asset the chain wasn't given."""
        self._follower.watch(holdings)

    def recall(self, balances: Iterable[Balance]) -> None:
        """See `Chain.recall`; here they are read like any others that are watched."""
        self._follower.watch([balance.holding for balance in balances])

    def unwatch(self, holdings: Collection[Holding]) -> None:
        """Stop watching these."""
        self._follower.unwatch(holdings)

    def follow(self, after: BlockRef | None) -> AsyncGenerator[Step, None]:
        """Each move of the slot after `after`. One iterator at a time."""
        return self._follower.follow(after)

    async def balances(self, holdings: Collection[Holding], at: BlockRef) -> tuple[Balance, ...]:
        """Confirmed balances at that slot or later, each with the slot it was read at. Raises `Unavailable`.

        Holdings of a mint that is none, or has other decimals than configured, are left out.
        """
        return await self._read(holdings, "confirmed", at.number)

    async def settled_balances(self, holdings: Collection[Holding]) -> tuple[Balance, ...]:
        """Balances at the closing depth, as far as known. Raises `Unavailable`."""
        return await self._read(holdings, self._close_at, 0)

    async def find_receipt(self, transaction: str, holding: Holding) -> Receipt | None:
        """What a transaction brought to a holding, once at the closing depth; None until then, or if it failed."""
        await self._learn([holding])
        if not self._mints.knows(holding):
            raise Unavailable(f"{holding.asset} is not a mint as configured")
        try:
            found = await receipts.find_transaction(self._rpc, transaction, self._close_at)
            if found is None or found["slot"] > await self._reader.head(self._close_at):
                return None
            account = self._mints.account_of(holding)
            if holding.asset == NATIVE:
                amount = receipts.coin_amount(found, account)
            else:
                amount = receipts.token_amount(found, account, holding.asset)
            at = BlockRef(int(found["slot"]), None)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise Unavailable("a malformed transaction") from error
        return Receipt(transaction, holding, amount, at) if amount > 0 else None

    async def fee(self) -> Fee:
        """See `Chain.fee`."""
        price = self._priority_fee if self._priority_fee is not None else await fees.recent_price(self._rpc)
        return fees.make_fee(price)

    async def find_needs(
        self, sender: str, transaction: Mapping[str, Any] | str, limits: Limits, *, pays_gas: bool = True
    ) -> TransactionNeeds:
        """See `Chain.find_needs`; who pays is read from the message."""
        del pays_gas
        if not isinstance(transaction, str):
            raise BadTransaction("", "not_a_string", "must be base64 of a message or a transaction")
        return await find_needs(
            self._rpc,
            sender,
            transaction,
            limits=limits,
            runner=self._runner,
            programs=self._programs,
            min_slot=self._reader.slots.reads["confirmed"],
        )

    def _begin_anew(self) -> None:
        self._reader.slots = Slots(clock=self._clock)
        self._mints.forget()
        self._programs = Programs()
        self._follower.begin_anew()

    async def _read(self, holdings: Collection[Holding], commitment: Commitment, min_slot: int) -> tuple[Balance, ...]:
        await self._learn(holdings)
        holdings = [holding for holding in holdings if self._mints.knows(holding)]
        accounts = [self._mints.account_of(holding) for holding in holdings]
        ledger = self._ledger.local
        found = await self._reader.read(accounts, commitment, min_slot)
        if ledger not in (None, self._ledger.local):
            raise Unavailable("the ledger was wiped meanwhile")
        slots = {slot: BlockRef(slot, None) for _, slot in found}
        return tuple(
            Balance(holding, self._amount(holding, account), slots[slot])
            for holding, (account, slot) in zip(holdings, found, strict=True)
        )

    async def _learn(self, holdings: Collection[Holding]) -> None:
        if any(holding.asset != NATIVE for holding in holdings):
            await self._mints.learn()

    def _amount(self, holding: Holding, account: Account | None) -> int:
        if holding.asset == NATIVE:
            return lamports_of(account)
        return tokens_of(account, holding.address, holding.asset, self._mints.program(holding.asset))
