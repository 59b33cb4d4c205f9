"""What one transaction brought to one account."""

from collections.abc import Mapping
from typing import Any

from solders.signature import Signature

from chains.rpc import RpcClient
from chains.rpc_answer import Null
from chains.solana.slots import Commitment


async def find_transaction(rpc: RpcClient, signature: str, commitment: Commitment) -> Mapping[str, Any] | None:
    """A successful transaction at that commitment or deeper; None otherwise, also for what is no signature."""
    try:
        Signature.from_string(signature)
    except ValueError:
        return None
    options = {"encoding": "json", "commitment": commitment, "maxSupportedTransactionVersion": 0}
    found = await rpc.call("getTransaction", [signature, options], null=Null.NOTHING)
    return None if found is None or found["meta"]["err"] is not None else found


def coin_amount(transaction: Mapping[str, Any], address: str) -> int:
    """Net lamports; the fee that a payer paid is not counted as spent."""
    keys, meta = _keys(transaction), transaction["meta"]
    if address not in keys:
        return 0
    index = keys.index(address)
    fee = int(meta["fee"]) if index == 0 else 0
    return int(meta["postBalances"][index]) - int(meta["preBalances"][index]) + fee


def token_amount(transaction: Mapping[str, Any], account: str, mint: str) -> int:
    """Net base units of a mint in one token account, which the transaction may have opened or closed."""
    keys, meta = _keys(transaction), transaction["meta"]
    before, after = [
        sum(
            int(row["uiTokenAmount"]["amount"])
            for row in meta[side] or ()
            if keys[row["accountIndex"]] == account and row["mint"] == mint
        )
        for side in ("preTokenBalances", "postTokenBalances")
    ]
    return after - before


def _keys(transaction: Mapping[str, Any]) -> list[str]:
    """Every account of a transaction in the order of its balances: its own, then those of lookup tables."""
    loaded = transaction["meta"].get("loadedAddresses") or {}
    own = transaction["transaction"]["message"]["accountKeys"]
    return [*own, *loaded.get("writable", ()), *loaded.get("readonly", ())]
