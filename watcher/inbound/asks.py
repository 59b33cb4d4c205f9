"""Transactions, checkouts and swaps told of by webhook, as by POST, complete and cancel."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from config.errors import FieldError
from watcher.api.routing import validate
from watcher.asks.bodies import BODIES, AskBody, CheckoutBody, CompleteBody, SwapBody, TransactionBody
from watcher.asks.lifecycle import end_ask, propose
from watcher.asks.model import State
from watcher.inbound.model import Kind, Subject, Told
from watcher.model import NeedKind, NewEvent
from watcher.store.asks import lock_ask
from watcher.store.wallets import keep_customer_ip
from watcher.wallet_plan import Refused


class TransactionProposed(TransactionBody, Subject):
    """The body of the POST."""


class CheckoutRequested(CheckoutBody, Subject):
    """The body of the POST."""


class SwapRequested(SwapBody, Subject):
    """The body of the POST."""


class Completed(CompleteBody, Subject):
    """The body of `complete`, with the id."""


class Cancelled(Subject):
    """The id alone."""


async def _open(kind: NeedKind, conn: AsyncConnection, told: Told) -> Sequence[NewEvent]:
    """As the same body over the API: a revision is no part of it."""
    body: AskBody = validate(BODIES[kind], {name: value for name, value in told.data.items() if name != "revision"})
    key = (told.tenant.id, kind, body.id)
    opened = await propose(conn, key, body, told.settings, told.findings, stamp=told.stamp)
    if opened.created and body.customer_ip_address is not None:  # its day began when it was sent
        ip = body.customer_ip_address
        await keep_customer_ip(conn, told.tenant.id, body.wallet, ip, now=told.received_at)
    return opened.events


async def _end(kind: NeedKind, status: State, conn: AsyncConnection, told: Told) -> Sequence[NewEvent]:
    ask = await lock_ask(conn, (told.tenant.id, kind, told.body.id))
    if ask is None:
        raise Refused([FieldError("/id", "not_found", f"is no {kind.value} that was asked for")])
    made = told.body.transaction_hash if isinstance(told.body, Completed) else None
    return await end_ask(conn, ask, status, told.settings.networks, told.stamp, transaction_hash=made)


def _opening(kind: NeedKind, body: type[Subject]) -> Kind:
    return Kind(kind.value, body, partial(_open, kind), asks=True)


def _ending(kind: NeedKind, status: State, body: type[Subject]) -> Kind:
    return Kind(kind.value, body, partial(_end, kind, status))


KINDS: Final[Mapping[str, Kind]] = {
    "transaction.proposed": _opening(NeedKind.TRANSACTION, TransactionProposed),
    "transaction.completed": _ending(NeedKind.TRANSACTION, State.DONE, Completed),
    "checkout.requested": _opening(NeedKind.CHECKOUT, CheckoutRequested),
    "checkout.cancelled": _ending(NeedKind.CHECKOUT, State.CANCELLED, Cancelled),
    "swap.requested": _opening(NeedKind.SWAP, SwapRequested),
}
