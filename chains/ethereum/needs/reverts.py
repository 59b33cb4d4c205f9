"""Why a call failed: the errors that tokens and routers agree on, read from revert data or a node's words. No I/O."""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from chains.errors import RpcError
from chains.ethereum.needs.words import addresses_in, word_at

MOST_TEXT: Final = 160
"""Characters kept of a contract's own words."""

_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)
_ERROR: Final = "08c379a0"
_PANIC: Final = "4e487b71"
_UNDERFLOW: Final = 0x11


class Cause(Enum):
    """What kind of failure it was."""

    BALANCE = auto()
    ALLOWANCE = auto()
    DEADLINE = auto()
    GAS = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed run."""

    cause: Cause
    text: str
    """For people: printable, short, without addresses of endpoints."""
    data: str = "0x"

    @property
    def named(self) -> tuple[str, ...]:
        """Addresses that the error names, such as the spender whose allowance is short."""
        return addresses_in(self.data, 3)


_NAMED: Final[dict[str, tuple[Cause, str]]] = {
    "e450d38c": (Cause.BALANCE, "ERC20InsufficientBalance"),
    "f4d678b8": (Cause.BALANCE, "InsufficientBalance"),
    "fb8f41b2": (Cause.ALLOWANCE, "ERC20InsufficientAllowance"),
    "13be252b": (Cause.ALLOWANCE, "InsufficientAllowance"),
    "f96fb071": (Cause.ALLOWANCE, "InsufficientAllowance"),
    "d81b2f2e": (Cause.ALLOWANCE, "AllowanceExpired"),
    "177e802f": (Cause.ALLOWANCE, "ERC721InsufficientApproval"),
    "e237d922": (Cause.ALLOWANCE, "ERC1155MissingApprovalForAll"),
    "5bf6f916": (Cause.DEADLINE, "TransactionDeadlinePassed"),
    "62791302": (Cause.DEADLINE, "ERC2612ExpiredSignature"),
    "cd21db4f": (Cause.DEADLINE, "SignatureExpired"),
    "70f65caa": (Cause.DEADLINE, "DeadlinePassed"),
    "bfb22adf": (Cause.DEADLINE, "DeadlinePassed"),
    "1ab7da6b": (Cause.DEADLINE, "DeadlineExpired"),
    "203d82d8": (Cause.DEADLINE, "Expired"),
    "1a15a3cc": (Cause.DEADLINE, "PermitExpired"),
}
_ANY: Final = re.IGNORECASE
_WORDS: Final = (
    (Cause.ALLOWANCE, re.compile(r"allowance|not approved|caller is not (token )?owner|transfer_from_failed", _ANY)),
    (Cause.DEADLINE, re.compile(r"expired|deadline|transaction too old", _ANY)),
    (Cause.BALANCE, re.compile(r"exceeds balance|insufficient (balance|funds)|not enough balance", _ANY)),
)
_OUT_OF_GAS = re.compile(r"out ?of ?gas|oog|intrinsic gas|gas limit|gas required exceeds|gas too low", re.IGNORECASE)
_EXECUTION = re.compile(
    r"revert|vm (execution )?error|out ?of ?gas|intrinsic gas|gas required exceeds|invalid opcode|invalid jump|opcode"
    r"|stack (under|over)flow|insufficient (funds|balance)|write protection|execution (fatal|error|failed)"
    r"|create collision|max code size|nonce.*overflow",
    re.IGNORECASE,
)


def is_execution(error: RpcError) -> bool:
    """Whether the error is the call's own end, and not the node's trouble with the request."""
    return error.code == 3 or bool(_EXECUTION.search(error.text))  # noqa: PLR2004  EIP-1474's execution error


def read_error(error: RpcError) -> Failure:
    """The failure that a node answered a call with."""
    data: Any = error.data
    if isinstance(data, dict):  # some nodes wrap it
        data = data.get("data", data.get("result"))
    if isinstance(data, str) and data.startswith("0x") and len(data) > 2:  # noqa: PLR2004  not empty
        return read_revert(data)
    return read_words(error.text)


def read_revert(data: str) -> Failure:
    """The failure that revert data tells of. Odd or empty data is a failure without a reason."""
    if not _HEX.fullmatch(data):
        return Failure(Cause.OTHER, "no reason given")
    selector = data[2:10]
    if selector in _NAMED:
        cause, name = _NAMED[selector]
        return Failure(cause, name, data)
    if selector == _ERROR:
        return Failure(_cause_of(text := _text(data)), text or "an empty reason", data)
    if selector == _PANIC:
        code = word_at(data, 0)
        return Failure(Cause.OTHER, "arithmetic overflow" if code == _UNDERFLOW else f"panic {code}", data)
    return Failure(Cause.OTHER, f"error 0x{selector}" if selector else "no reason given", data)


def read_words(text: str) -> Failure:
    """The failure that a node's words tell of."""
    if _OUT_OF_GAS.search(text):
        return Failure(Cause.GAS, "out of gas")
    return Failure(_cause_of(text), _printable(text) or "no reason given")


def _cause_of(text: str) -> Cause:
    return next((cause for cause, words in _WORDS if words.search(text)), Cause.OTHER)


def _text(data: str) -> str:
    """The string of `Error(string)`; what is cut off is left out."""
    length = word_at(data, 1) or 0
    raw = bytes.fromhex(data[138 : 138 + 2 * min(length, 4 * MOST_TEXT)])
    return _printable(raw.decode("utf-8", "replace"))


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:MOST_TEXT]
