"""A Solana runtime in this process: a snapshot is put into it, and a transaction run with whatever funds are asked."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from solders.account import Account
from solders.clock import Clock
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.litesvm import LiteSVM
from solders.message import Message
from solders.pubkey import Pubkey
from solders.rent import Rent
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata

from chains.solana.accounts import ASSOCIATED_PROGRAM, associated_account
from chains.solana.needs.snapshot import Snapshot, is_program

SYSTEM: Final = Pubkey.default()
RICH: Final = 10**18
"""Lamports: more than there are, and far from the end of 64 bits."""
_FOREVER: Final = 2**64 - 1
_CLOCK: Final = struct.Struct("<QqQQq")
_CREATE: Final = b"\0"
_STRANGER: Final = Pubkey.from_bytes(b"somebody who pays for an account")
_NOTHING: Final = Account(0, b"", SYSTEM, False, _FOREVER)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run did."""

    error: Any
    """None: it succeeded."""
    after: Mapping[str, Account]
    """Accounts after it, of a success."""
    fee: int
    units: int
    logs: tuple[str, ...]


class Machine:
    """One runtime. What is in it belongs to the last snapshot that was put there; nothing that runs is kept."""

    def __init__(self) -> None:
        self._svm = LiteSVM().with_sigverify(False).with_blockhash_check(False).with_transaction_history(0)
        self._loaded: dict[str, str] = {}
        self._snapshot: Snapshot | None = None
        self.runs = 0

    def put(self, snapshot: Snapshot) -> None:
        """Make it the state. Raises ValueError for sysvars that are none."""
        self._svm.set_rent(Rent.from_bytes(snapshot.rent))
        self.set_time(snapshot, 0)
        for name, program in snapshot.programs.items():
            if self._loaded.get(name) != program.version:
                for part, code in program.accounts:
                    self._svm.set_account(Pubkey.from_string(part), code)
                self._loaded[name] = program.version
        for key, account in snapshot.accounts.items():
            self._set(key, account)
        self._snapshot = snapshot

    def set_time(self, snapshot: Snapshot, earlier: int) -> None:
        """Make it the snapshot's time, or so many seconds before."""
        slot, epoch_start, epoch, next_epoch, now = _CLOCK.unpack(snapshot.clock)
        self._svm.warp_to_slot(snapshot.slot)
        at = max(0, max(slot, snapshot.slot) - earlier * 5 // 2)  # a slot takes 0.4 s
        self._svm.set_clock(Clock(at, epoch_start, epoch, next_epoch, now - earlier))

    def run(self, transaction: VersionedTransaction, instead: Mapping[str, Account]) -> Run:
        """Run it with some accounts other than the snapshot's."""
        self.runs += 1
        for key, account in instead.items():
            self._set(key, account)
        try:
            result = self._svm.simulate_transaction(transaction)
        finally:
            before: Mapping[str, Account | None] = self._snapshot.accounts if self._snapshot is not None else {}
            for changed in instead:
                self._set(changed, before.get(changed))
        meta = result.meta()
        spent = meta.fee(), meta.compute_units_consumed(), tuple(meta.logs())
        if isinstance(result, FailedTransactionMetadata):
            return Run(result.err(), {}, *spent)
        return Run(None, {str(key): account for key, account in result.post_accounts()}, *spent)

    def rent_minimum(self, size: int) -> int:
        """Lamports that an account of so many bytes must keep."""
        return int(self._svm.minimum_balance_for_rent_exemption(size))

    def open_account(self, owner: str, mint: str, program: str) -> Account | None:
        """An empty associated account as it would be there once tokens arrived; None where it can't be opened."""
        address, payer = associated_account(owner, mint, program), _STRANGER
        named = [Pubkey.from_string(key) for key in (address, owner, mint)]
        metas = [
            AccountMeta(payer, is_signer=True, is_writable=True),
            AccountMeta(named[0], is_signer=False, is_writable=True),
            *(AccountMeta(key, is_signer=False, is_writable=False) for key in named[1:]),
            AccountMeta(SYSTEM, is_signer=False, is_writable=False),
            AccountMeta(Pubkey.from_string(program), is_signer=False, is_writable=False),
        ]
        opening = Instruction(Pubkey.from_string(ASSOCIATED_PROGRAM), _CREATE, metas)
        message = Message.new_with_blockhash([opening], payer, Hash.default())
        instead = {str(payer): with_lamports(None, RICH), address: _NOTHING}
        return self.run(VersionedTransaction.populate(message, [Signature.default()]), instead).after.get(address)

    def _set(self, key: str, account: Account | None) -> None:
        if is_program(account) or key.startswith("Sysvar"):
            return
        self._loaded.pop(key, None)  # a program that was closed
        self._svm.set_account(Pubkey.from_string(key), account if account is not None else _NOTHING)


def with_lamports(account: Account | None, lamports: int) -> Account:
    """The same account with other lamports; a plain one where there was none."""
    if account is None:
        return Account(lamports, b"", SYSTEM, False, _FOREVER)
    return Account(lamports, account.data, account.owner, account.executable, account.rent_epoch)
