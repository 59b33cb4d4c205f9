"""Everything a transaction's outcome depends on, as of one slot. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from solders.account import Account
from solders.address_lookup_table_account import AddressLookupTable

from chains.solana.needs.proposal import Lookup, Proposal

CLOCK: Final = "SysvarC1ock11111111111111111111111111111111"
RENT: Final = "SysvarRent111111111111111111111111111111111"
LOOKUP_PROGRAM: Final = "AddressLookupTab1e1111111111111111111111111"
UPGRADEABLE: Final = "BPFLoaderUpgradeab1e11111111111111111111111"
ONE_ACCOUNT_LOADERS: Final = frozenset(
    {"BPFLoader2111111111111111111111111111111111", "BPFLoader1111111111111111111111111111111111"}
)
_SYSVARS: Final = "Sysvar1111111111111111111111111111111111111"


class NoTable(Exception):
    """A lookup table is not there, or has no such entry. The message says which."""


@dataclass(frozen=True, slots=True)
class Program:
    """Code that a transaction may run."""

    version: str
    """Changes whenever the code does."""
    accounts: tuple[tuple[str, Account], ...]
    """In the order to put them there: code before what points to it."""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(len(account.data) for _, account in self.accounts)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One slot's state, as far as one transaction can reach."""

    slot: int
    keys: tuple[str, ...]
    """Of the transaction, in the order of its indexes: its own, then looked up writable, then readonly."""
    accounts: Mapping[str, Account | None]
    """Of those keys, of the lookup tables, and of mints that a wallet's missing accounts would be of."""
    programs: Mapping[str, Program]
    clock: bytes
    rent: bytes

    @property
    def reads(self) -> frozenset[str]:
        """What changes from slot to slot: neither programs nor the cluster's own variables."""
        return frozenset(
            key for key, account in self.accounts.items() if not is_program(account) and not _is_sysvar(account)
        )


def is_program(account: Account | None) -> bool:
    """Whether it can be called."""
    return account is not None and account.executable


def resolve(proposal: Proposal, tables: Mapping[str, Account | None]) -> tuple[str, ...]:
    """All of a transaction's accounts in the order of their indexes. Raises `NoTable`."""
    entries = {lookup.table: _entries(lookup, tables.get(lookup.table)) for lookup in proposal.lookups}
    writable = [key for each in proposal.lookups for key in _pick(each, entries, each.writable)]
    readonly = [key for each in proposal.lookups for key in _pick(each, entries, each.readonly)]
    return (*proposal.keys, *writable, *readonly)


def _entries(lookup: Lookup, account: Account | None) -> Sequence[str]:
    if account is None or str(account.owner) != LOOKUP_PROGRAM:
        raise NoTable(f"the lookup table {lookup.table} isn't there")
    try:
        return [str(key) for key in AddressLookupTable.deserialize(account.data).addresses]
    except ValueError:
        raise NoTable(f"the lookup table {lookup.table} can't be read") from None


def _pick(lookup: Lookup, entries: Mapping[str, Sequence[str]], indexes: bytes) -> list[str]:
    found = entries[lookup.table]
    if indexes and max(indexes) >= len(found):
        raise NoTable(f"the lookup table {lookup.table} has {len(found)} entries, and not the one asked for")
    return [found[index] for index in indexes]


def _is_sysvar(account: Account | None) -> bool:
    return account is not None and str(account.owner) == _SYSVARS
