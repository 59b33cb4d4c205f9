"""Which holdings are watched, and in which account each one lies."""

from collections.abc import Collection, Iterable, Sequence

from solders.pubkey import Pubkey

from chains.errors import Unavailable
from chains.model import NATIVE, Asset, Holding, NetworkId
from chains.solana.accounts import Mint, associated_account, read_mint
from chains.solana.reader import AccountReader


class Mints:
    """Which program owns each mint. Read once: a mint never changes its program or decimals."""

    def __init__(self, network: NetworkId, assets: Sequence[Asset], reader: AccountReader) -> None:
        """`assets` starts with the network's own coin."""
        if not assets or assets[0].reference != NATIVE:
            raise ValueError("the first asset must be the network's own coin")
        self._network = network
        self._decimals = {asset.reference: asset.decimals for asset in assets}
        self._reader = reader
        self._known: dict[str, Mint] = {}

    async def learn(self) -> None:
        """Read the mints not known yet. Raises `Unavailable`, also for what is no mint or has other decimals."""
        missing = [mint for mint in self._decimals if mint != NATIVE and mint not in self._known]
        for mint, (account, _) in zip(missing, await self._reader.read(missing, "confirmed"), strict=True):
            try:
                found = read_mint(account)
            except Unavailable as error:
                raise Unavailable(f"{mint}: {error}") from None
            if found.decimals != self._decimals[mint]:
                raise Unavailable(f"{mint} has {found.decimals} decimals, the configuration says otherwise")
            self._known[mint] = found

    def program(self, mint: str) -> str:
        """The token program of a mint. Raises KeyError before it was learnt."""
        return self._known[mint].program

    def account_of(self, holding: Holding) -> str:
        """The account that a holding lies in. Raises KeyError before its mint was learnt."""
        if holding.asset == NATIVE:
            return holding.address
        return associated_account(holding.address, holding.asset, self.program(holding.asset))

    def check(self, holding: Holding) -> None:
        """Raises ValueError for a holding of an asset that this chain wasn't given, or at what is no address."""
        Pubkey.from_string(holding.address)
        if holding.network != self._network or holding.asset not in self._decimals:
            raise ValueError(f"{holding.asset} is not an asset of this chain")


class Registry:
    """Watched holdings by account. Token holdings wait without one until their mint was learnt."""

    def __init__(self, mints: Mints) -> None:
        """`mints` finds accounts."""
        self._mints = mints
        self._accounts: dict[Holding, str] = {}
        self._holdings: dict[str, tuple[Holding, ...]] = {}
        self._waiting: dict[Holding, None] = {}
        self._turn: list[Holding] = []

    def add(self, holdings: Collection[Holding]) -> None:
        """Watch holdings."""
        for holding in holdings:
            self._mints.check(holding)
            if holding not in self._accounts:
                self._waiting[holding] = None

    def remove(self, holdings: Collection[Holding]) -> set[str]:
        """Unwatch holdings, unknown ones ignored; the accounts that nobody asks for any more."""
        freed = set()
        for holding in holdings:
            self._waiting.pop(holding, None)
            account = self._accounts.pop(holding, None)
            if account is None:
                continue
            left = tuple(other for other in self._holdings[account] if other != holding)
            if left:
                self._holdings[account] = left
            else:
                del self._holdings[account]
                freed.add(account)
        return freed

    async def place(self) -> set[str]:
        """Find the accounts of holdings that wait; the accounts not asked for before. Raises `Unavailable`."""
        if not self._waiting:
            return set()
        if any(holding.asset != NATIVE for holding in self._waiting):
            await self._mints.learn()
        fresh = set()
        for holding in self._waiting:
            account = self._accounts[holding] = self._mints.account_of(holding)
            if account not in self._holdings:
                fresh.add(account)
            self._holdings[account] = (*self._holdings.get(account, ()), holding)
        self._waiting.clear()
        return fresh

    def at(self, accounts: Iterable[str]) -> set[Holding]:
        """The watched holdings that lie in some accounts."""
        return {holding for account in accounts for holding in self._holdings.get(account, ())}

    def all(self) -> set[Holding]:
        """Every watched holding."""
        return {*self._accounts, *self._waiting}

    def has(self, holding: Holding) -> bool:
        """Whether a holding is watched."""
        return holding in self._accounts or holding in self._waiting

    def slice(self, size: int) -> set[Holding]:
        """The next `size` holdings of a rotation over all of them."""
        if not size:
            return set()
        if not self._turn:
            self._turn = list(self._accounts)
        taken, self._turn = self._turn[-size:], self._turn[:-size]
        return {holding for holding in taken if holding in self._accounts}
