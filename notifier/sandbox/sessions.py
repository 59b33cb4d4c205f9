"""The sandbox's sessions: Stripe's object, its statuses, and the order they were made in."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from notifier.sandbox.rules import DECIMALS, WALLET_KEYS, Wanted

NETWORK_FEE: Final = Decimal("0.06")
FEE_SHARE: Final = Decimal("0.04")
"""Stand-ins: Stripe publishes no formula."""
USD_PRICES: Final = {
    "eth": Decimal(2500),
    "sol": Decimal(150),
    "btc": Decimal(60000),
    "avax": Decimal(25),
    "matic": Decimal("0.5"),
    "xlm": Decimal("0.1"),
}
"""Made up, so that a page can show a price. A stablecoin is one."""


@dataclass(frozen=True)
class SandboxSession:
    """One session. Replaced as a whole at each change."""

    id: str
    created: int
    secret: str
    page: str
    """The opaque part of its hosted page's address."""
    account: str
    """The API key it was made with: another one doesn't see it."""
    wanted: Wanted
    status: str = "initialized"
    currency: str | None = None
    network: str | None = None
    delivered: Decimal | None = None
    transaction: str | None = None
    sent: str | None = None
    """A transfer on its way: it is waited for, never sent again."""

    def amount(self) -> Decimal | None:
        """In the asset's unit: what arrived, or what was asked for."""
        return self.delivered if self.delivered is not None else self.wanted.destination_amount

    def render(self, base_url: str) -> dict[str, Any]:
        """As Stripe answers it."""
        wanted = self.wanted
        keys = {key: wanted.wallet_addresses.get(key) for key in WALLET_KEYS.values()}
        currency, network = self.currency or wanted.currency, self.network or wanted.network
        key = WALLET_KEYS.get(network or "", "")
        return {
            "id": self.id,
            "object": "crypto.onramp_session",
            "client_secret": self.secret,
            "created": self.created,
            "kyc_details_provided": wanted.kyc_details_provided,
            "livemode": False,
            "metadata": dict(wanted.metadata),
            "redirect_url": f"{base_url}/pay/{self.page}",
            "status": self.status,
            "transaction_details": {
                "destination_amount": _pad(self.amount(), currency),
                "destination_currencies": list(wanted.currencies) if wanted.currencies else None,
                "destination_currency": currency,
                "destination_network": network,
                "destination_networks": list(wanted.networks) if wanted.networks else None,
                "fees": self._fees(currency),
                "lock_wallet_address": wanted.lock_wallet_address,
                "settlement_speed": wanted.settlement_speed,
                "source_amount": None if wanted.source_amount is None else f"{wanted.source_amount:.2f}",
                "source_currency": wanted.source_currency or "usd",
                "transaction_id": self.transaction,
                "wallet_address": wanted.wallet_addresses.get(key),
                "wallet_addresses": {**keys, "destination_tags": None},
            },
        }

    def _fees(self, currency: str | None) -> dict[str, str] | None:
        amount = self.amount()
        if amount is None or currency is None:
            return None
        share = amount * USD_PRICES.get(currency, Decimal(1)) * FEE_SHARE
        return {"network_fee_amount": f"{NETWORK_FEE:.2f}", "transaction_fee_amount": f"{share:.2f}"}


def _pad(amount: Decimal | None, currency: str | None) -> str | None:
    """Stripe pads an amount to the asset's precision."""
    return None if amount is None else f"{amount:.{DECIMALS.get(currency or '', 18)}f}"


class Sessions:
    """All sessions, oldest first."""

    def __init__(self, now: Callable[[], int]) -> None:
        """`now` gives seconds since 1970."""
        self._now = now
        self._by_id: dict[str, SandboxSession] = {}

    def create(self, wanted: Wanted, account: str) -> SandboxSession:
        """A new one, of the account that an API key stands for."""
        session_id = "cos_" + secrets.token_hex(12)
        secret = f"{session_id}_secret_{secrets.token_hex(12)}"
        made = SandboxSession(session_id, self._now(), secret, secrets.token_urlsafe(24), account, wanted)
        self._by_id[session_id] = made
        return made

    def find(self, session_id: str) -> SandboxSession | None:
        """By Stripe's id."""
        return self._by_id.get(session_id)

    def find_page(self, page: str) -> SandboxSession | None:
        """By the address of its page."""
        return next(
            (s for s in self._by_id.values() if secrets.compare_digest(s.page.encode(), page.encode(errors="replace"))),
            None,
        )

    def change(self, session_id: str, **values: Any) -> SandboxSession:
        """Replace fields."""
        self._by_id[session_id] = replace(self._by_id[session_id], **values)
        return self._by_id[session_id]

    def newest_first(self, account: str | None = None) -> Iterator[SandboxSession]:
        """As Stripe lists them; of one account, or all."""
        return (s for s in reversed(list(self._by_id.values())) if account in (None, s.account))
