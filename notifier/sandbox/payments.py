"""What a person does on the hosted page: pays, or is refused. Coins move on the local chain; then it is complete."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import structlog

from notifier.sandbox.delivery import EVM_NETWORKS, Delivery, DeliveryFailed, TransferFailed
from notifier.sandbox.rules import DECIMALS, SOLD, WALLET_KEYS
from notifier.sandbox.sessions import SandboxSession, Sessions
from notifier.sandbox.webhooks import Webhooks

log = structlog.get_logger()

_AMOUNT = re.compile(r"[0-9]{1,40}(?:\.([0-9]{1,40}))?", re.ASCII)
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
            if session.status == "initialized":
                session = self._move(session, "requires_payment")
            if session.status == "requires_payment":
                session = self._move(
                    session, "fulfillment_processing", currency=chosen.currency, network=chosen.network
                )
            if then == "processing":
                return session
            return await self._deliver(session, chosen, chain)

    async def _deliver(self, session: SandboxSession, chosen: Order, chain: Delivery | None) -> SandboxSession:
        if chain is not None and (session.sent is not None or chosen.amount > 0):
            try:
                session = await self._transfer(session, chosen, chain)
            except DeliveryFailed as error:
                raise PaymentRefused(str(error)) from None
        delivered = chosen.amount if session.sent is None else session.delivered
        log.info("sandbox.delivered", session=session.id, amount=str(delivered), currency=chosen.currency)
        return self._move(session, "fulfillment_complete", delivered=delivered, transaction=session.sent)

    async def _transfer(self, session: SandboxSession, chosen: Order, chain: Delivery) -> SandboxSession:
        """Send once; a transfer that is on its way already is only waited for."""
        if session.sent is None:
            sent = await chain.send(chosen.currency, chosen.address, chosen.amount)
            session = self._sessions.change(session.id, sent=sent, delivered=chosen.amount)
        try:
            await chain.wait(session.sent or "")
        except TransferFailed:
            self._sessions.change(session.id, sent=None, delivered=None)
            raise
        return session

    def _move(self, session: SandboxSession, status: str, **values: object) -> SandboxSession:
        moved = self._sessions.change(session.id, status=status, **values)
        self._webhooks.announce(moved.render(self._base_url()))
        return moved


def choose(session: SandboxSession, order: Mapping[str, str]) -> Order:
    """What is bought, where to, and how much. Raises `PaymentRefused` for what the session's locks forbid."""
    wanted = session.wanted
    network = session.network or order.get("network") or wanted.network
    options = [pair for pair in list_options(session) if network in (None, pair[1])]
    currency = session.currency or order.get("currency") or wanted.currency
    fitting = [pair for pair in options if currency in (None, pair[0])]
    if not fitting and "currency" not in order:  # the session's default is not sold on the network that was chosen
        fitting = options
    if not fitting:
        raise PaymentRefused("this is not sold under the session's locks")
    currency, network = fitting[0]
    address = wanted.wallet_addresses.get(WALLET_KEYS[network])
    if address is None:
        raise PaymentRefused(f"the session has no address on {network}")
    text = order.get("deliver") or (str(wanted.destination_amount) if wanted.destination_amount is not None else "")
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise PaymentRefused('say how much: a plain number such as "12.4"')
    if len((match[1] or "").rstrip("0")) > DECIMALS[currency]:
        raise PaymentRefused(f"{currency.upper()} has {DECIMALS[currency]} decimals")
    return Order(currency, network, address, Decimal(text))


def list_options(session: SandboxSession) -> list[tuple[str, str]]:
    """Currency and network pairs that the session's locks, and a choice made already, leave; its defaults first."""
    wanted = session.wanted
    networks = (session.network,) if session.network else wanted.networks or tuple(WALLET_KEYS)
    currencies = (session.currency,) if session.currency else wanted.currencies or tuple(DECIMALS)
    options = [(c, n) for n in networks for c in currencies if (c, n) in SOLD]
    reachable = [(c, n) for c, n in options if WALLET_KEYS[n] in wanted.wallet_addresses]
    first = (wanted.currency, wanted.network)
    return sorted(reachable, key=lambda pair: pair != first)
