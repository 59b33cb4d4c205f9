"""A wallet's own accounts among those that a transaction names. No I/O."""

from solders.account import Account

from chains.solana.accounts import SYSTEM_PROGRAM, associated_account
from chains.solana.needs import token
from chains.solana.needs.snapshot import Snapshot


def held_by(owner: str, snapshot: Snapshot) -> dict[str, Account]:
    """Token accounts that are there and that the wallet may spend from."""
    named = {key: snapshot.accounts.get(key) for key in snapshot.keys}
    return {
        key: account
        for key, account in named.items()
        if account is not None and token.is_token_account(account) and token.holder_of(account) == owner
    }


def vacant_of(owner: str, snapshot: Snapshot) -> dict[str, tuple[str, str]]:
    """The wallet's associated accounts that aren't there: mint and program of each."""
    named = {key for key in snapshot.keys if _is_vacant(snapshot.accounts.get(key))}
    places = {associated_account(owner, mint, program): (mint, program) for mint, program in _mints(snapshot).items()}
    return {key: place for key, place in places.items() if key in named}


def is_own_place(owner: str, key: str, account: Account) -> bool:
    """Whether a token account is the one where the wallet's tokens of its mint arrive."""
    return key == associated_account(owner, token.mint_of(account), str(account.owner))


def concerns(owner: str, snapshot: Snapshot) -> bool:
    """Whether a transaction can take anything from the wallet."""
    return owner in snapshot.keys or bool(held_by(owner, snapshot) or vacant_of(owner, snapshot))


def _mints(snapshot: Snapshot) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, account in snapshot.accounts.items():
        if account is not None and token.is_mint(account):
            found[key] = str(account.owner)
        elif account is not None and token.is_token_account(account):
            found.setdefault(token.mint_of(account), str(account.owner))
    return found


def _is_vacant(account: Account | None) -> bool:
    """Not there, or holding nothing but lamports that somebody sent."""
    return account is None or (not account.data and str(account.owner) == SYSTEM_PROGRAM)
