"""`topup-watcher pause`, `resume` and `release`, beside a running daemon: what they write, its loops act upon."""

from collections.abc import Callable

from config.errors import ConfigError, FieldError
from config.model import Network, Settings
from watcher.braking import RELEASED, release
from watcher.clock import Clock, Stamp
from watcher.store.beside import find_unknown_tenant, open_store
from watcher.store.database import Database
from watcher.store.holds import OPERATOR, Scope, lift_hold, put_hold
from watcher.withholding import defer_withhold


def find_scope(
    settings: Settings, command: str, *, tenant: str | None, network: str | None, everything: bool
) -> tuple[Scope, str]:
    """What the options name, and in words. Raises `ConfigError`."""
    if (tenant is not None) + (network is not None) + everything != 1:
        raise ConfigError(command, [FieldError("--tenant, --network, --all", "not_one", "exactly one must be given")])
    if tenant is not None:
        if errors := find_unknown_tenant(settings, tenant):
            raise ConfigError(command, errors)
        return Scope("tenant", tenant), f"tenant {tenant}"
    if network is not None:
        found = find_network(settings, command, network)
        return Scope("network", found.id), f"network {found.name}"
    return Scope("all"), "everything"


def find_network(settings: Settings, command: str, name: str) -> Network:
    """A configured network. Raises `ConfigError`."""
    if (found := settings.find_network(name)) is None:
        known = ", ".join(network.name for network in settings.networks.values())
        message = f"{name} is not in the configuration, which has {known}"
        raise ConfigError(command, [FieldError("NETWORK", "unknown_network", message)])
    return found


async def pause(database: Database, scope: Scope, *, clock: Clock) -> bool:
    """Withhold the links of these asks from now on; whether they were not paused already."""
    async with database.begin() as conn:
        new = await put_hold(conn, scope, OPERATOR, now=clock.now())
        if new:
            await defer_withhold(conn)
    return new


async def resume(database: Database, scope: Scope) -> bool:
    """Let them go; whether they were paused. What the brake holds stays held."""
    async with database.begin() as conn:
        lifted = await lift_hold(conn, scope, OPERATOR)
        if lifted:
            await defer_withhold(conn)
    return lifted


async def run_pause(settings: Settings, scope: Scope, *, clock: Clock) -> bool:
    """The same on the configured store. Raises `StoreError`."""
    async with open_store(settings) as database:
        return await pause(database, scope, clock=clock)


async def run_resume(settings: Settings, scope: Scope) -> bool:
    """The same on the configured store. Raises `StoreError`."""
    async with open_store(settings) as database:
        return await resume(database, scope)


async def run_release(settings: Settings, name: str, *, clock: Clock, new_id: Callable[[str], str]) -> bool:
    """Let a network's asks go that the brake holds; whether it held them. Raises `ConfigError`, `StoreError`."""
    network = find_network(settings, "release", name)
    async with open_store(settings) as database, database.begin() as conn:
        return await release(conn, network, settings, Stamp(clock.now(), new_id), why=RELEASED)
