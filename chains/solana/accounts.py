"""What an account holds, from a node's answer. No I/O. An account that makes no sense is an error, never a zero."""

import binascii
import struct
from base64 import b64decode
from dataclasses import dataclass
from typing import Any, Final

from solders.pubkey import Pubkey

from chains.errors import Unavailable

TOKEN_PROGRAM: Final = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"  # noqa: S105  a program's address
TOKEN_2022_PROGRAM: Final = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"  # noqa: S105  a program's address
TOKEN_PROGRAMS: Final = frozenset({TOKEN_PROGRAM, TOKEN_2022_PROGRAM})
SYSTEM_PROGRAM: Final = "11111111111111111111111111111111"
ASSOCIATED_PROGRAM: Final = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"
_ASSOCIATED: Final = Pubkey.from_string(ASSOCIATED_PROGRAM)

_MINT_SIZE: Final = 82
_ACCOUNT_SIZE: Final = 165
"""Without extensions. Token-2022 appends them after a byte that tells the kind: 170 or 182 bytes are usual."""
_KIND_OF_MINT: Final = 1
_KIND_OF_ACCOUNT: Final = 2
_INITIALIZED: Final = 1
_FROZEN: Final = 2
_MAX_U64: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Account:
    """One account as the node gave it."""

    lamports: int
    owner: str
    """The program that owns it."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Mint:
    """What must be known of a mint to find its token accounts."""

    program: str
    decimals: int


def associated_account(owner: str, mint: str, program: str) -> str:
    """The address of an owner's associated token account. Raises ValueError for what is no address."""
    seeds = [bytes(Pubkey.from_string(part)) for part in (owner, program, mint)]
    return str(Pubkey.find_program_address(seeds, _ASSOCIATED)[0])


def read_account(answer: Any) -> Account | None:
    """An account in `base64` encoding; None for one that is not there. Raises `Unavailable` for anything else."""
    if answer is None:
        return None
    try:
        lamports, owner, (text, encoding) = answer["lamports"], answer["owner"], answer["data"]
        data = b64decode(text, validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise Unavailable("a malformed account") from None
    if encoding != "base64" or type(lamports) is not int or not 0 <= lamports <= _MAX_U64 or type(owner) is not str:
        raise Unavailable("a malformed account")
    return Account(lamports, owner, data)


def lamports_of(account: Account | None) -> int:
    """Lamports at an address; one that was never funded, or was emptied, has none."""
    return 0 if account is None else account.lamports


def tokens_of(account: Account | None, owner: str, mint: str, program: str) -> int:
    """Base units in an owner's associated token account. Raises `Unavailable` for an account that can't be one.

    Never opened and closed ones hold nothing; so does one to whose address only lamports were sent, which anybody
    can do, and one that its owner gave away to another owner (SetAuthority).
    """
    if account is None or account.lamports == 0 or (account.owner == SYSTEM_PROGRAM and not account.data):
        return 0
    data = account.data
    if account.owner != program or not _has_size(data, _ACCOUNT_SIZE, _KIND_OF_ACCOUNT):
        raise Unavailable("not a token account")
    account_mint, account_owner, amount = struct.unpack_from("<32s32sQ", data)
    if str(Pubkey(account_mint)) != mint or data[108] not in (_INITIALIZED, _FROZEN):
        raise Unavailable("not this mint's token account")
    return int(amount) if str(Pubkey(account_owner)) == owner else 0


def read_mint(account: Account | None) -> Mint:
    """A mint's program and decimals. Raises `Unavailable` for what is no mint."""
    if account is None or account.owner not in TOKEN_PROGRAMS:
        raise Unavailable("not a mint")
    if not _has_size(account.data, _MINT_SIZE, _KIND_OF_MINT) or account.data[45] != 1:
        raise Unavailable("not an initialized mint")
    return Mint(account.owner, account.data[44])


def _has_size(data: bytes, plain: int, kind: int) -> bool:
    return len(data) == plain or (len(data) > _ACCOUNT_SIZE and data[_ACCOUNT_SIZE] == kind)
