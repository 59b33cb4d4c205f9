"""`pause`, `resume` and `release` on the command line."""

import asyncio
import secrets
from pathlib import Path
from typing import Annotated

import typer

from config.load import load_settings

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]
DEFAULT_CONFIG = Path("watcher.toml")
TenantScope = Annotated[str | None, typer.Option("--tenant", help="The asks of one tenant.")]
NetworkScope = Annotated[str | None, typer.Option("--network", help="The asks on one network.")]
AllScope = Annotated[bool, typer.Option("--all", help="Every ask.")]


def pause(
    *,
    tenant: TenantScope = None,
    network: NetworkScope = None,
    everything: AllScope = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Withhold links until resume: watching goes on, asks wait, and none is lost."""
    settings = load_settings(config)

    from watcher.clock import SystemClock  # noqa: PLC0415
    from watcher.pausing import find_scope, run_pause  # noqa: PLC0415

    scope, words = find_scope(settings, "pause", tenant=tenant, network=network, everything=everything)
    new = asyncio.run(run_pause(settings, scope, clock=SystemClock()))
    typer.echo(f"{words}: paused" if new else f"{words}: paused already")


def resume(
    *,
    tenant: TenantScope = None,
    network: NetworkScope = None,
    everything: AllScope = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Let go what pause has withheld, at the configured rate."""
    settings = load_settings(config)

    from watcher.pausing import find_scope, run_resume  # noqa: PLC0415

    scope, words = find_scope(settings, "resume", tenant=tenant, network=network, everything=everything)
    lifted = asyncio.run(run_resume(settings, scope))
    typer.echo(f"{words}: resumed" if lifted else f"{words}: was not paused")


def release(
    network: Annotated[str, typer.Argument(help="A configured network.")], config: ConfigOption = DEFAULT_CONFIG
) -> None:
    """Let go the asks that the storm brake holds on a network, at the configured rate."""
    settings = load_settings(config)

    from watcher.clock import SystemClock, make_new_id  # noqa: PLC0415
    from watcher.pausing import run_release  # noqa: PLC0415

    clock = SystemClock()
    held = asyncio.run(run_release(settings, network, clock=clock, new_id=make_new_id(clock, secrets.randbits)))
    typer.echo(f"{network}: released" if held else f"{network}: was not held")
