"""What an account holds: real zeros, real amounts, and everything else an error."""

import struct
from base64 import b64encode
from typing import Any

import pytest
from solders.pubkey import Pubkey
from spl.token.instructions import get_associated_token_address

from chains.errors import Unavailable
from chains.solana.accounts import (
    SYSTEM_PROGRAM,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
    Account,
    associated_account,
    lamports_of,
    read_account,
    read_mint,
    tokens_of,
)

MINT, OWNER, OTHER = (str(Pubkey.new_unique()) for _ in range(3))


def token_data(amount: int = 7, *, mint: str = MINT, owner: str = OWNER, state: int = 1, extra: bytes = b"") -> bytes:
    """A token account: mint, owner, amount; the state at 108; 165 bytes and what Token-2022 appends."""
    head = bytes(Pubkey.from_string(mint)) + bytes(Pubkey.from_string(owner)) + struct.pack("<Q", amount)
    return head.ljust(108, b"\0") + bytes([state]) + b"\0" * 56 + extra


def tokens(data: bytes, program: str = TOKEN_PROGRAM, *, owner_program: str | None = None) -> int:
    """The amount in an account with that data."""
    return tokens_of(Account(2_039_280, owner_program or program, data), OWNER, MINT, program)


@pytest.mark.parametrize("amount", [0, 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize(
    ("program", "extra"),
    [(TOKEN_PROGRAM, b""), (TOKEN_2022_PROGRAM, b"\2" + b"\0" * 4), (TOKEN_2022_PROGRAM, b"\2" + b"\0" * 16)],
)
def test_amounts_of_every_length(amount: int, program: str, extra: bytes) -> None:
    """Accounts of 165, 170 and 182 bytes give their amount to the last unit."""
    assert tokens(token_data(amount, extra=extra), program) == amount


def test_frozen_tokens_count() -> None:
    """A frozen account still holds its tokens."""
    assert tokens(token_data(9, state=2)) == 9


@pytest.mark.parametrize(
    "account",
    [
        None,
        Account(0, TOKEN_PROGRAM, b""),
        Account(0, TOKEN_PROGRAM, token_data(5)),
        Account(890_880, SYSTEM_PROGRAM, b""),
        Account(2_039_280, TOKEN_PROGRAM, token_data(5, owner=OTHER)),
    ],
    ids=["never opened", "closed", "closed, data left", "only lamports sent there", "given away"],
)
def test_real_zeros(account: Account | None) -> None:
    """Accounts that hold nothing of the owner's hold zero."""
    assert tokens_of(account, OWNER, MINT, TOKEN_PROGRAM) == 0


@pytest.mark.parametrize(
    ("data", "program"),
    [
        (token_data(), TOKEN_2022_PROGRAM),
        (token_data(), "Vote111111111111111111111111111111111111111"),
        (token_data(mint=OTHER), TOKEN_PROGRAM),
        (token_data(state=0), TOKEN_PROGRAM),
        (token_data(state=3), TOKEN_PROGRAM),
        (token_data()[:-1], TOKEN_PROGRAM),
        (token_data(extra=b"\1" + b"\0" * 16), TOKEN_PROGRAM),
        (b"", TOKEN_PROGRAM),
        (token_data(), SYSTEM_PROGRAM),
    ],
    ids=["other token program", "stranger", "mint", "empty state", "no state", "short", "a mint", "no data", "system"],
)
def test_nonsense_is_unknown(data: bytes, program: str) -> None:
    """What can't be this owner's account of this mint is an error, never a zero."""
    with pytest.raises(Unavailable):
        tokens(data, owner_program=program)


def good() -> dict[str, Any]:
    """An account as a node gives it."""
    return {"lamports": 5, "owner": SYSTEM_PROGRAM, "data": [b64encode(b"abc").decode(), "base64"], "space": 3}


def test_an_account_is_read() -> None:
    """The three fields that count, or nothing for an account that isn't there."""
    assert read_account(good()) == Account(5, SYSTEM_PROGRAM, b"abc")
    assert read_account(None) is None
    assert (lamports_of(read_account(good())), lamports_of(None)) == (5, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"lamports": -1},
        {"lamports": 2**64},
        {"lamports": "5"},
        {"lamports": 5.0},
        {"lamports": True},
        {"lamports": None},
        {"owner": None},
        {"data": None},
        {"data": "error: too large"},
        {"data": ["YWJj", "base58"]},
        {"data": ["!", "base64"]},
        {"data": [7, "base64"]},
    ],
    ids=str,
)
def test_malformed_accounts_are_unknown(changes: dict[str, Any]) -> None:
    """A field of the wrong shape is an error."""
    with pytest.raises(Unavailable):
        read_account({**good(), **changes})


@pytest.mark.parametrize("answer", [[], 0, "", {}, False])
def test_what_is_no_account_is_unknown(answer: object) -> None:
    """Only null says that there is no account."""
    with pytest.raises(Unavailable):
        read_account(answer)


def mint_data(decimals: int = 6, *, initialized: int = 1) -> bytes:
    """A mint of 82 bytes."""
    return b"\0" * 44 + bytes([decimals, initialized]) + b"\0" * 36


def test_mints_of_both_programs() -> None:
    """A mint tells its program and decimals, with extensions too."""
    assert read_mint(Account(1, TOKEN_PROGRAM, mint_data(9))).decimals == 9
    extended = mint_data(2).ljust(165, b"\0") + b"\1" + b"\0" * 112
    assert read_mint(Account(1, TOKEN_2022_PROGRAM, extended)).program == TOKEN_2022_PROGRAM


@pytest.mark.parametrize(
    "account",
    [
        None,
        Account(1, SYSTEM_PROGRAM, mint_data()),
        Account(1, TOKEN_PROGRAM, mint_data(initialized=0)),
        Account(1, TOKEN_PROGRAM, token_data()),
        Account(1, TOKEN_2022_PROGRAM, token_data(extra=b"\2" + b"\0" * 4)),
    ],
)
def test_what_is_no_mint(account: Account | None) -> None:
    """Anything else is refused."""
    with pytest.raises(Unavailable):
        read_mint(account)


@pytest.mark.parametrize("program", [TOKEN_PROGRAM, TOKEN_2022_PROGRAM])
def test_associated_accounts(program: str) -> None:
    """The derived address is the one that the token library derives."""
    expected = get_associated_token_address(
        Pubkey.from_string(OWNER), Pubkey.from_string(MINT), Pubkey.from_string(program)
    )
    assert associated_account(OWNER, MINT, program) == str(expected)
