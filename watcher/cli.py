"""The command line. A command is a page of words and a call; imports that are slow come with their command."""

import asyncio
import os
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from chains.errors import ChainError
from config.errors import ConfigError
from config.load import load_settings
from watcher.cli_holds import DEFAULT_CONFIG, ConfigOption, pause, release, resume
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
wallets = typer.Typer(help="Many wallets at once, as lines of JSON.", no_args_is_help=True)
app.add_typer(wallets, name="wallets")
db = typer.Typer(help="The store: its schema, backups, and another server.", no_args_is_help=True)
app.add_typer(db, name="db")

for command in (pause, resume, release):
    app.command()(command)

USAGE = 2
"""Exit status for a mistake in the configuration or on the command line."""


@app.command()
def run(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Run the daemon until SIGTERM or Ctrl-C."""
    settings = load_settings(config)
    os.environ.pop("STRIPE_LOG", None)  # at debug the SDK prints whole answers, client secrets included

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


@app.command()
def bill(
    network: Annotated[str, typer.Option(help="A configured network.")],
    sender: Annotated[str, typer.Option("--from", help="Whose transaction it is.")],
    transaction: Annotated[
        str, typer.Option("--tx", help="A file, a JSON object as in JSON-RPC (EVM), hexadecimal, or base64 (Solana).")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Say what a proposed transaction needs, which of it is missing, and what else is in its way."""
    settings = load_settings(config)

    from watcher.bill import find_bill  # noqa: PLC0415

    for line in asyncio.run(find_bill(settings, network=network, sender=sender, transaction=transaction)):
        typer.echo(line)


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


@wallets.command("import")
def import_wallets(
    file: Annotated[Path, typer.Argument(help="A body with its id on each line.", exists=True, dir_okay=False)],
    config: ConfigOption = DEFAULT_CONFIG,
    tenant: Annotated[str, typer.Option(help="Whose wallets they are.")] = "default",
) -> None:
    """Register wallets from a file; repeating it is harmless. Refused lines are printed, and the exit status is 1."""
    settings = load_settings(config)

    from watcher.bulk_files import import_file  # noqa: PLC0415

    if import_file(settings, file, tenant=tenant):
        raise typer.Exit(1)


@wallets.command("export")
def export_wallets(
    file: Annotated[Path, typer.Argument(help="Where to write them.", dir_okay=False)],
    config: ConfigOption = DEFAULT_CONFIG,
    tenant: Annotated[str, typer.Option(help="Whose wallets they are.")] = "default",
) -> None:
    """Write every wallet to a file that import takes."""
    settings = load_settings(config)

    from watcher.bulk_files import export_file  # noqa: PLC0415

    export_file(settings, file, tenant=tenant)


@db.command("upgrade")
def upgrade_db(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Bring the schema up to this release. The daemon does so at its start, too."""
    settings = load_settings(config)

    from watcher.db.commands import run_upgrade  # noqa: PLC0415

    typer.echo(run_upgrade(settings))


@db.command("check")
def check_db(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Say what the store is and what it lacks; the exit status is 1 with a fault. Nothing is changed."""
    settings = load_settings(config)

    from watcher.db.commands import run_check  # noqa: PLC0415

    results = run_check(settings)
    for what, fault in results:
        typer.echo(f"ok     {what}" if fault is None else f"FAULT  {what}: {fault}")
    if any(fault is not None for _, fault in results):
        raise typer.Exit(1)


@db.command("backup")
def back_up_db(
    file: Annotated[Path, typer.Argument(help="Where to write it. It holds secrets and links.", dir_okay=False)],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Write one moment of the store to a file, with counts and checksums."""
    settings = load_settings(config)

    from watcher.db.commands import run_backup  # noqa: PLC0415

    typer.echo(run_backup(settings, file))


@db.command("restore")
def restore_db(
    file: Annotated[Path, typer.Argument(help="A backup.", exists=True, dir_okay=False)],
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Drop what the store holds now.")] = False,
) -> None:
    """Put a backup into the store: all of it, or nothing. A running daemon must then be restarted."""
    settings = load_settings(config)

    from watcher.db.commands import run_restore  # noqa: PLC0415

    typer.echo(run_restore(settings, file, replace=replace))


@db.command("move")
def move_db(
    to: Annotated[str, typer.Option(help="postgresql://… of an empty database.", envvar="MOVE_TO")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Copy the store to another server, compare, and close it here. A running daemon waits, then must be restarted."""
    settings = load_settings(config)

    from watcher.db.commands import run_move  # noqa: PLC0415

    typer.echo(run_move(settings, to))


@app.command()
def sandbox(
    *,
    listen: Annotated[str, typer.Option(help="HOST:PORT to answer on.")] = "127.0.0.1:8010",
    public_url: Annotated[str | None, typer.Option(help="What links begin with, when not with --listen.")] = None,
    webhook_url: Annotated[str | None, typer.Option(help="Where status changes are sent.")] = None,
    webhook_secret: Annotated[str | None, typer.Option(help="whsec_… that they are signed with.")] = None,
    evm_rpc: Annotated[str | None, typer.Option(help="A local node that moves coins when a session is paid.")] = None,
    solana_rpc: Annotated[str | None, typer.Option(help="A local validator that does the same.")] = None,
    evm_token: Annotated[list[str] | None, typer.Option(help="CURRENCY=0x…, a mintable contract.")] = None,
    solana_token: Annotated[list[str] | None, typer.Option(help="CURRENCY=MINT:KEYPAIR_FILE of its authority.")] = None,
    ledger: Annotated[Path | None, typer.Option(help="File that every request is appended to.")] = None,
) -> None:
    """Run the Stripe sandbox: the documented onramp API, for development. No money moves, and it says so."""
    from notifier.sandbox.server import SandboxOptions, serve  # noqa: PLC0415

    host, _, port = listen.rpartition(":")
    if not port.isdigit():
        raise typer.BadParameter("must be HOST:PORT", param_hint="--listen")
    mints = {currency: rest.rpartition(":") for currency, rest in _split(solana_token, "--solana-token")}
    options = SandboxOptions(
        host=host,
        port=int(port),
        public_url=public_url.rstrip("/") if public_url else None,
        webhook_url=webhook_url,
        webhook_secret=webhook_secret,
        evm_rpc=evm_rpc,
        solana_rpc=solana_rpc,
        evm_tokens=dict(_split(evm_token, "--evm-token")),
        solana_tokens={currency: (mint, Path(file)) for currency, (mint, _, file) in mints.items()},
        ledger=ledger,
    )
    asyncio.run(serve(options))


def _split(values: list[str] | None, option: str) -> list[tuple[str, str]]:
    pairs = [value.partition("=") for value in values or []]
    if not all(name and rest for name, _, rest in pairs):
        raise typer.BadParameter("must be CURRENCY=…", param_hint=option)
    return [(name.lower(), rest) for name, _, rest in pairs]


def main() -> None:
    """Entry point of `topup-watcher`: a mistake of the operator's is told in plain lines, not as a traceback."""
    try:
        app()
    except (ConfigError, StoreError, ChainError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(USAGE if isinstance(error, ConfigError) else 1)


if __name__ == "__main__":
    main()
