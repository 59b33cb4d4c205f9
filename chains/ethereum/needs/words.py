"""Ethereum's ABI by hand, as far as finding needs goes: words, selectors, addresses. No I/O."""

from typing import Final

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

WORD: Final = 32
TRANSFER: Final = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""The topic of `Transfer(address,address,uint256)`."""

BALANCE_OF: Final = "70a08231"
ALLOWANCE: Final = "dd62ed3e"
TRANSFER_TO: Final = "a9059cbb"
TRANSFER_FROM: Final = "23b872dd"
PERMIT_TRANSFER: Final = "36c78516"
"""Permit2's `transferFrom(address,address,uint160,address)`."""
PERMIT_ALLOWANCE: Final = "927da105"
"""Permit2's `allowance(address,address,address)`."""


def view(selector: str, *addresses: str) -> str:
    """Calldata of a view that takes addresses."""
    return "0x" + selector + "".join(address[2:].lower().rjust(64, "0") for address in addresses)


def word_at(data: str, number: int) -> int | None:
    """An argument of calldata (`0x`, a selector, words); None where the data ends before it."""
    start = 10 + 64 * number
    text = data[start : start + 64]
    return int(text, 16) if len(text) == 64 else None  # noqa: PLR2004  digits of a word


def address_at(data: str, number: int) -> str | None:
    """An argument that is an address (lower-case); None when it can't be one."""
    value = word_at(data, number)
    return None if value is None or value >> 160 else f"0x{value:040x}"


def addresses_in(data: str, most: int) -> tuple[str, ...]:
    """Words of calldata that look like addresses, not like small numbers; at most so many."""
    found: dict[str, None] = {}
    for number in range((len(data) - 10) // 64):
        value = word_at(data, number)
        if value is not None and not value >> 160 and value >> 96:
            found.setdefault(f"0x{value:040x}")
        if len(found) >= most:
            break
    return tuple(found)


def hex_word(value: int) -> str:
    """32 bytes as `0x` and 64 digits."""
    return f"0x{value:064x}"


def hash_word(*parts: int | bytes) -> int:
    """Keccak of words (ints) and raw bytes, as a number: how storage keys are made."""
    joined = b"".join(part.to_bytes(WORD) if isinstance(part, int) else part for part in parts)
    return int.from_bytes(keccak(joined))


def lower(address: object) -> str:
    """An address of a node's answer, lower-case; an empty text for anything else."""
    return address.lower() if isinstance(address, str) else ""


def checksummed(address: str) -> str:
    """The EIP-55 form, which assets are named by."""
    return str(to_checksum_address(address))
