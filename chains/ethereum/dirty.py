"""Which watched holdings a block may have changed. Pure: a block's parts in, keys out.

An account without code can lose coins only as a transaction's sender. Coins that contracts move are in no
transaction and no event: they are seen in traces, or by reading every account with code at each block. An account
without code may receive such coins unseen until its turn in the rotating slice: it can only be better off.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chains.ethereum.registry import Registry

TRANSFER: Final = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""keccak256("Transfer(address,address,uint256)")"""

ENTRY_POINTS: Final = (
    "0x5ff137d4b0fdcd49dca30c7cf57e578a026d2789",  # ERC-4337 v0.6
    "0x0000000071727de22e5e9d8baf0edac6f37da032",  # v0.7
    "0x4337084d9e255ff0702461cf8895ce9e3b5ff108",  # v0.8
)
"""Their events name smart wallets that were deployed or paid for."""


@dataclass(slots=True)
class Touched:
    """What a block touched."""

    keys: set[int] = field(default_factory=set)
    doubtful: set[int] = field(default_factory=set)
    """Indexes of addresses whose code may have changed."""
    traced: bool = False
    """Every transaction was traced: accounts with code need not be read on suspicion."""


def from_block(registry: Registry, block: Mapping[str, Any], touched: Touched) -> None:
    """Senders (of everything they hold: a transaction is how they spend), receivers, the miner, withdrawals."""
    for transaction in block["transactions"]:
        sender = registry.find(transaction["from"][2:])
        if sender is not None:
            touched.keys.update(registry.keys_at(sender))
        _hit_native(registry, transaction.get("to"), touched, doubt=True)
    _hit_native(registry, block.get("miner"), touched, doubt=False)
    for withdrawal in block.get("withdrawals") or ():
        _hit_native(registry, withdrawal["address"], touched, doubt=False)


def from_logs(
    registry: Registry,
    logs: Iterable[Mapping[str, Any]],
    tokens: Mapping[str, int],
    sweep_on: Mapping[int, frozenset[str]],
    touched: Touched,
) -> None:
    """Everyone named in any topic of any event of a token; everyone at all on an event that moves all balances.

    `tokens`: contract (lower case) to asset number. `sweep_on`: asset number to the topics of such events.
    Any event, not Transfer alone: a wrapped coin's Deposit and Withdrawal move balances without one.
    """
    for log in logs:
        number = tokens.get(log["address"].lower())
        topics = log["topics"]
        if number is not None and topics and topics[0].lower() in sweep_on.get(number, ()):
            touched.keys |= registry.keys_of(number)
        for topic in topics[1:]:
            index = registry.find(topic[26:].lower())
            if index is None:
                continue
            if number is None:
                touched.doubtful.add(index)
            key = registry.key(index, number or 0)
            if key is not None:
                touched.keys.add(key)


def from_traces(registry: Registry, traces: Sequence[Any], touched: Touched) -> bool:
    """Every account whose coins or code a transaction changed, by `prestateTracer` in `diffMode`.

    Nodes differ in the details, so it says who, never how much. False when a transaction could not be traced.
    """
    complete = True
    for trace in traces:
        result = trace.get("result") if isinstance(trace, dict) else None
        if not isinstance(result, dict):
            complete = False
            continue
        for side in (result.get("pre") or {}, result.get("post") or {}):
            for address, account in side.items():
                index = registry.find(address[2:].lower())
                if index is None:
                    continue
                if "code" in account:
                    touched.doubtful.add(index)
                key = registry.key(index, 0) if "balance" in account else None
                if key is not None:
                    touched.keys.add(key)
    return complete


def _hit_native(registry: Registry, address: str | None, touched: Touched, *, doubt: bool) -> None:
    index = registry.find(address[2:].lower()) if address else None
    if index is None:
        return
    if doubt:
        touched.doubtful.add(index)
    key = registry.key(index, 0)
    if key is not None:
        touched.keys.add(key)
