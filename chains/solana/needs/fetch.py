"""A snapshot from one endpoint: in three calls as a rule, within bounds on what a stranger's transaction can name."""

import binascii
from base64 import b64decode
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from solders.account import Account
from solders.pubkey import Pubkey

from chains.errors import Unavailable
from chains.needs import BadTransaction
from chains.rpc import Endpoint, RpcClient
from chains.rpc_answer import Null
from chains.solana.accounts import TOKEN_PROGRAMS, associated_account
from chains.solana.needs.programs import Programs
from chains.solana.needs.proposal import Proposal
from chains.solana.needs.snapshot import CLOCK, RENT, Snapshot, is_program, resolve
from chains.solana.needs.token import is_mint

_MOST_ACCOUNTS: Final = 100
_SMALL: Final = 16_384
"""Bytes of each account that the first read brings; larger ones are read again, once it is known how large."""
_MOST_DATA: Final = 16 * 2**20
"""Bytes of all accounts of a transaction together; programs have a bound of their own."""
_NEVER: Final = 2**64 - 1


class TooMuch(Exception):
    """The transaction names more than is read for one. The message says of what."""


class Calls:
    """Calls to one endpoint, counted, up to a bound."""

    def __init__(self, rpc: RpcClient, endpoint: Endpoint, most: int, min_slot: int) -> None:
        """`min_slot`: answers from an earlier slot are not believed."""
        self._rpc = rpc
        self._endpoint = endpoint
        self._most = most
        self.min_slot = min_slot
        self.made = 0

    async def call(self, method: str, params: Sequence[Any]) -> Any:
        """One call. Raises `TooMuch`, `Unavailable`."""
        if self.made >= self._most:
            raise TooMuch(f"it takes more than {self._most} calls")
        self.made += 1
        return await self._rpc.call(method, params, endpoint=self._endpoint, null=Null.BAD)

    async def accounts(
        self, keys: Sequence[str], length: int | None = None
    ) -> tuple[int, list[tuple[Account | None, int]]]:
        """The slot, and each account with its full size; only the first `length` bytes of its data."""
        found: list[tuple[Account | None, int]] = []
        slots: set[int] = set()
        for start in range(0, len(keys), _MOST_ACCOUNTS):
            chunk = keys[start : start + _MOST_ACCOUNTS]
            options: dict[str, Any] = {"encoding": "base64", "commitment": "confirmed"}
            if length is not None:
                options["dataSlice"] = {"offset": 0, "length": length}
            if self.min_slot:
                options["minContextSlot"] = self.min_slot
            slot, answers = _unwrap(await self.call("getMultipleAccounts", [chunk, options]), len(chunk))
            if slot < self.min_slot:
                raise Unavailable(f"the node is at slot {slot}, {self.min_slot} was seen")
            slots.add(slot)
            found += [_read(answer, length) for answer in answers]
        self.min_slot = max(slots, default=self.min_slot)
        if len(slots) > 1:
            raise Moved
        return self.min_slot, found


class Moved(Exception):
    """The slot changed between two parts of one read."""


async def fetch(calls: Calls, proposal: Proposal, owner: str, known: Collection[str], programs: Programs) -> Snapshot:
    """Everything the transaction can reach. Raises `NoTable`, `TooMuch`, `Moved`, `Unavailable`, `BadTransaction`."""
    tables: dict[str, Account | None] = {}
    if proposal.lookups:
        names = [lookup.table for lookup in proposal.lookups]
        _, found = await calls.accounts(names)
        tables = {name: account for name, (account, _) in zip(names, found, strict=True)}
    keys = resolve(proposal, tables)
    if len(set(keys)) < len(keys):
        raise BadTransaction("transaction", "malformed", "names an account twice")
    slot, accounts = await _read_all(calls, [*keys, CLOCK, RENT])
    clock, rent = accounts.pop(CLOCK), accounts.pop(RENT)
    if clock is None or rent is None or len(clock.data) != 40 or len(rent.data) != 17:  # noqa: PLR2004  their layouts
        raise Unavailable("the node has no clock or no rent")
    callable_ = {key: account for key, account in accounts.items() if account is not None and is_program(account)}
    code = await programs.read(calls, callable_)
    accounts.update(tables)
    beside = await _read_mints(calls, owner, known, accounts)
    accounts.update(beside)
    return Snapshot(slot, keys, accounts, code, clock.data, rent.data)


async def _read_all(calls: Calls, keys: Sequence[str]) -> tuple[int, dict[str, Account | None]]:
    """All at one slot. Large ones make it two reads: of sizes, then of everything but programs."""
    slot, found = await calls.accounts(keys, _SMALL)
    small = dict(zip(keys, found, strict=True))
    cut = [key for key, (account, size) in small.items() if account is not None and size > len(account.data)]
    if all(is_program(small[key][0]) for key in cut):
        return slot, {key: account for key, (account, _) in small.items()}
    whole = [key for key, (account, _) in small.items() if not is_program(account)]
    total = sum(small[key][1] for key in whole)
    if total > _MOST_DATA:
        raise TooMuch(f"its accounts hold {total} bytes")
    slot, read = await calls.accounts(whole)
    merged = {key: account for key, (account, _) in small.items()}
    merged.update({key: account for key, (account, _) in zip(whole, read, strict=True)})
    return slot, merged


async def _read_mints(
    calls: Calls, owner: str, known: Iterable[str], accounts: dict[str, Account | None]
) -> dict[str, Account | None]:
    """Known mints, of which the transaction names the wallet's account that isn't there, and no mint."""
    vacant = {key for key, account in accounts.items() if account is None or not account.data}
    wanted = [
        mint
        for mint in known
        if mint not in accounts
        and _is_key(mint)
        and any(associated_account(owner, mint, program) in vacant for program in sorted(TOKEN_PROGRAMS))
    ]
    if not wanted:
        return {}
    _, found = await calls.accounts(wanted, _SMALL)
    return {mint: account for mint, (account, _) in zip(wanted, found, strict=True) if is_mint(account)}


def _unwrap(answer: Any, expected: int) -> tuple[int, list[Any]]:
    try:
        slot, values = answer["context"]["slot"], answer["value"]
    except (KeyError, TypeError):
        raise Unavailable("malformed accounts") from None
    if type(slot) is not int or slot < 0 or not isinstance(values, list) or len(values) != expected:
        raise Unavailable("malformed accounts")
    return slot, values


def _read(answer: Any, length: int | None) -> tuple[Account | None, int]:
    """An account and its full size. Raises `Unavailable`, also for one that was cut shorter than asked."""
    if answer is None:
        return None, 0
    try:
        data = b64decode(answer["data"][0], validate=True)
        account = Account(
            answer["lamports"], data, Pubkey.from_string(answer["owner"]), bool(answer["executable"]), _NEVER
        )
        size = answer.get("space")
    except (KeyError, TypeError, ValueError, OverflowError, IndexError, AttributeError, binascii.Error):
        raise Unavailable("a malformed account") from None
    full = size if type(size) is int else len(data)
    if len(data) < (full if length is None else min(full, length)):
        raise Unavailable("an account that was cut")
    return account, full


def _is_key(text: str) -> bool:
    try:
        Pubkey.from_string(text)
    except ValueError:
        return False
    return True
