"""Which holdings are watched, and in which account each one lies."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final

import structlog
from solders.pubkey import Pubkey

from chains.errors import Unavailable
from chains.model import NATIVE, Asset, Holding, NetworkId
from chains.solana.accounts import Account, Mint, associated_account, read_mint
from chains.solana.reader import AccountReader

log = structlog.get_logger()

_LOOK_AGAIN_SECONDS: Final = 60.0
"""Between two looks at an address that was no mint: one may be made there later."""


class Mints:
    """Which program owns each mint. Read once: a mint never changes its program or decimals."""

    def __init__(
        self,
        network: NetworkId,
        assets: Sequence[Asset],
        reader: AccountReader,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`assets` starts with the network's own coin."""
        if not assets or assets[0].reference != NATIVE:
            raise ValueError("the first asset must be the network's own coin")
        self._network = network
        self._decimals = {asset.reference: asset.decimals for asset in assets}
        self._reader = reader
        self._clock = clock
        self._known: dict[str, Mint] = {}
        self._found: dict[Holding, str] = {}
        """Token accounts of watched holdings: deriving one costs more than reading it."""
        self._none: dict[str, float] = {}
        """Mints that are none, or have other decimals than configured, and when each one is looked at again."""
        self._told: set[str] = set()

    async def learn(self) -> None:
        """Read the mints not known yet; what is no mint stays unknown, and is said once. Raises `Unavailable`."""
        now = self._clock()
        missing = [m for m in self._decimals if m != NATIVE and m not in self._known and self._none.get(m, now) <= now]
        for mint, (account, _) in zip(missing, await self._reader.read(missing, "confirmed"), strict=True):
            try:
                self._known[mint] = self._judge(mint, account)
            except Unavailable as error:
                self._none[mint] = now + _LOOK_AGAIN_SECONDS
                if mint not in self._told:
                    log.warning("mint.unknown", network=self._network, mint=mint, reason=str(error))
                self._told.add(mint)

    def forget(self) -> None:
        """The ledger was wiped: whatever was a mint may be none."""
        self._known.clear()
        self._none.clear()
        self._found.clear()

    def knows(self, holding: Holding) -> bool:
        """Whether the account of a holding can be found: its mint was learnt, or it needs none."""
        return holding.asset == NATIVE or holding.asset in self._known

    def program(self, mint: str) -> str:
        """The token program of a mint. Raises KeyError before it was learnt."""
        return self._known[mint].program

    def account_of(self, holding: Holding) -> str:
        """The account that a holding lies in. Raises KeyError before its mint was learnt."""
        if holding.asset == NATIVE:
            return holding.address
        known = self._found.get(holding)
        return known or associated_account(holding.address, holding.asset, self.program(holding.asset))

    def find_account(self, holding: Holding) -> str:
        """The same, and kept for as long as the holding is watched."""
        account = self.account_of(holding)
        if holding.asset != NATIVE:
            self._found[holding] = account
        return account

    def let_go(self, holding: Holding) -> None:
        """Its account need not be known any more."""
        self._found.pop(holding, None)

    def check(self, holding: Holding) -> None:
        """Raises ValueError for a holding of an asset that this chain wasn't given, or at what is no address."""
        Pubkey.from_string(holding.address)
        if holding.network != self._network or holding.asset not in self._decimals:
            raise ValueError(f"{holding.asset} is not an asset of this chain")

    def _judge(self, mint: str, account: Account | None) -> Mint:
        found = read_mint(account)
        if found.decimals != self._decimals[mint]:
            raise Unavailable(f"has {found.decimals} decimals, the configuration says otherwise")
        return found


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
            self._mints.let_go(holding)
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

    def displace(self) -> set[str]:
        """Find every account anew; the accounts that holdings were in."""
        freed = set(self._holdings)
        self._waiting = dict.fromkeys((*self._accounts, *self._waiting))
        self._accounts.clear()
        self._holdings.clear()
        return freed

    async def place(self) -> set[str]:
        """Find the accounts of holdings that wait; the accounts not asked for before. Raises `Unavailable`."""
        if not self._waiting:
            return set()
        if any(holding.asset != NATIVE for holding in self._waiting):
            await self._mints.learn()
        fresh = set()
        for holding in [holding for holding in self._waiting if self._mints.knows(holding)]:
            del self._waiting[holding]
            account = self._accounts[holding] = self._mints.find_account(holding)
            if account not in self._holdings:
                fresh.add(account)
            self._holdings[account] = (*self._holdings.get(account, ()), holding)
        return fresh

    def at(self, accounts: Iterable[str]) -> set[Holding]:
        """The watched holdings that lie in some accounts."""
        return {holding for account in accounts for holding in self._holdings.get(account, ())}

    def __contains__(self, holding: object) -> bool:
        """Whether a holding is watched."""
        return isinstance(holding, Holding) and self.has(holding)

    def __iter__(self) -> Iterator[Holding]:
        """Every watched holding at the time of asking."""
        return iter([*self._accounts, *self._waiting])

    def __len__(self) -> int:
        """How many holdings are watched."""
        return len(self._accounts) + len(self._waiting)

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
