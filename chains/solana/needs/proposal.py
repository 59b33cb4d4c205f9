"""A proposed transaction as it came: decoded and checked, with nothing believed. No I/O."""

import binascii
import struct
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from solders.instruction import CompiledInstruction
from solders.message import Message, MessageV0, from_bytes_versioned, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from chains.needs import BadTransaction
from chains.solana.accounts import SYSTEM_PROGRAM

FIELD: Final = "transaction"
MOST_BYTES: Final = 1232
"""Of a transaction: what one packet holds."""
MOST_KEYS: Final = 128
"""Accounts that one transaction may lock."""
_MOST_TEXT: Final = 4 * MOST_BYTES
_ADVANCE_NONCE: Final = 4
_NONCE_SIZE: Final = 80
_CURRENT: Final = 1
"""The layout of nonces that stand for a blockhash; those of the one before it are refused."""
_INITIALIZED: Final = 1


@dataclass(frozen=True, slots=True)
class Lookup:
    """Accounts that a v0 message names by their place in a table."""

    table: str
    writable: bytes
    readonly: bytes


@dataclass(frozen=True, slots=True)
class Proposal:
    """A transaction that can be run, signed or not."""

    transaction: VersionedTransaction
    keys: tuple[str, ...]
    """Named in the message itself; the first pays the fee."""
    lookups: tuple[Lookup, ...]
    is_fixed: bool
    """Somebody has signed it: its blockhash can't be replaced."""
    nonce: str | None
    """The durable nonce account in place of a recent blockhash."""

    @property
    def payer(self) -> str:
        """Who pays the fee."""
        return self.keys[0]

    @property
    def signatures(self) -> int:
        """How many it needs."""
        return int(self.transaction.message.header.num_required_signatures)

    @property
    def instructions(self) -> Sequence[CompiledInstruction]:
        """As the message holds them."""
        return self.transaction.message.instructions

    @property
    def blockhash(self) -> str:
        """The recent blockhash, the durable nonce, or what the wallet replaces."""
        return str(self.transaction.message.recent_blockhash)


def parse(text: str) -> Proposal:
    """A base64 message or transaction, legacy or v0. Raises `BadTransaction`.

    Codes: `not_base64`, `too_large`, `not_a_transaction`, `unsupported_version`, `malformed`,
    `too_many_accounts`.
    """
    raw = _decode(text)
    message, signatures = _split(raw)
    _check(message)
    needed = message.header.num_required_signatures
    given = [*signatures, *[Signature.default()] * (needed - len(signatures))]
    transaction = VersionedTransaction.populate(message, given)
    if len(bytes(transaction)) > MOST_BYTES:
        raise BadTransaction(FIELD, "too_large", f"is larger than the {MOST_BYTES} bytes of a packet")
    lookups = (
        tuple(
            Lookup(str(each.account_key), bytes(each.writable_indexes), bytes(each.readonly_indexes))
            for each in message.address_table_lookups
        )
        if isinstance(message, MessageV0)
        else ()
    )
    return Proposal(
        transaction,
        tuple(str(key) for key in message.account_keys),
        lookups,
        any(signature != Signature.default() for signature in given),
        _nonce(message),
    )


def stored_nonce(data: bytes) -> str | None:
    """The value that a nonce account holds; None for an account that is none."""
    if len(data) != _NONCE_SIZE or struct.unpack_from("<II", data) != (_CURRENT, _INITIALIZED):
        return None
    return str(Pubkey.from_bytes(data[40:72]))


def _decode(text: str) -> bytes:
    if len(text) > _MOST_TEXT:
        raise BadTransaction(FIELD, "too_large", f"is larger than the {MOST_BYTES} bytes of a packet")
    try:
        raw = b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise BadTransaction(FIELD, "not_base64", "must be a message or a transaction in base64") from None
    if len(raw) > MOST_BYTES:
        raise BadTransaction(FIELD, "too_large", f"is larger than the {MOST_BYTES} bytes of a packet")
    return raw


def _split(raw: bytes) -> tuple[Message | MessageV0, list[Signature]]:
    """The message and the signatures given. What could be read in two ways is none: each is checked byte for byte."""
    try:
        transaction = VersionedTransaction.from_bytes(raw)
        needed = transaction.message.header.num_required_signatures
        if bytes(transaction) == raw and needed and len(transaction.signatures) in (0, needed):
            return _known(transaction.message), list(transaction.signatures)
    except ValueError:
        pass
    for start in (0, 1) if raw[:1] == b"\0" else (0,):  # no signatures at all, and then the message
        try:
            message = from_bytes_versioned(raw[start:])
        except ValueError:
            continue
        if to_bytes_versioned(message) == raw[start:]:
            return _known(message), []
    raise BadTransaction(FIELD, "not_a_transaction", "is neither a message nor a transaction of Solana")


def _known(message: object) -> Message | MessageV0:
    if not isinstance(message, Message | MessageV0):
        raise BadTransaction(FIELD, "unsupported_version", "must be a legacy transaction or one of version 0")
    return message


def _check(message: Message | MessageV0) -> None:
    """What every node refuses, so that it is said here, with a reason."""
    header, static = message.header, len(message.account_keys)
    looked_up = 0
    if isinstance(message, MessageV0):
        for each in message.address_table_lookups:
            looked_up += len(bytes(each.writable_indexes)) + len(bytes(each.readonly_indexes))
    total = static + looked_up
    if total > MOST_KEYS:
        raise BadTransaction(FIELD, "too_many_accounts", f"names {total} accounts; {MOST_KEYS} is the most")
    signers = header.num_required_signatures
    faults = (
        (signers == 0, "needs no signature"),
        (signers <= header.num_readonly_signed_accounts, "has no account that may pay the fee"),
        (signers + header.num_readonly_unsigned_accounts > static, "names fewer accounts than its header says"),
        (len(set(message.account_keys)) < static, "names an account twice"),
        (
            not all(key.is_on_curve() for key in message.account_keys[:signers]),
            "needs a signature that no key can give",
        ),
        (not message.instructions, "has no instruction"),
        (
            any(not 0 < each.program_id_index < static for each in message.instructions),
            "calls a program that it does not name",
        ),
        (
            any(index >= total for each in message.instructions for index in bytes(each.accounts)),
            "uses an account that it does not name",
        ),
    )
    for is_so, words in faults:
        if is_so:
            raise BadTransaction(FIELD, "malformed", words)


def _nonce(message: Message | MessageV0) -> str | None:
    first = message.instructions[0]
    is_system = str(message.account_keys[first.program_id_index]) == SYSTEM_PROGRAM
    accounts = bytes(first.accounts)
    if not is_system or bytes(first.data)[:4] != struct.pack("<I", _ADVANCE_NONCE) or not accounts:
        return None
    return str(message.account_keys[accounts[0]]) if accounts[0] < len(message.account_keys) else None
