"""Amounts that a transaction's own instructions state: what its programs do beside is not seen. No I/O."""

import struct
from collections.abc import Iterator, Sequence
from typing import Final

from chains.solana.accounts import SYSTEM_PROGRAM, TOKEN_PROGRAMS
from chains.solana.needs.proposal import Proposal

_TRANSFERS: Final = frozenset({3, 8, 12, 15})
"""Token instructions that take an amount out of their first account: transfer and burn, checked or not."""
_TRANSFER_WITH_FEE: Final = (26, 1)
_CREATE: Final = 0
_TRANSFER: Final = 2
_CREATE_WITH_SEED: Final = 3
_TRANSFER_WITH_SEED: Final = 11
_AFTER_SEED: Final = 4 + 32 + 8
"""Bytes in front of the seed of CreateAccountWithSeed: a tag, a key, the seed's length."""


def stated_tokens(proposal: Proposal, keys: Sequence[str]) -> dict[str, int]:
    """Base units out of each token account."""
    taken: dict[str, int] = {}
    for program, accounts, data in _instructions(proposal, keys):
        start = 1 if data[:1] and data[0] in _TRANSFERS else 2 if tuple(data[:2]) == _TRANSFER_WITH_FEE else 0
        if program in TOKEN_PROGRAMS and accounts and start and len(data) >= start + 8:
            amount = int.from_bytes(data[start : start + 8], "little")
            taken[accounts[0]] = taken.get(accounts[0], 0) + amount
    return taken


def stated_coin(proposal: Proposal, keys: Sequence[str], owner: str) -> int:
    """Lamports out of the wallet, without the fee."""
    total = 0
    for program, accounts, data in _instructions(proposal, keys):
        if program == SYSTEM_PROGRAM and accounts and accounts[0] == owner:
            total += _lamports(data)
    return total


def _lamports(data: bytes) -> int:
    kind = int.from_bytes(data[:4], "little")
    start = 4 if kind in (_CREATE, _TRANSFER, _TRANSFER_WITH_SEED) else None
    if kind == _CREATE_WITH_SEED and len(data) >= _AFTER_SEED:
        start = _AFTER_SEED + int.from_bytes(data[36:44], "little")
    if start is None or len(data) < start + 8:
        return 0
    return int(struct.unpack_from("<Q", data, start)[0])


def _instructions(proposal: Proposal, keys: Sequence[str]) -> Iterator[tuple[str, list[str], bytes]]:
    for each in proposal.instructions:
        yield keys[each.program_id_index], [keys[index] for index in bytes(each.accounts)], bytes(each.data)
