"""The Ethereum adapter keeps the promises of `Chain`."""

from collections.abc import AsyncIterator

import pytest

from chains.chain import Chain
from chains.model import NATIVE, Holding
from tests.contract.chain_contract import Bench, ChainContract
from tests.integration.ethereum.conftest import chain_on, coin, token, token_asset
from tests.nodes.anvil import Anvil, selector_data

pytestmark = pytest.mark.evm


class AnvilBench:
    """The coin, or a token, at two of anvil's accounts."""

    def __init__(self, node: Anvil, accounts: list[str], contract: str | None) -> None:
        self.node = node
        self.contract = contract
        self.bank = accounts[9]
        self.holding = token(contract, accounts[1]) if contract else coin(accounts[1])
        self.other = token(contract, accounts[2]) if contract else coin(accounts[2])
        self.chain: Chain = self.reopen()

    def reopen(self) -> Chain:
        assets = (token_asset(self.contract),) if self.contract else ()
        return chain_on(self.node.http, ws=(self.node.ws,), assets=assets)

    async def fund(self, address: str, amount: int) -> str:
        return await self._pay(self.bank, address, amount)

    async def spend(self, amount: int) -> str:
        return await self._pay(self.holding.address, self.bank, amount)

    async def truth(self, holding: Holding) -> int:
        return await self.node.balance(holding.address, None if holding.asset == NATIVE else holding.asset)

    async def _pay(self, sender: str, to: str, amount: int) -> str:
        if self.contract is None:
            receipt = await self.node.send(sender, to, value=amount)
        else:
            data = selector_data("transfer(address,uint256)", to, amount)
            receipt = await self.node.send(sender, self.contract, data)
        return str(receipt["transactionHash"])


@pytest.fixture(params=["coin", "token"])
async def bench(request: pytest.FixtureRequest, anvil: Anvil) -> AsyncIterator[Bench]:
    accounts = await anvil.accounts()
    contract = None
    if request.param == "token":
        contract = await anvil.deploy(accounts[0], "Token")
        for account in (accounts[1], accounts[2], accounts[9]):
            await anvil.send(accounts[0], contract, selector_data("mint(address,uint256)", account, 10**12))
    made = AnvilBench(anvil, accounts, contract)
    async with made.chain:
        yield made


class TestEthereumChain(ChainContract):
    """See `ChainContract`."""
