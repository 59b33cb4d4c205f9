"""The command line. A command is a page of words and a call; imports that are slow come with their command."""

import asyncio
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from config.errors import ConfigError
from config.load import load_settings
from watcher.store.errors import StoreError

app = typer.Typer(
    name="topup-watcher",
    help="Watches wallets, computes exactly what each is short of, and follows a prefilled onramp session.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
keys = typer.Typer(help="API keys of wallet backends.", no_args_is_help=True)
app.add_typer(keys, name="keys")

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]
DEFAULT_CONFIG = Path("watcher.toml")
USAGE = 2
"""Exit status for a mistake in the configuration or on the command line."""


@app.command()
def run(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Run the daemon until SIGTERM or Ctrl-C."""
    settings = load_settings(config)

    import uvloop  # noqa: PLC0415

    from watcher.app import run_daemon  # noqa: PLC0415

    raise typer.Exit(uvloop.run(run_daemon(settings)))


@app.command()
def init(path: Annotated[Path, typer.Argument(help="Where to write it.")] = DEFAULT_CONFIG) -> None:
    """Write a commented example configuration."""
    from config.example import write_example  # noqa: PLC0415

    write_example(path)
    typer.echo(f"wrote {path}; read it, then run: topup-watcher check --config {path}")


@app.command()
def check(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Validate the configuration and try every connection; report every fault at once."""
    settings = load_settings(config)

    from watcher.check import check_connections  # noqa: PLC0415
    from watcher.clock import SystemClock  # noqa: PLC0415

    typer.echo(f"ok     {config}: {len(settings.networks)} networks, {len(settings.tenants)} tenants")
    results = asyncio.run(check_connections(settings, clock=SystemClock()))
    for result in results:
        typer.echo(f"ok     {result.what}" if result.fault is None else f"FAULT  {result.what}: {result.fault}")
    if any(result.fault is not None for result in results):
        raise typer.Exit(1)


@keys.command("create")
def create_key(
    config: ConfigOption = DEFAULT_CONFIG,
    tenant: Annotated[str, typer.Option(help="Whose key it is.")] = "default",
    scope: Annotated[
        list[str] | None, typer.Option(help="What it may do; repeatable. All but admin by default.")
    ] = None,
) -> None:
    """Make an API key. It is printed once; only its hash is kept."""
    settings = load_settings(config)

    from watcher.clock import SystemClock, make_new_id  # noqa: PLC0415
    from watcher.keys import create_api_key  # noqa: PLC0415

    clock = SystemClock()
    new_id = make_new_id(clock, secrets.randbits)
    typer.echo(asyncio.run(create_api_key(settings, tenant=tenant, scopes=scope, clock=clock, key_id=new_id("key"))))


def main() -> None:
    """Entry point of `topup-watcher`: a mistake of the operator's is told in plain lines, not as a traceback."""
    try:
        app()
    except (ConfigError, StoreError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(USAGE if isinstance(error, ConfigError) else 1)


if __name__ == "__main__":
    main()
