"""What the watcher asks of a network. Filled by `chains.ethereum` and `chains.solana`."""

from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from typing import Any, Protocol, Self

from chains.model import Balance, BlockRef, Fee, Holding, NetworkId, Receipt, Step
from chains.needs import Limits, TransactionNeeds


class Chain(Protocol):
    """One network, as seen through its endpoints. An async context manager: entering opens, leaving closes sessions.

    Nothing here waits for longer than the configured timeouts, and every method that reads raises
    `Unavailable` when no endpoint could be believed, never a zero in its place.
    """

    @property
    def network(self) -> NetworkId:
        """The CAIP-2 id that every endpoint was, or will be, checked against."""

    async def __aenter__(self) -> Self:
        """Open sessions. A dead endpoint is no error here."""

    async def __aexit__(self, *exc: object) -> None:
        """Close every session and task of this chain."""

    async def check(self) -> None:
        """Ask each endpoint for its chain id or genesis hash; quarantine the wrong ones.

        Raises `WrongNetwork` when every endpoint that answered is wrong, `Unavailable` when none answered.
        """

    @property
    def watched(self) -> Collection[Holding]:
        """All that is watched. Going through it makes each holding anew; more may be watched meanwhile."""

    def watch(self, holdings: Collection[Holding]) -> None:
        """Detect changes of these from now on, and give them as dirty in the next step, which comes at once."""

    def recall(self, balances: Iterable[Balance]) -> None:
        """Watch holdings whose balances were read, and recorded, before: dirty as soon as they are found to differ.

        One full read at the head, in the next step, compares them all.
        """

    def unwatch(self, holdings: Collection[Holding]) -> None:
        """Stop detecting changes of these. Unknown ones are ignored."""

    def follow(self, after: BlockRef | None) -> AsyncGenerator[Step, None]:
        """Each move of the head after `after` (the stored cursor), for ever.

        The first step comes as soon as the head was read, even when it has not moved since `after`: it says that
        the network can be read. A step's dirty holdings are forgotten only when the next step is asked for: close
        the iterator instead and they come again. Gaps and reorgs are ordinary steps. Raises `Unavailable` when the
        head could not be read for longer than the configured patience, `WrongNetwork` when all are quarantined.
        """

    async def balances(self, holdings: Collection[Holding], at: BlockRef) -> tuple[Balance, ...]:
        """The balance of each holding, in base units: at exactly that block (EVM), or at that slot or later (Solana).

        One Balance a holding, in the order given. A holding that stays unknown though the network can be read (its
        token is not there) is left out, never a zero. Raises `BlockGone` when the block was orphaned, `Unavailable`.
        """

    async def settled_balances(self, holdings: Collection[Holding]) -> tuple[Balance, ...]:
        """The balance of each holding at the closing depth: N confirmations, `safe`, or `finalized`.

        What stays unknown is left out. Raises `Unavailable`, also when the chain is too young to have such a block.
        """

    async def find_receipt(self, transaction: str, holding: Holding) -> Receipt | None:
        """What a transaction brought to a holding, once at the closing depth; None until then, or if it failed."""

    async def find_needs(
        self, sender: str, transaction: Mapping[str, Any] | str, limits: Limits, *, pays_gas: bool = True
    ) -> TransactionNeeds:
        """What a proposed, unsigned transaction needs of its sender now, and what else is in its way.

        `transaction`: an object as in JSON-RPC, or hexadecimal of a serialised one (EVM), base64 of a message or
        transaction (Solana). `pays_gas` is False where somebody else does: a paymaster or a bundler (EIP-4337), with
        `sender` the contract wallet. A Solana message names its payer itself. Nothing is claimed exact that was not
        proven. Raises `BadTransaction` for what is none of this network, `Unavailable`.
        """

    async def fee(self) -> Fee:
        """What transactions cost now, as a careful wallet would set it. Raises `Unavailable`.

        2 x base fee + median tip a unit of gas (EIP-1559: the base fee can grow by 1/8 a block); on Solana the
        signature fee, and the priority fee a unit of compute.
        """
