"""Tokens that nobody knows: told of only where the sender has too little of them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial

from chains.errors import BlockGone, ChainError, Unavailable
from chains.ethereum.reader import BalanceReader
from chains.ethereum.together import together
from chains.needs import TransactionNeeds

_AT_ONCE = 4


async def keep_lacking(needs: TransactionNeeds, sender: str, reader: BalanceReader) -> TransactionNeeds:
    """The same without the unknown tokens that are there; what can't be read is taken as lacking.

    Raises `Unavailable` when the block is gone.
    """
    if not needs.unknown_assets or needs.at.hash is None:
        return needs
    reads: list[Callable[[], Awaitable[int | None]]] = [
        partial(_read, reader, token, sender, needs.at.hash) for token in needs.unknown_assets
    ]
    there = dict(zip(needs.unknown_assets, await together(reads, at_once=_AT_ONCE), strict=True))
    return leave_met(needs, there)


def leave_met(needs: TransactionNeeds, there: Mapping[str, int | None]) -> TransactionNeeds:
    """Without the unknown tokens of which so much is there, in base units. Pure."""
    needed = {token: sum(o.amount for o in needs.outflows if o.asset == token) for token in there}
    met = {token for token, amount in there.items() if amount is not None and amount >= needed[token]}
    return replace(
        needs,
        unknown_assets=tuple(token for token in needs.unknown_assets if token not in met),
        outflows=tuple(o for o in needs.outflows if o.asset not in met),
    )


async def _read(reader: BalanceReader, token: str, sender: str, block_hash: str) -> int | None:
    try:
        (amount,) = await reader.read(token, [sender], block_hash)
    except BlockGone as error:
        raise Unavailable(f"the block can't be read: {error}") from error
    except ChainError:
        return None
    return amount
