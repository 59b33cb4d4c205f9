"""The command line. Each command is one page of words and a call; the imports that are slow come with their command."""

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from config.errors import ConfigError

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
    from config.load import load_settings  # noqa: PLC0415
    from watcher.app import run_daemon  # noqa: PLC0415
    from watcher.environment import read_environment  # noqa: PLC0415

    settings = load_settings(config, read_environment())
    _run(run_daemon(settings))


@app.command()
def init(path: Annotated[Path, typer.Argument(help="Where to write it.")] = DEFAULT_CONFIG) -> None:
    """Write a commented example configuration."""
    from config.example import write_example  # noqa: PLC0415

    write_example(path)
    typer.echo(f"wrote {path}: read it, then run  topup-watcher check --config {path}")


@app.command()
def check(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Validate the configuration and try every connection; report every fault at once."""
    from config.load import load_settings  # noqa: PLC0415
    from watcher.check import check_connections  # noqa: PLC0415
    from watcher.environment import read_environment  # noqa: PLC0415

    settings = load_settings(config, read_environment())
    faults = 0
    for result in asyncio.run(check_connections(settings)):
        typer.echo(f"{'ok   ' if result.fault is None else 'FAULT'} {result.what}: {result.fault or result.found}")
        faults += result.fault is not None
    if faults:
        raise typer.Exit(1)


@keys.command("create")
def create_key(
    config: ConfigOption = DEFAULT_CONFIG,
    tenant: Annotated[str, typer.Option(help="Whose key it is.")] = "default",
    scope: Annotated[
        list[str] | None, typer.Option(help="What it may do; repeat it. All but admin by default.")
    ] = None,
) -> None:
    """Make an API key. It is printed once, and only its hash is kept."""
    from config.load import load_settings  # noqa: PLC0415
    from watcher.environment import read_environment  # noqa: PLC0415
    from watcher.keys import create_api_key  # noqa: PLC0415

    settings = load_settings(config, read_environment())
    typer.echo(asyncio.run(create_api_key(settings, tenant=tenant, scopes=scope)))


@app.command()
def sandbox(
    listen: Annotated[str, typer.Option(help="HOST:PORT to answer on.")] = "127.0.0.1:8010",
    webhook_url: Annotated[str | None, typer.Option(help="Where status changes are sent.")] = None,
    webhook_secret: Annotated[str | None, typer.Option(help="whsec_… that they are signed with.")] = None,
    evm_rpc: Annotated[str | None, typer.Option(help="A local node that moves coins when a session is paid.")] = None,
    solana_rpc: Annotated[str | None, typer.Option(help="A local validator that does the same.")] = None,
) -> None:
    """Run the Stripe sandbox: the documented onramp API, for development. No money moves, and it says so."""
    from notifier.sandbox.server import serve  # noqa: PLC0415

    raise NotImplementedError(serve, listen, webhook_url, webhook_secret, evm_rpc, solana_rpc)


def _run(daemon: Coroutine[Any, Any, int]) -> None:
    try:
        import uvloop  # noqa: PLC0415

        status = uvloop.run(daemon)
    except ImportError:
        status = asyncio.run(daemon)
    raise typer.Exit(status)


def main() -> None:
    """Entry point of `topup-watcher`: a mistake of the operator's is told in plain lines, not as a traceback."""
    try:
        app()
    except ConfigError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"{line}\n")
        sys.exit(USAGE)


if __name__ == "__main__":
    main()
