"""Addresses that money may be sent to. A mistake here can't be undone, so what is only probably right is refused."""

import re
from collections.abc import Collection
from typing import Final

from eth_utils.address import to_checksum_address
from solders.pubkey import Pubkey

from chains.errors import BadAddress
from chains.model import Family

_EVM = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_BASE58 = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,44}", re.ASCII)

LAST_PRECOMPILE: Final = 0x1FF
"""Precompiled contracts are numbered from 1; 0x100 and up are those of RIP-7212 and later."""
_BURNT: Final = frozenset({"0x000000000000000000000000000000000000dead", "0x" + "f" * 40, "0x" + "e" * 40})

_PROGRAMS: Final = frozenset(
    {
        "11111111111111111111111111111111",
        "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
        "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb",
        "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL",
        "So11111111111111111111111111111111111111112",
        "ComputeBudget111111111111111111111111111111",
        "Stake11111111111111111111111111111111111111",
        "StakeConfig11111111111111111111111111111111",
        "Vote111111111111111111111111111111111111111",
        "Config1111111111111111111111111111111111111",
        "AddressLookupTab1e1111111111111111111111111",
        "BPFLoader1111111111111111111111111111111111",
        "BPFLoader2111111111111111111111111111111111",
        "BPFLoaderUpgradeab1e11111111111111111111111",
        "LoaderV411111111111111111111111111111111111",
        "NativeLoader1111111111111111111111111111111",
        "Ed25519SigVerify111111111111111111111111111",
        "KeccakSecp256k11111111111111111111111111111",
        "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr",
        "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo",
        "metaqbxxUerdq28cj1RbAWkYQm3ybzjb6a8bt518x1s",
        "1nc1nerator11111111111111111111111111111111",
    }
)
"""Programs, the native mint and burn addresses: many of them lie on the curve, so that test alone lets them through."""


def parse_address(family: Family, text: str, *, allow_off_curve: bool = False, refused: Collection[str] = ()) -> str:
    """The canonical form of an address that may receive funds.

    `allow_off_curve` is for multisig vaults on Solana; `refused` are the network's token contracts or mints.
    Raises `BadAddress` with a code: `not_an_address`, `wrong_family`, `bad_checksum`, `zero_address`, `burn_address`,
    `precompile`, `token_contract`, `program_address`, `off_curve`.
    """
    parse = _parse_evm if family is Family.EVM else _parse_solana
    address = parse(text, allow_off_curve=allow_off_curve)
    if address in refused:
        raise BadAddress("token_contract", "is a token's own contract: what is sent there is lost")
    return address


def _parse_evm(text: str, *, allow_off_curve: bool) -> str:
    del allow_off_curve  # a word of Solana's
    if _is_solana(text):
        raise BadAddress("wrong_family", "is an address of Solana, not of an Ethereum-family network")
    if not _EVM.fullmatch(text):
        raise BadAddress("not_an_address", "must be 0x and 40 hexadecimal digits")
    digits, checksummed = text[2:], to_checksum_address(text)
    if digits not in (digits.lower(), digits.upper()) and text != checksummed:
        raise BadAddress("bad_checksum", "has a wrong EIP-55 checksum: check it letter by letter, or copy it again")
    number = int(digits, 16)
    if number == 0:
        raise BadAddress("zero_address", "is the zero address")
    if number <= LAST_PRECOMPILE:
        raise BadAddress("precompile", "is a precompiled contract")
    if text.lower() in _BURNT:
        raise BadAddress("burn_address", "is an address that nobody has the key of")
    return str(checksummed)


def _parse_solana(text: str, *, allow_off_curve: bool) -> str:
    if _EVM.fullmatch(text):
        raise BadAddress("wrong_family", "is an address of an Ethereum-family network, not of Solana")
    if not _is_solana(text):
        raise BadAddress("not_an_address", "must be 32 bytes in base58")
    key = Pubkey.from_string(text)
    if text in _PROGRAMS or text.startswith("Sysvar"):
        raise BadAddress("program_address", "is a program or a system account: what is sent there is lost")
    if not key.is_on_curve() and not allow_off_curve:
        raise BadAddress(
            "off_curve",
            "has no private key (a token account or a program's address); for a multisig vault set allow_off_curve",
        )
    return str(key)


def _is_solana(text: str) -> bool:
    """Whether it is 32 bytes in base58, whatever may be there."""
    if not _BASE58.fullmatch(text):
        return False
    try:
        Pubkey.from_string(text)
    except ValueError:
        return False
    return True
