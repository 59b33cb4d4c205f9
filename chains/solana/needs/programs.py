"""Programs' code from the chain, kept between transactions by deployment, within a bound of bytes."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from solders.account import Account
from solders.pubkey import Pubkey

from chains.solana.needs.snapshot import ONE_ACCOUNT_LOADERS, UPGRADEABLE, Program

_HEADER: Final = 45
"""Bytes in front of upgradeable code: a tag, the slot of its deployment, who may upgrade it."""
_MOST_KEPT: Final = 64 * 2**20
_MOST_OF_ONE: Final = 10 * 2**20
"""Bytes of an account: the runtime's own limit."""
_MOST_OF_ALL: Final = 24 * 2**20
"""Bytes of code that one transaction may call."""


class TooMuchCode(Exception):
    """The transaction calls more code than is run here."""


class Reads(Protocol):
    """Accounts from one endpoint."""

    async def accounts(
        self, keys: Sequence[str], length: int | None = None
    ) -> tuple[int, list[tuple[Account | None, int]]]:
        """The slot, and each account with its full size; only the first `length` bytes of its data."""


class Programs:
    """What was read before. The least lately used goes first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Program] = OrderedDict()

    async def read(self, reads: Reads, programs: Mapping[str, Account]) -> dict[str, Program]:
        """The code of these, by program; without those of the runtime itself. Raises `TooMuchCode`."""
        places = {
            key: str(Pubkey.from_bytes(account.data[4:36])) if str(account.owner) == UPGRADEABLE else key
            for key, account in programs.items()
            if str(account.owner) in ONE_ACCOUNT_LOADERS
            or (str(account.owner) == UPGRADEABLE and len(account.data) >= 36)  # noqa: PLR2004  a tag and a key
        }
        if not places:
            return {}
        _, headers = await reads.accounts(list(places.values()), _HEADER)
        sizes = {key: size for key, (_, size) in zip(places, headers, strict=True)}
        if sum(sizes.values()) > _MOST_OF_ALL or any(size > _MOST_OF_ONE for size in sizes.values()):
            raise TooMuchCode("it calls programs of more code than is run here")
        versions = {
            key: f"{account.data.hex()}:{size}"
            for key, (account, size) in zip(places, headers, strict=True)
            if account is not None
        }
        return await self._gather(reads, programs, places, versions)

    async def _gather(
        self, reads: Reads, programs: Mapping[str, Account], places: Mapping[str, str], versions: Mapping[str, str]
    ) -> dict[str, Program]:
        absent = [key for key, version in versions.items() if not self._has(key, version)]
        if absent:
            _, codes = await reads.accounts([places[key] for key in absent])
            for key, (code, _) in zip(absent, codes, strict=True):
                if code is not None:
                    own = ((key, programs[key]),) if places[key] != key else ()
                    self._kept[key] = Program(versions[key], ((places[key], code), *own))
        found = {key: self._kept[key] for key in versions if self._has(key, versions[key])}
        for key in found:
            self._kept.move_to_end(key)
        while sum(program.size for program in self._kept.values()) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return found

    def _has(self, key: str, version: str) -> bool:
        return key in self._kept and self._kept[key].version == version
