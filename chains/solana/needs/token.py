"""Token accounts by their bytes: of both token programs, with or without extensions. No I/O."""

import struct
from typing import Final

from solders.account import Account
from solders.pubkey import Pubkey

from chains.solana.accounts import TOKEN_PROGRAMS

MOST_AMOUNT: Final = 2**64 - 1
_ACCOUNT_SIZE: Final = 165
_MINT_SIZE: Final = 82
_KIND_OF_MINT: Final = 1
_KIND_OF_ACCOUNT: Final = 2
_SOME: Final = b"\1\0\0\0"


def is_token_account(account: Account | None) -> bool:
    """Whether it holds tokens."""
    return _is(account, _ACCOUNT_SIZE, _KIND_OF_ACCOUNT)


def is_mint(account: Account | None) -> bool:
    """Whether it is a mint."""
    return _is(account, _MINT_SIZE, _KIND_OF_MINT)


def mint_of(account: Account) -> str:
    """The mint of a token account."""
    return str(Pubkey.from_bytes(account.data[:32]))


def holder_of(account: Account) -> str:
    """Who may spend from a token account."""
    return str(Pubkey.from_bytes(account.data[32:64]))


def amount_of(account: Account) -> int:
    """Base units in a token account."""
    return int(struct.unpack_from("<Q", account.data, 64)[0])


def is_native(account: Account) -> bool:
    """Whether its tokens are lamports."""
    return account.data[109:113] == _SOME


def with_amount(account: Account, amount: int) -> Account:
    """The same token account with another amount, and the lamports that go with it in wrapped SOL."""
    data = bytearray(account.data)
    struct.pack_into("<Q", data, 64, amount)
    more = amount - amount_of(account) if is_native(account) else 0
    return Account(account.lamports + more, bytes(data), account.owner, account.executable, account.rent_epoch)


def with_delegate(account: Account, delegate: str) -> Account:
    """The same token account with an approval without end."""
    data = bytearray(account.data)
    data[72:108] = _SOME + bytes(Pubkey.from_string(delegate))
    struct.pack_into("<Q", data, 121, MOST_AMOUNT)
    return Account(account.lamports, bytes(data), account.owner, account.executable, account.rent_epoch)


def _is(account: Account | None, plain: int, kind: int) -> bool:
    if account is None or str(account.owner) not in TOKEN_PROGRAMS:
        return False
    size = len(account.data)
    return size == plain or (size > _ACCOUNT_SIZE and account.data[_ACCOUNT_SIZE] == kind)
