"""What one transaction brought to one address."""

from collections.abc import Mapping
from typing import Any

from chains.errors import RpcError
from chains.ethereum.answers import quantity
from chains.ethereum.dirty import TRANSFER
from chains.rpc import RpcClient
from chains.rpc_answer import Null

_TOPICS = 3
"""Of an ERC-20 Transfer; an ERC-721's has the same first topic and four."""


def token_amount(receipt: Mapping[str, Any], token: str, address: str) -> int:
    """Net base units by the token's Transfer events."""
    digits = address[2:].lower()
    amount = 0
    for log in receipt["logs"]:
        topics = log["topics"]
        if log["address"].lower() != token.lower() or len(topics) != _TOPICS or topics[0].lower() != TRANSFER:
            continue
        value = int(log["data"][2:66] or "0", 16)
        amount += value * (topics[2][26:].lower() == digits)
        amount -= value * (topics[1][26:].lower() == digits)
    return amount


async def coin_amount(rpc: RpcClient, transaction: Mapping[str, Any], receipt: Mapping[str, Any], address: str) -> int:
    """Net wei, by the traced difference; a sender's own fee is not counted as spent.

    Where the node can't trace: the transaction's own value if it is sent to the address; else what the block
    brought, which for an address that neither sent nor received directly is what internal transfers brought.
    """
    wanted = address.lower()
    is_sender = bool(transaction["from"].lower() == wanted)
    traced = await _traced_difference(rpc, transaction["hash"], wanted)
    if traced is not None:
        fee = quantity(receipt["gasUsed"]) * quantity(receipt["effectiveGasPrice"])
        return traced + fee * is_sender
    if (transaction.get("to") or "").lower() == wanted:
        return quantity(transaction["value"]) * (not is_sender)
    return 0 if is_sender else await _block_difference(rpc, quantity(receipt["blockNumber"]), address)


async def _traced_difference(rpc: RpcClient, hash_: str, address: str) -> int | None:
    options = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
    try:
        trace = await rpc.call("debug_traceTransaction", [hash_, options])
    except RpcError:
        return None
    if not isinstance(trace, Mapping):
        return None
    sides = []
    for side in (trace.get("pre") or {}, trace.get("post") or {}):
        account: Mapping[str, Any] = next((entry for key, entry in side.items() if key.lower() == address), {})
        sides.append(quantity(account.get("balance", "0x0")))
    return sides[1] - sides[0]


async def _block_difference(rpc: RpcClient, number: int, address: str) -> int:
    before, after = [
        quantity(await rpc.call("eth_getBalance", [address, hex(at)])) for at in (max(0, number - 1), number)
    ]
    return max(0, after - before)


async def find_transaction(rpc: RpcClient, hash_: str) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """The transaction and its receipt, of a successful one on the canonical chain; None otherwise."""
    receipt = await rpc.call("eth_getTransactionReceipt", [hash_], null=Null.NOTHING)
    if receipt is None or receipt.get("blockHash") is None or quantity(receipt.get("status")) != 1:
        return None
    block = await rpc.call("eth_getBlockByNumber", [receipt["blockNumber"], False], null=Null.BEHIND)
    if block["hash"] != receipt["blockHash"]:
        return None
    transaction = await rpc.call("eth_getTransactionByHash", [hash_], null=Null.NOTHING)
    return None if transaction is None else (transaction, receipt)
