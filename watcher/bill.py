"""`topup-watcher bill`: what a proposed transaction needs, for people. Reads a chain, opens nothing."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chains.addresses import parse_address
from chains.amounts import format_amount
from chains.chain import Chain
from chains.errors import BadAddress, ChainError
from chains.model import NATIVE, Balance, Family, Holding
from chains.needs import BadTransaction, Limits, TransactionNeeds
from config.errors import ConfigError, FieldError
from config.model import Network, Settings
from watcher.app import make_chain

MOST_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Row:
    """One asset of a bill, base units."""

    asset: str
    decimals: int | None
    """None for a token that the configuration does not have."""
    lines: tuple[tuple[str, int], ...]
    balance: int | None
    """None where it was not read."""

    @property
    def needed(self) -> int:
        """All its lines together."""
        return sum(amount for _, amount in self.lines)


async def find_bill(settings: Settings, *, network: str, sender: str, transaction: str) -> list[str]:
    """The bill, as lines to print. Raises `ConfigError` for what was typed wrong, `ChainError`."""
    found = settings.find_network(network)
    if found is None:
        known = ", ".join(n.name for n in settings.networks.values())
        raise ConfigError("bill", [FieldError("--network", "unknown_network", f"is none of {known}")])
    try:
        address = parse_address(found.family, sender)
    except BadAddress as error:
        raise ConfigError("bill", [FieldError("--from", error.code, str(error))]) from None
    proposed = read_transaction(transaction)
    if found.family is Family.SOLANA and isinstance(proposed, str):
        proposed = as_base64(proposed)
    async with make_chain(found) as chain:
        await chain.check()
        try:
            needs = await chain.find_needs(address, proposed, Limits({a.asset.reference for a in found.assets}))
        except BadTransaction as error:
            raise ConfigError("bill", [FieldError(f"--tx {error.field}".strip(), error.code, error.message)]) from None
        rows = add_up(found, needs, await _read_balances(chain, found, address, needs))
    return render(found, needs, rows)


def read_transaction(given: str) -> Mapping[str, Any] | str:
    """A file's content, or what was given: a JSON object (EVM), else text: hexadecimal, or base64 (Solana)."""
    text = given.strip()
    if not text.startswith("{") and _is_file(text):
        text = _read_file(Path(text))
    if not text.startswith("{"):
        return text
    try:
        read: Mapping[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError("bill", [FieldError("--tx", "not_json", "begins like JSON and is none")]) from None
    return read


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # a transaction is longer than a name may be
        return False


def _read_file(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError("bill", [FieldError("--tx", "too_large", f"has more than {MOST_BYTES} bytes")])
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError("bill", [FieldError("--tx", "not_readable", str(error.strerror))]) from None
    except UnicodeDecodeError:
        raise ConfigError("bill", [FieldError("--tx", "not_text", "must be JSON, hexadecimal or base64")]) from None


def as_base64(text: str) -> str:
    """What was given in hexadecimal, as Solana's own form; anything else as it is."""
    digits = text.removeprefix("0x")
    try:
        return base64.b64encode(bytes.fromhex(digits)).decode() if digits.isalnum() else text
    except ValueError:
        return text


async def _read_balances(chain: Chain, network: Network, address: str, needs: TransactionNeeds) -> dict[str, Balance]:
    known = {a.asset.reference for a in network.assets}
    wanted = sorted({Holding(network.id, o.asset, address) for o in needs.outflows if o.asset in known})
    try:
        found = await chain.balances(wanted, needs.at) if wanted else ()
    except ChainError:
        return {}
    return {b.holding.asset: b for b in found}


def add_up(network: Network, needs: TransactionNeeds, balances: Mapping[str, Balance]) -> list[Row]:
    """By asset, the coin that gas is paid in last. Pure."""
    rows = []
    for reference in sorted({o.asset for o in needs.outflows}, key=lambda r: (r == NATIVE, r)):
        asset = network.find_asset(reference)
        balance = balances.get(reference)
        rows.append(
            Row(
                asset=reference if asset is None else asset.asset.symbol,
                decimals=None if asset is None else asset.asset.decimals,
                lines=tuple((o.what, o.amount) for o in needs.outflows if o.asset == reference),
                balance=None if balance is None else balance.amount,
            )
        )
    return rows


def render(network: Network, needs: TransactionNeeds, rows: list[Row]) -> list[str]:
    """For people: what, how much, and how sure. Pure."""
    proven = "proven exact" if needs.exact else "not proven exact"
    lines = [f"{network.name} at {needs.at.number}: {needs.verdict} ({proven}, by {needs.method}, {needs.calls} calls)"]
    if needs.detail:
        lines.append(f"  {needs.detail}")
    for row in rows:
        lines.append(row.asset if row.decimals is not None else f"{row.asset} (not in the configuration, base units)")
        lines += [f"  {what:<13} {_show(amount, row)}" for what, amount in row.lines]
        lines.append(f"  {'needed':<13} {_show(row.needed, row)}")
        if row.balance is not None:
            lines.append(f"  {'balance':<13} {_show(row.balance, row)}")
            lines.append(f"  {'missing':<13} {_show(max(0, row.needed - row.balance), row)}")
    return lines


def _show(units: int, row: Row) -> str:
    return format_amount(units, row.decimals or 0)
