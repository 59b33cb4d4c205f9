"""`/v1/wallets`: what a backend registers to be watched."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from chains.amounts import format_amount
from chains.model import BlockRef, NetworkId
from config.model import Settings
from watcher.api.fields import Id, Page, read_time
from watcher.api.idempotency import act_once
from watcher.api.problems import not_found
from watcher.api.routing import Answer, Call, Route, validate
from watcher.model import HoldingStatus, worst
from watcher.registration import remove_wallet
from watcher.render import JSON, render_block, render_time
from watcher.replacing import request_replacement
from watcher.shapes import Strict
from watcher.store.events import record_events
from watcher.store.wallet_views import WalletView, view_wallet, view_wallets
from watcher.store.wallets import claim_wallet
from watcher.wallet_body import WalletBody, merge, write_wallet


class WalletPatch(Strict):
    """A JSON merge patch (RFC 7396) of a wallet: what is named changes, null removes."""

    model_config = ConfigDict(extra="allow")


class WalletPage(Page):
    """Filters of the list."""

    status: Literal["ok", "unknown", "low", "critical"] | None = None
    network: Annotated[str, StringConstraints(max_length=64)] | None = None
    user: Id | None = None


async def put_wallet(call: Call) -> Answer:
    """Create, or replace."""
    async with call.deps.database.begin() as conn:
        return await _register(conn, call, call.raw, call.body)


async def patch_wallet(call: Call) -> Answer:
    """Change what the patch names. The wallet stays locked from its reading to its writing: no patch undoes another."""
    async with call.deps.database.begin() as conn:
        row = await claim_wallet(conn, call.tenant.id, call.path["id"])
        if row is None or row["deleted_at"] is not None:
            raise not_found()
        merged = merge(row["body"], call.raw)
        return await _register(conn, call, merged, validate(WalletBody, merged))


async def get_wallet(call: Call) -> Answer:
    """One wallet."""
    async with call.deps.database.begin() as conn:
        view = await view_wallet(conn, call.tenant.id, call.path["id"])
    if view is None:
        raise not_found()
    return Answer(render_wallet(view, call.deps.settings))


async def list_wallets(call: Call) -> Answer:
    """A page of wallets, in the order of their ids."""
    page: WalletPage = call.query
    network = None
    if page.network is not None:
        found = call.deps.settings.find_network(page.network)
        network = found.id if found else page.network
    async with call.deps.database.begin() as conn:
        views = await view_wallets(
            conn,
            call.tenant.id,
            limit=page.limit + 1,
            after=page.after,
            updated_after=read_time(page.updated_after) if page.updated_after else None,
            status=page.status,
            network=network,
            user=page.user,
        )
    shown = views[: page.limit]
    more = shown[-1].wallet["id"] if len(views) > page.limit else None
    data = [render_wallet(view, call.deps.settings) for view in shown]
    return Answer({"object": "list", "data": data, "next": more})


async def delete_wallet(call: Call) -> Answer:
    """Stop watching, withdraw unpaid asks."""
    stamp = call.deps.stamp()
    async with call.deps.database.begin() as conn:
        events = await remove_wallet(conn, call.path["id"], call.tenant, call.deps.settings, stamp)
        if events is None:
            raise not_found()
        await record_events(conn, events, now=stamp.now, new_id=stamp.new_id)
    return Answer(None, 204)


class ReplaceBody(Strict):
    """A new address, and the one that it takes the place of."""

    address: Annotated[str, StringConstraints(max_length=128)]
    expected: Annotated[str, StringConstraints(max_length=128)]


async def replace_address(call: Call) -> Answer:
    """Have another address take the place of a wallet's, once the cool-off is over."""
    body: ReplaceBody = call.body

    async def act(conn: AsyncConnection) -> Answer:
        stamp = call.deps.stamp()
        network = call.deps.settings.find_network(call.path["network"])
        row = await claim_wallet(conn, call.tenant.id, call.path["id"])
        if row is None or row["deleted_at"] is not None or network is None:
            raise not_found()
        at, event = await request_replacement(
            conn, row, network, body.address, body.expected, tenant=call.tenant, stamp=stamp
        )
        view = await view_wallet(conn, call.tenant.id, call.path["id"])
        await record_events(conn, [event], now=stamp.now, new_id=stamp.new_id)
        if view is None:
            raise not_found()
        return Answer({**render_wallet(view, call.deps.settings), "effective_at": render_time(at)}, 202)

    return await act_once(call, "replace", act)


async def _register(conn: AsyncConnection, call: Call, raw: dict[str, Any], body: WalletBody) -> Answer:
    stamp, wallet_id = call.deps.stamp(), call.path["id"]
    done = await write_wallet(conn, wallet_id, raw, body, tenant=call.tenant, settings=call.deps.settings, stamp=stamp)
    view = await view_wallet(conn, call.tenant.id, wallet_id)
    await record_events(conn, done.events, now=stamp.now, new_id=stamp.new_id)
    if view is None:
        raise not_found()
    return Answer(render_wallet(view, call.deps.settings), 201 if done.created else 200)


def render_wallet(view: WalletView, settings: Settings) -> JSON:
    """A wallet as the API shows it."""
    row = view.wallet
    names = {network.id: network.name for network in settings.networks.values()}
    holdings = [_render_holding(h, settings) for h in view.holdings]
    return {
        "object": "wallet",
        "id": row["id"],
        "status": worst([HoldingStatus(h["status"]) for h in holdings]).value,
        "version": row["version"],
        "user": row["user_id"],
        "addresses": {names.get(a["network"], a["network"]): a["address"] for a in view.addresses},
        "policy": row["policy"],
        "funding": row["funding"],
        "link_mode": row["link_mode"],
        "notify": row["notify"],
        "asks": {"paused_until": render_time(row["asks_paused_until"])},
        "initial": row["initial"],
        "allow_off_curve": row["allow_off_curve"],
        "label": row["label"],
        "holdings": holdings,
        "open_top_ups": view.open_top_ups,
        "watched_since": {
            names.get(a["network"], a["network"]): a["watched_since"] for a in view.addresses if a["watched_since"]
        },
        "metadata": row["metadata"],
        "created_at": render_time(row["created_at"]),
        "updated_at": render_time(row["updated_at"]),
    }


def _render_holding(row: Any, settings: Settings) -> JSON:
    """A holding that was never read, or whose network can't be read, is unknown: its last balance is only history."""
    network = settings.networks.get(NetworkId(row["network"]))
    asset = network.find_asset(row["asset"]) if network else None
    known = row["balance"] is not None and row["fresh"] is True
    decimals = asset.asset.decimals if asset else None
    balance = None if row["balance"] is None or decimals is None else format_amount(row["balance"], decimals)
    at = None if row["height"] is None else render_block(BlockRef(row["height"], row["hash"], row["block_time"]))
    return {
        "network": network.name if network else row["network"],
        "asset": asset.asset.symbol if asset else row["asset"],
        "decimals": decimals,
        "balance": balance,
        "status": row["status"] if known else HoldingStatus.UNKNOWN.value,
        "as_of": at,
    }


ROUTES = (
    Route(
        "PUT",
        "/v1/wallets/{id}",
        "Register or replace a wallet",
        "wallets:write",
        put_wallet,
        body=WalletBody,
        statuses=(200, 201),
        answer="wallet",
    ),
    Route(
        "PATCH",
        "/v1/wallets/{id}",
        "Change a wallet",
        "wallets:write",
        patch_wallet,
        body=WalletPatch,
        media_types=("application/json", "application/merge-patch+json"),
        answer="wallet",
    ),
    Route("GET", "/v1/wallets/{id}", "Read a wallet", "wallets:read", get_wallet, answer="wallet"),
    Route("GET", "/v1/wallets", "List wallets", "wallets:read", list_wallets, query=WalletPage, answer="wallet_list"),
    Route("DELETE", "/v1/wallets/{id}", "Stop watching a wallet", "wallets:write", delete_wallet, statuses=(204,)),
    Route(
        "POST",
        "/v1/wallets/{id}/addresses/{network}/replace",
        "Replace an address",
        "addresses:replace",
        replace_address,
        body=ReplaceBody,
        statuses=(202,),
        answer="wallet",
    ),
)
