"""A node with contracts, a wallet that has nothing, and ways to look at a transaction and to really send it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chains.ethereum.answers import classify
from chains.ethereum.needs.find import WAYS, find_needs
from chains.ethereum.needs.memory import Memory
from chains.model import NATIVE, BlockRef, Fee
from chains.needs import Limits, TransactionNeeds
from chains.rpc import RpcClient
from tests.nodes.anvil import CHAIN_ID, COIN, Anvil, NodeError, selector_data

WALLET: Final = "0xa11CE00000000000000000000000000000000001"
SHOPPER: Final = "0x000000000000000000000000000000000000bEEF"
PRICE: Final = 3 * 10**9
EACH_WAY: Final = (("simulate",), ("trace",), ("call",), WAYS)
"""Each way alone, and all together."""
FAR: Final = 2**40
"""A deadline that does not pass."""


@dataclass
class World:
    """One node."""

    node: Anvil
    rpc: RpcClient
    operator: str
    contracts: dict[str, str] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)

    async def at(self, name: str, as_name: str | None = None) -> str:
        """The address of a contract, deployed at its first mention."""
        key = as_name or name
        if key not in self.contracts:
            self.contracts[key] = await self.node.deploy(self.operator, name)
        return self.contracts[key]

    async def find(
        self,
        transaction: Mapping[str, Any],
        *,
        ways: Sequence[str] = WAYS,
        known: Sequence[str] | None = None,
        sender: str = WALLET,
        memory: Memory | None = None,
        **more: Any,
    ) -> TransactionNeeds:
        """What it needs at the head. Every deployed contract is known, unless told otherwise."""
        head = await self.node.rpc("eth_getBlockByNumber", "latest", False)
        at = BlockRef(int(head["number"], 16), head["hash"])
        limits = more.pop("limits", None) or Limits([NATIVE, *(self.contracts.values() if known is None else known)])
        return await find_needs(
            self.rpc,
            sender,
            transaction,
            at=at,
            fee=Fee(PRICE),
            limits=limits,
            chain_id=CHAIN_ID,
            ways=ways,
            memory=memory or self.memory,
            **more,
        )

    async def call(self, to: str, signature: str, *values: Any, value: int = 0) -> dict[str, Any]:
        """The wallet's call, as it would be proposed."""
        transaction: dict[str, Any] = {"to": to, "data": selector_data(signature, *values)}
        return {**transaction, "value": hex(value)} if value else transaction

    async def act(self, to: str, signature: str, *values: Any, sender: str = WALLET) -> None:
        """A call that the wallet really makes, whatever it has."""
        had = await self.node.balance(sender)
        await self.node.rpc("anvil_setBalance", sender, hex(10 * COIN))
        receipt = await self.node.send(sender, to, selector_data(signature, *values))
        assert receipt["status"] == "0x1"
        await self.node.rpc("anvil_setBalance", sender, hex(had))

    async def give(self, asset: str, amount: int, to: str = WALLET) -> None:
        """So much more of an asset."""
        if asset == NATIVE:
            await self.node.rpc("anvil_setBalance", to, hex(amount + await self.node.balance(to)))
        elif amount:
            await self.node.send(self.operator, asset, selector_data("mint(address,uint256)", to, amount))

    async def mines(self, transaction: Mapping[str, Any], needs: TransactionNeeds, sender: str = WALLET) -> bool:
        """Whether the node takes it, with the limit and price that were found, and it works."""
        gas = next(outflow.extra for outflow in needs.outflows if outflow.what == "gas")
        fees = {} if "gasPrice" in transaction else {"maxFeePerGas": hex(gas["price"]), "maxPriorityFeePerGas": "0x1"}
        fields = {name: value for name, value in transaction.items() if name not in ("to", "data", "value")}
        more = {**fees, **fields, "gas": hex(gas["limit"])}
        value = int(transaction.get("value", "0x0"), 16)
        try:
            receipt = await self.node.send(sender, transaction.get("to"), transaction.get("data", "0x"), value, **more)
        except NodeError as error:
            if "nsufficient funds" not in str(error):
                raise
            return False
        return bool(receipt["status"] == "0x1")

    async def prove(self, transaction: Mapping[str, Any], needs: TransactionNeeds) -> None:
        """Funded with exactly the amounts it is mined; with one unit less of any, it is not."""
        totals = totals_of(needs)
        for short in (None, *totals):
            snapshot = await self.node.rpc("evm_snapshot")
            for asset, amount in totals.items():
                await self.give(asset, amount - (asset == short))
            assert await self.mines(transaction, needs) == (short is None), short
            await self.node.rpc("evm_revert", snapshot)


def totals_of(needs: TransactionNeeds) -> dict[str, int]:
    """All that must be there, by asset."""
    totals: dict[str, int] = {}
    for outflow in needs.outflows:
        totals[outflow.asset] = totals.get(outflow.asset, 0) + outflow.amount
    return totals


def tokens_of(needs: TransactionNeeds) -> dict[str, int]:
    """Required amounts, without gas."""
    return {outflow.asset: outflow.amount for outflow in needs.outflows if outflow.what == "required"}


def client(*urls: str) -> RpcClient:
    """A client as the adapter makes one."""
    return RpcClient(urls, classify=classify)
