"""A small town of wallets on a local Ethereum node, where money moves in every way that `evm.md`'s table knows."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from eth_account import Account
from eth_utils.crypto import keccak

from chains.model import NATIVE, Asset, Holding, NetworkId
from tests.nodes.anvil import ARTIFACTS, CHAIN_ID, COIN, Anvil, NodeError, selector_data

NETWORK: Final = NetworkId(f"eip155:{CHAIN_ID}")
REBASE: Final = "0x" + keccak(text="Rebase(uint256)").hex()
SPONSOR_KEY: Final = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"  # anvil's first, public
THRESHOLD: Final = 5 * COIN
START: Final = 7 * COIN


def make_address(number: int) -> str:
    """An address without a key that anybody has."""
    return str(Account.from_key(number.to_bytes(32)).address)


@dataclass
class Town:
    """Who lives here."""

    node: Anvil
    dice: random.Random
    bank: str
    people: list[str]
    """Accounts without code that send transactions of their own."""
    smart: list[str]
    """Contract wallets."""
    delegated: list[str]
    """EIP-7702 accounts; more join while the town lives."""
    idle: list[str]
    tokens: dict[str, str]
    relay: str
    delegate_code: str
    next_key: int = 500

    @property
    def wallets(self) -> list[str]:
        """Everyone watched."""
        return [*self.people, *self.smart, *self.delegated, *self.idle]

    @property
    def assets(self) -> tuple[Asset, ...]:
        """The coin and the four tokens."""
        coin = Asset(NETWORK, NATIVE, "ETH", 18)
        return (coin, *(Asset(NETWORK, address, name, 18) for name, address in self.tokens.items()))

    def holdings(self) -> list[Holding]:
        """Everything watched."""
        return [Holding(NETWORK, asset.reference, wallet) for wallet in self.wallets for asset in self.assets]

    def amount(self) -> int:
        """Some coins: enough to cross the threshold now and then."""
        return self.dice.randrange(1, 4 * COIN)

    async def act(self) -> None:
        """One thing happens, of a random kind."""
        await self.dice.choice(self.kinds())()

    def kinds(self) -> list[Callable[[], Awaitable[object]]]:
        """All ways in which a balance changes."""
        return [
            self.send_coins,
            self.waste_gas,
            self.move_token,
            self.move_by_spender,
            self.move_from_smart_wallet,
            self.drain_directly,
            self.drain_through_relay,
            self.drain_delegated,
            self.delegate_one_more,
            self.pay_internally,
            self.explode,
            self.earn_as_miner,
            self.wrap,
            self.unwrap,
            self.unwrap_in_smart_wallet,
            self.rebase,
            self.help_a_poor_one,
        ]

    async def send_coins(self) -> None:
        """A plain payment."""
        await self.submit(self.dice.choice(self.people), self.dice.choice(self.wallets), value=self.amount())

    async def waste_gas(self) -> None:
        """A transaction that reverts still costs gas, here a lot of it."""
        person = self.dice.choice(self.people)
        await self.submit(person, self.relay, selector_data("fail()"), price=20_000 * 10**9)

    async def move_token(self) -> None:
        """A token's own transfer; one of them takes a fee that its event does not show."""
        token = self.tokens[self.dice.choice(["Token", "FeeToken", "RebasingToken", "WrappedCoin"])]
        data = selector_data("transfer(address,uint256)", self.dice.choice(self.wallets), self.amount())
        await self.submit(self.dice.choice(self.people), token, data)

    async def move_by_spender(self) -> None:
        """Somebody allowed moves the owner's tokens: the owner is in no transaction's `from` or `to`."""
        owner = self.dice.choice(self.people)
        data = selector_data("transferFrom(address,address,uint256)", owner, self.bank, self.amount())
        await self.submit(self.bank, self.tokens["Token"], data)

    async def move_from_smart_wallet(self) -> None:
        """A contract wallet moves its tokens."""
        data = selector_data("transfer(address,uint256)", self.dice.choice(self.wallets), self.amount())
        await self.run(self.dice.choice(self.smart), self.tokens["Token"], 0, data)

    async def drain_directly(self) -> None:
        """A contract wallet is called, and pays."""
        await self.run(self.dice.choice(self.smart), self.dice.choice(self.wallets), self.amount())

    async def drain_through_relay(self) -> None:
        """The same, with neither party in the transaction."""
        await self.run(self.dice.choice(self.smart), self.bank, self.amount(), hidden=True)

    async def drain_delegated(self) -> None:
        """A sponsor makes an EIP-7702 account pay."""
        wallet = self.dice.choice(self.delegated)
        await self.run(wallet, self.bank, self.amount(), hidden=self.dice.random() < 0.7)

    async def delegate_one_more(self) -> None:
        """An account gets code by a sponsor's transaction, and pays through a relay in the same block."""
        if self.next_key >= 506:
            return
        fresh = await self.delegate(self.next_key)
        self.next_key += 1
        self.idle.remove(fresh)
        self.delegated.append(fresh)
        await self.run(fresh, self.bank, self.amount(), hidden=True)

    async def pay_internally(self) -> None:
        """A contract pays somebody who is in no transaction."""
        await self.run(self.dice.choice(self.smart), self.dice.choice(self.wallets), self.amount(), hidden=True)

    async def explode(self) -> None:
        """A contract ends and leaves its coins."""
        heir = self.dice.choice(self.wallets)
        create = ARTIFACTS["Bomb"]["create"] + heir[2:].rjust(64, "0")
        await self.submit(self.bank, None, create, value=self.amount())

    async def earn_as_miner(self) -> None:
        """The next block's tips are one wallet's; a rich tip makes it matter."""
        await self.node.rpc("anvil_setCoinbase", self.dice.choice(self.wallets))
        await self.submit(self.bank, self.bank, price=100_000 * 10**9)

    async def wrap(self) -> None:
        """Coins become wrapped coins, without a Transfer event, for oneself or for another."""
        person, value = self.dice.choice(self.people), self.amount()
        data = selector_data("depositFor(address)", self.dice.choice([person, *self.wallets]))
        await self.submit(person, self.tokens["WrappedCoin"], data, value=value)

    async def unwrap(self) -> None:
        """And back: the token contract pays internally."""
        data = selector_data("withdraw(uint256)", self.amount())
        await self.submit(self.dice.choice(self.people), self.tokens["WrappedCoin"], data)

    async def unwrap_in_smart_wallet(self) -> None:
        """A contract wallet unwraps, hidden behind a relay."""
        data = selector_data("withdraw(uint256)", self.amount())
        await self.run(self.dice.choice(self.smart), self.tokens["WrappedCoin"], 0, data, hidden=True)

    async def rebase(self) -> None:
        """Everyone's balance of one token moves."""
        data = selector_data("rebase(uint256)", self.dice.randrange(5, 20) * 10**17)
        await self.submit(self.bank, self.tokens["RebasingToken"], data)

    async def help_a_poor_one(self) -> None:
        """The bank tops somebody up, in coins and tokens."""
        wallet = self.dice.choice(self.wallets)
        await self.submit(self.bank, wallet, value=3 * COIN)
        for token in ("Token", "FeeToken", "RebasingToken"):
            await self.submit(self.bank, self.tokens[token], selector_data("mint(address,uint256)", wallet, 3 * COIN))

    async def run(self, wallet: str, to: str, value: int, data: str = "0x", *, hidden: bool = False) -> None:
        """Make a wallet with code do something, directly or through the relay."""
        inner = selector_data("run(address,uint256,bytes)", to, value, bytes.fromhex(data[2:]))
        if hidden:
            outer = selector_data("forward(address,bytes)", wallet, bytes.fromhex(inner[2:]))
            await self.submit(self.bank, self.relay, outer)
        else:
            await self.submit(self.bank, wallet, inner)

    async def submit(self, sender: str, to: str | None, data: str = "0x", value: int = 0, price: int = 0) -> None:
        """Put a transaction into the pool; one that can't be paid for does not happen."""
        fees = {"maxFeePerGas": hex(price or 4 * 10**9), "maxPriorityFeePerGas": hex(price or 10**9)}
        try:
            await self.node.submit(sender, to, data, value, **fees)
        except NodeError as error:
            if "nsufficient funds" not in str(error):
                raise

    async def delegate(self, key: int) -> str:
        """Give an account code by a transaction that its sponsor signs and pays."""
        sponsor = Account.from_key(SPONSOR_KEY)
        authority = Account.from_key(key.to_bytes(32))
        signed = authority.sign_authorization({"chainId": CHAIN_ID, "address": self.delegate_code, "nonce": 0})
        transaction = {
            "type": 4,
            "chainId": CHAIN_ID,
            "nonce": int(await self.node.rpc("eth_getTransactionCount", sponsor.address, "pending"), 16),
            "to": self.relay,
            "value": 0,
            "gas": 300_000,
            "maxFeePerGas": 4 * 10**9,
            "maxPriorityFeePerGas": 10**9,
            "data": "0x",
            "authorizationList": [signed],
        }
        raw = sponsor.sign_transaction(transaction).raw_transaction
        await self.node.rpc("eth_sendRawTransaction", "0x" + raw.hex())
        return str(authority.address)


async def found_town(node: Anvil, seed: int) -> Town:
    """Deploy everything and fund everyone; leaves the node without automatic mining."""
    accounts = await node.accounts()
    bank = accounts[9]
    await node.rpc("anvil_setBalance", bank, hex(10**6 * COIN))
    names = ("Token", "FeeToken", "RebasingToken", "WrappedCoin")
    tokens = {name: await node.deploy(bank, name) for name in names}
    smart = [await node.deploy(bank, "SmartWallet") for _ in range(8)]
    town = Town(
        node,
        random.Random(seed),  # noqa: S311  a repeatable run, not a secret
        bank,
        people=[make_address(number) for number in range(100, 112)],
        smart=smart,
        delegated=[],
        idle=[make_address(number) for number in (*range(200, 220), *range(500, 506))],
        tokens=tokens,
        relay=await node.deploy(bank, "Relay"),
        delegate_code=await node.deploy(bank, "SmartWallet"),
    )
    for key in range(300, 304):
        town.delegated.append(await town.delegate(key))
    for wallet in town.wallets:
        await node.rpc("anvil_setBalance", wallet, hex(START))
        for name in ("Token", "FeeToken", "RebasingToken"):
            await node.send(bank, tokens[name], selector_data("mint(address,uint256)", wallet, START))
        await node.send(bank, tokens["WrappedCoin"], selector_data("depositFor(address)", wallet), START)
    for person in town.people:
        await node.send(person, tokens["Token"], selector_data("approve(address,uint256)", bank, 2**255))
    await node.rpc("evm_setAutomine", False)
    return town
