"""Why a transaction failed, in words for people. No I/O. Programs' logs are never quoted: anybody may write there."""

import re
from collections.abc import Sequence
from typing import Any, Final

from chains.solana.needs.proposal import Proposal

OWNER_MISMATCH: Final = 4
"""The token programs' word for a spender who is neither owner nor delegate."""
_INSUFFICIENT: Final = 1
_OF_THE_RUNTIME: Final = ("InvalidProgramForExecution", "UnsupportedProgramId", "TooManyAccountLocks")
"""A program that it doesn't know, or more accounts than it takes: networks differ in that."""
_MOST_TEXT: Final = 120
_LACKING: Final = re.compile(r"Transfer: insufficient lamports (\d{1,20}), need (\d{1,20})", re.ASCII)


def custom_code(error: Any) -> int | None:
    """A program's own number for what went wrong."""
    code = getattr(getattr(error, "err", None), "code", None)
    return code if type(code) is int else None


def may_lack_approval(error: Any) -> bool:
    """Whether an approval could be what is missing."""
    return custom_code(error) in (OWNER_MISMATCH, _INSUFFICIENT)


def is_of_the_runtime(error: Any) -> bool:
    """Whether this runtime refused, which another may not, rather than a program."""
    return any(word in str(error) for word in _OF_THE_RUNTIME)


def describe(error: Any, proposal: Proposal, keys: tuple[str, ...]) -> str:
    """One clause."""
    index, inner = getattr(error, "index", None), getattr(error, "err", None)
    if type(index) is int and inner is not None and index < len(proposal.instructions):
        program = keys[proposal.instructions[index].program_id_index]
        code = custom_code(error)
        what = f"error {code}" if code is not None else _plain(inner)
        return f"instruction {index + 1} (program {program}) fails with {what}"
    account = getattr(error, "account_index", None)
    if type(account) is int and account < len(keys):
        return f"account {keys[account]} would be left with less than the rent minimum"
    return f"fails with {_plain(error)}"


def lacking_lamports(logs: Sequence[str]) -> int:
    """What the last refused transfer lacked, by the log; anybody can write such a line, so it is a hint."""
    for line in reversed(logs):
        if (found := _LACKING.fullmatch(line)) is not None:
            return int(found[2]) - int(found[1])
    return 0


def _plain(error: Any) -> str:
    text = str(error).rpartition(".")[2]
    return "".join(each for each in text if each.isalnum() or each in " _-(){}:,")[:_MOST_TEXT]
