"""The words for what is on chain: networks, assets, holdings, blocks, balances. No I/O here."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, NewType

NetworkId = NewType("NetworkId", str)
"""A CAIP-2 id: `eip155:1`, `solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp`."""

NATIVE: Final = "native"
"""The `asset` of a holding of a network's own coin."""


class Family(StrEnum):
    """The two kinds of network, by their CAIP-2 namespace."""

    EVM = "eip155"
    SOLANA = "solana"


@dataclass(frozen=True, slots=True)
class Asset:
    """A coin or token on one network."""

    network: NetworkId
    reference: str
    """`native`, an EIP-55 contract address, or a base58 mint."""
    symbol: str
    decimals: int


@dataclass(frozen=True, slots=True, order=True)
class Holding:
    """One asset at one address: the thing watched."""

    network: NetworkId
    asset: str
    """The asset's `reference`."""
    address: str
    """The owner's address (EIP-55 or base58), never a token account."""


@dataclass(frozen=True, slots=True)
class BlockRef:
    """One block (EVM) or slot (Solana)."""

    number: int
    """Block number, or slot. A slot is not Solana's "block height"."""
    hash: str | None
    """Block hash. None on Solana, where balances are read at a slot; but a step of a local cluster has its genesis
    hash here, so that a cursor tells which ledger it is of."""
    time: datetime | None = None
    """The block's own time, aware UTC, where the node says it."""


@dataclass(frozen=True, slots=True)
class Balance:
    """The amount of one holding at one block."""

    holding: Holding
    amount: int
    """Base units."""
    at: BlockRef


@dataclass(frozen=True, slots=True)
class Step:
    """One move of a chain's head, and what it may have changed."""

    block: BlockRef
    dirty: AbstractSet[Holding] = field(default_factory=frozenset)
    """Watched holdings whose balance may differ at `block`; may be empty: the chain has moved, no more."""
    orphaned: tuple[BlockRef, ...] = ()
    """Blocks given earlier that are no longer part of the chain."""
    gap: bool = False
    """Blocks were passed over (long downtime, deep reorg); in this step and those that follow at once, every watched
    holding is dirty that differs from what was read of it last."""
    looked_at: datetime | None = None
    """When the head was asked for: of what was written later, it may tell what was true before. None: unknown."""


@dataclass(frozen=True, slots=True)
class Fee:
    """What transactions cost now, in the native coin, by their size: units of gas, or of compute on Solana."""

    price: int
    """Base units for `per` units of size."""
    per: int = 1
    fixed: int = 0
    """Base units that each transaction costs beside."""

    def cost(self, units: int) -> int:
        """Base units of a transaction of that size, rounded up."""
        return self.fixed - (-self.price * units // self.per)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one transaction brought to one holding, seen at the closing depth."""

    transaction: str
    holding: Holding
    amount: int
    """Base units, net; fees the receiver itself paid are not subtracted."""
    at: BlockRef
