"""What a proposed transaction needs of its sender: looked at, proven, and added up."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chains.errors import BlockGone, Unavailable
from chains.ethereum.needs import decode, layer1
from chains.ethereum.needs.bill import Found, Terms, absurd_of, make_outflows
from chains.ethereum.needs.diagnose import diagnose
from chains.ethereum.needs.gas import gas_limit
from chains.ethereum.needs.look import Seen, look
from chains.ethereum.needs.memory import Memory
from chains.ethereum.needs.node import Node, OutOfCalls
from chains.ethereum.needs.pending import Queue, read_queue
from chains.ethereum.needs.proposal import Proposal, parse_transaction
from chains.ethereum.needs.settle import Settling, estimate_request
from chains.ethereum.needs.slots import View
from chains.ethereum.needs.start import Start, opening_state, read_start
from chains.ethereum.needs.words import PERMIT_ALLOWANCE, checksummed
from chains.model import NATIVE, BlockRef, Fee
from chains.needs import Limits, TransactionNeeds, Verdict
from chains.rpc import Endpoint, RpcClient

WAYS: Final = ("simulate", "trace", "call", "decode")
"""In the order tried. `trace` also tells the others what a call touches."""


async def find_needs(
    rpc: RpcClient,
    sender: str,
    transaction: Mapping[str, Any],
    *,
    at: BlockRef,
    fee: Fee,
    limits: Limits,
    chain_id: int,
    memory: Memory | None = None,
    ways: Sequence[str] = WAYS,
    pays_gas: bool = True,
) -> TransactionNeeds:
    """Everything that the sender must have at that block for the transaction to work, with gas.

    `pays_gas` is False where somebody else does: a paymaster, or a bundler that a deposit pays (EIP-4337); `sender`
    is then the wallet and `transaction` the call it makes. Raises `BadTransaction` for what is no transaction of
    this network, `Unavailable` for the node's faults. A transaction that costs more calls or time than `limits`
    allows is `unknown`.
    """
    proposal = parse_transaction(sender, transaction, chain_id)
    learned = memory or Memory()
    calls = 0

    async def work(endpoint: Endpoint) -> TransactionNeeds:
        nonlocal calls
        node = Node(rpc, endpoint, at, limits.most_calls - calls)
        finder = _Finder(node, learned, proposal, Terms(fee, limits, pays_gas), tuple(ways))
        try:
            return await finder.find()
        except OutOfCalls as error:
            return finder.unknown(f"it takes {error}")
        finally:
            calls += node.calls

    try:
        async with asyncio.timeout(limits.seconds):
            return await rpc.on_one(work)
    except TimeoutError:
        detail = f"it takes more than {limits.seconds:g} s"
        return TransactionNeeds(at, (), Verdict.UNKNOWN, detail, False, ways[0], _reads(proposal), (), calls)
    except BlockGone as error:
        raise Unavailable(f"the block can't be read: {error}") from error


def _reads(proposal: Proposal, *more: str) -> frozenset[str]:
    borrowed = (item["address"] for item in proposal.authorizations)
    given = (proposal.sender, proposal.to, *borrowed, *more)
    return frozenset(checksummed(address) for address in given if address)


@dataclass(slots=True)
class _Finder:
    """One look at one transaction on one endpoint."""

    node: Node
    memory: Memory
    proposal: Proposal
    terms: Terms
    ways: tuple[str, ...]

    async def find(self) -> TransactionNeeds:
        start = await read_start(self.node, self.memory, self.proposal, tracing="trace" in self.ways)
        nonce = self.proposal.nonce
        if self.terms.pays_gas and nonce is not None and nonce < start.nonce:
            return self._needs(Found({}, Verdict.REVERTS, f"nonce {nonce} was used already", exact=True, method="call"))
        if self.proposal.data == "0x" and not start.target_has_code and not start.has_code:
            found = await self._plain()
        else:
            seen = None
            if any(way != "decode" for way in self.ways):
                seen = await look(
                    self.node, self.memory, self.proposal, start, ways=self.ways, known=self.terms.limits.known
                )
            found = await (self._decoded() if seen is None else self._seen(start, seen))
        return await self._with_costs(start, found)

    def unknown(self, detail: str) -> TransactionNeeds:
        return self._needs(Found({}, Verdict.UNKNOWN, detail, exact=False, method=self.ways[0]))

    async def _plain(self) -> Found:
        """Coins to an account without code: what is sent is what is needed, by the protocol's own rule."""
        gas = None
        if self.proposal.gas is None and self.terms.pays_gas:
            gas = await self.node.one(
                *_unpack(estimate_request(self.node, self.proposal, opening_state(self.proposal)))
            )
            if gas_limit(self.proposal, gas) is None:
                gas = hex(21_000)
        return Found({NATIVE: self.proposal.value}, Verdict.FUNDS, "", exact=True, method="decode", gas=gas)

    async def _decoded(self) -> Found:
        if "decode" not in self.ways:
            raise Unavailable(f"{self.node.host} can't run a call in another state")
        told = await decode.decode(self.node, self.proposal)
        amounts = {NATIVE: self.proposal.value, **told.amounts}
        return Found(amounts, told.verdict, told.detail, exact=False, method="decode", gas=told.gas)

    async def _seen(self, start: Start, seen: Seen) -> Found:
        reads = seen.touched.reads | seen.touched.tokens
        if seen.run.failure is not None:
            verdict, detail = await diagnose(self.node, self.proposal, seen, seen.run.failure)
            amounts = {NATIVE: self.proposal.value}
            return Found(amounts, verdict, detail, exact=False, method=seen.method, reads=reads)
        absurd = absurd_of(seen.run.outflows(), self.terms.limits.most_units)
        if absurd is not None:
            return Found({}, Verdict.REVERTS, absurd, exact=False, method=seen.method, reads=reads)
        settled = await Settling(self.node, self.proposal, start, seen).settle()
        verdict, detail = Verdict.FUNDS, ""
        if settled.missing:
            verdict, detail = Verdict.ALLOWANCE, _missing(settled.missing)
        return Found(settled.amounts, verdict, detail, settled.exact, seen.method, settled.gas, reads)

    async def _with_costs(self, start: Start, found: Found) -> TransactionNeeds:
        """The whole, with gas, layer 1 and what waits to be mined; nothing of that where it would fail anyway."""
        if found.verdict in (Verdict.REVERTS, Verdict.DEADLINE) or not self.terms.pays_gas:
            return self._needs(found)
        limit = gas_limit(self.proposal, found.gas)
        if limit is None:
            unknown = found.verdict is Verdict.FUNDS
            detail = "its gas could not be estimated" if unknown else found.detail
            verdict = Verdict.UNKNOWN if unknown else found.verdict
            return self._needs(found.but(verdict=verdict, detail=detail, exact=False))
        fees = None
        if start.is_layer2:
            fees = await layer1.read_layer1(self.node, self.proposal, limit)
            if fees.data is None:
                found = found.but(exact=False, detail=found.detail or "its layer 1 fee is not known")
        queue = read_queue(start.queue, queued=start.queued, nonce=self.proposal.nonce)
        return self._needs(found, limit, fees, queue, start.blob_price)

    def _needs(
        self,
        found: Found,
        limit: int | None = None,
        fees: layer1.Layer1 | None = None,
        queue: Queue | None = None,
        blob_price: int | None = None,
    ) -> TransactionNeeds:
        outflows = make_outflows(
            self.proposal, found, self.terms, limit=limit, fees=fees, queue=queue, blob_price=blob_price
        )
        totals: dict[str, int] = {}
        for outflow in outflows:
            totals[outflow.asset] = totals.get(outflow.asset, 0) + outflow.amount
        absurd = absurd_of(totals, self.terms.limits.most_units)
        if absurd is not None:
            found, outflows = found.but(verdict=Verdict.REVERTS, detail=absurd, exact=False), ()
        if queue is not None and not queue.certain:
            waits = f"{queue.count} transactions of the sender are waiting, and what they move is not fully known"
            found = found.but(exact=False, detail=found.detail or waits)
        known = {asset.lower() for asset in self.terms.limits.known}
        unknown = tuple(asset for asset in totals if asset != NATIVE and asset.lower() not in known)
        reads = _reads(self.proposal, *found.reads)
        return TransactionNeeds(
            self.node.at,
            outflows,
            found.verdict,
            found.detail,
            found.exact,
            found.method,
            reads,
            unknown,
            self.node.calls,
        )


def _missing(views: Sequence[View]) -> str:
    """Which approvals, for people."""
    words = []
    for view in views:
        spender = checksummed(view.owners[-1])
        token = checksummed(view.owners[1] if view.selector == PERMIT_ALLOWANCE else view.contract)
        through = " through Permit2" if view.selector == PERMIT_ALLOWANCE else ""
        words.append(f"{spender} may not take enough of {token}{through}")
    return "an approval is missing or has expired: " + "; ".join(words)


def _unpack(request: tuple[str, Sequence[Any]]) -> tuple[Any, ...]:
    method, parameters = request
    return (method, *parameters)
