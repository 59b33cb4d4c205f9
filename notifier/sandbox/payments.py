"""What a person does on the hosted page: pays, or is refused. Coins move on the local chain; then it is complete."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

import structlog

from notifier.sandbox.delivery import EVM_NETWORKS, Delivery, DeliveryFailed
from notifier.sandbox.rules import DECIMALS, SOLD, WALLET_KEYS
from notifier.sandbox.sessions import SandboxSession, Sessions
from notifier.sandbox.webhooks import Webhooks

log = structlog.get_logger()

PAID: Final = ("fulfillment_processing", "fulfillment_complete")


class PaymentRefused(Exception):
    """It can't be paid like this; the message is for the person."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the person chose."""

    currency: str
    network: str
    address: str
    amount: Decimal


class Payments:
    """Moves sessions from status to status, each with its webhook."""

    def __init__(
        self,
        sessions: Sessions,
        webhooks: Webhooks,
        *,
        evm: Delivery | None,
        solana: Delivery | None,
        base_url: Callable[[], str],
    ) -> None:
        """`evm` and `solana` are the local chains, where there are any."""
        self._sessions = sessions
        self._webhooks = webhooks
        self._chains: Mapping[str, Delivery | None] = {**dict.fromkeys(EVM_NETWORKS, evm), "solana": solana}
        self._base_url = base_url
        self._locks: dict[str, asyncio.Lock] = {}

    async def pay(self, session_id: str, then: str, *, order: Mapping[str, str]) -> SandboxSession:
        """`complete`, `processing` or `reject`. Raises `PaymentRefused`; a session is paid once."""
        lock = self._locks.setdefault(session_id, asyncio.Lock())
        async with lock:
            session = self._sessions.find(session_id)
            if session is None:
                raise PaymentRefused("there is no such session")
            if session.status in ("fulfillment_complete", "rejected"):
                raise PaymentRefused(f"the session is {session.status} already")
            if then == "reject":
                if session.status in PAID:
                    raise PaymentRefused("the session is paid already")
                return self._move(session, "rejected")
            chosen = choose(session, order)
            chain = self._chains.get(chosen.network)
            if chain is None and chosen.amount > 0:
                raise PaymentRefused(f"the sandbox has no local chain for {chosen.network}: nothing could be delivered")
            if session.status != "fulfillment_processing":
                session = self._move(
                    session, "fulfillment_processing", currency=chosen.currency, network=chosen.network
                )
            if then == "processing":
                return session
            return await self._deliver(session, chosen, chain)

    async def _deliver(self, session: SandboxSession, chosen: Order, chain: Delivery | None) -> SandboxSession:
        transaction = None
        if chosen.amount > 0 and chain is not None:
            try:
                transaction = await chain.send(chosen.currency, chosen.address, chosen.amount)
            except DeliveryFailed as error:
                raise PaymentRefused(str(error)) from None
        log.info("sandbox.delivered", session=session.id, amount=str(chosen.amount), currency=chosen.currency)
        return self._move(session, "fulfillment_complete", delivered=chosen.amount, transaction=transaction)

    def _move(self, session: SandboxSession, status: str, **values: object) -> SandboxSession:
        moved = self._sessions.change(session.id, status=status, **values)
        self._webhooks.announce(moved.render(self._base_url()))
        return moved


def choose(session: SandboxSession, order: Mapping[str, str]) -> Order:
    """What is bought, where to, and how much. Raises `PaymentRefused` for what the session's locks forbid."""
    wanted = session.wanted
    network = order.get("network") or session.network or wanted.network
    options = [pair for pair in list_options(session) if network in (None, pair[1])]
    currency = order.get("currency") or session.currency or wanted.currency
    options = [pair for pair in options if currency in (None, pair[0])] or options[:1]
    if not options:
        raise PaymentRefused("nothing is sold under this session's locks")
    currency, network = options[0]
    address = wanted.wallet_addresses.get(WALLET_KEYS[network])
    if address is None:
        raise PaymentRefused(f"the session has no address on {network}")
    text = order.get("deliver") or (str(wanted.destination_amount) if wanted.destination_amount is not None else "")
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise PaymentRefused("say how much: a decimal number") from None
    if not amount.is_finite() or amount < 0:
        raise PaymentRefused("the amount must not be negative")
    return Order(currency, network, address, amount.quantize(Decimal(1).scaleb(-DECIMALS[currency])))


def list_options(session: SandboxSession) -> list[tuple[str, str]]:
    """Currency and network pairs that the session's locks leave, its defaults first."""
    wanted = session.wanted
    networks = wanted.networks or tuple(WALLET_KEYS)
    currencies = wanted.currencies or tuple(DECIMALS)
    options = [(c, n) for n in networks for c in currencies if (c, n) in SOLD]
    reachable = [(c, n) for c, n in options if WALLET_KEYS[n] in wanted.wallet_addresses]
    first = (wanted.currency, wanted.network)
    return sorted(reachable, key=lambda pair: pair != first)
