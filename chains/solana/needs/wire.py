"""A question to the process that runs transactions, as bytes and back. No I/O."""

import json
from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from solders.account import Account
from solders.pubkey import Pubkey

from chains.solana.needs.snapshot import Program, Snapshot, is_program

LENGTH: Final = 4
"""Bytes of the length in front of each message."""
_NEVER: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Question:
    """One transaction to run."""

    transaction: str
    """In base64."""
    owner: str
    seconds: float
    snapshot: Snapshot


def pack(question: Question, told: Collection[tuple[str, str]]) -> bytes:
    """Without the code of programs that the other side was told already, by name and version."""
    snapshot = question.snapshot
    return frame(
        {
            "transaction": question.transaction,
            "owner": question.owner,
            "seconds": question.seconds,
            "slot": snapshot.slot,
            "keys": snapshot.keys,
            "accounts": {
                key: _pack(account, with_data=not is_program(account)) for key, account in snapshot.accounts.items()
            },
            "versions": {key: program.version for key, program in snapshot.programs.items()},
            "code": {
                key: [[part, _pack(account)] for part, account in program.accounts]
                for key, program in snapshot.programs.items()
                if (key, program.version) not in told
            },
            "clock": b64encode(snapshot.clock).decode(),
            "rent": b64encode(snapshot.rent).decode(),
        }
    )


def unpack(body: Mapping[str, Any], programs: dict[tuple[str, str], Program]) -> Question:
    """The question; `programs` are those told earlier, and get the new ones."""
    versions = body["versions"]
    for key, parts in body["code"].items():
        accounts = tuple((part, account) for part, value in parts if (account := _unpack(value)) is not None)
        programs[key, versions[key]] = Program(versions[key], accounts)
    snapshot = Snapshot(
        body["slot"],
        tuple(body["keys"]),
        {key: _unpack(value) for key, value in body["accounts"].items()},
        {key: programs[key, version] for key, version in versions.items()},
        b64decode(body["clock"]),
        b64decode(body["rent"]),
    )
    return Question(body["transaction"], body["owner"], body["seconds"], snapshot)


def frame(body: Any) -> bytes:
    """JSON with its length in front."""
    data = json.dumps(body, separators=(",", ":")).encode()
    return len(data).to_bytes(LENGTH, "big") + data


def _pack(account: Account | None, *, with_data: bool = True) -> Any:
    if account is None:
        return None
    data = b64encode(account.data).decode() if with_data else ""
    return [account.lamports, str(account.owner), data, account.executable]


def _unpack(value: Any) -> Account | None:
    if value is None:
        return None
    lamports, owner, data, executable = value
    return Account(lamports, b64decode(data), Pubkey.from_string(owner), executable, _NEVER)
