"""From the file's shape to `Settings`: what only makes sense together is judged here, and every fault is kept."""

import base64
import binascii
import hashlib
import json
import re
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from chains.model import NetworkId
from config.catalogue import build_network, names_host
from config.errors import FieldError
from config.model import (
    CONSOLE_ENDPOINT,
    LIVE_SESSIONS_PER_SECOND,
    OPERATOR_ENDPOINT,
    TEST_SESSIONS_PER_SECOND,
    Brake,
    Level,
    Network,
    Operator,
    Policy,
    Settings,
    Source,
    Tenant,
)
from config.rates import build_rates
from config.requirements import MOST_TRANSACTIONS, parse_funding
from config.schema import EndpointEntry, File, OperatorEntry, PolicyEntry, SourceEntry, TenantEntry, find_path
from notifier.model import Endpoint

_STRIPE_KEY = re.compile(r"(sk|rk)_(test|live)_[A-Za-z0-9_]+", re.ASCII)
_HOOK_SECRET = re.compile(r"whsec_[!-~]{6,}", re.ASCII)
_POSTGRES: Final = ("postgresql://", "postgres://")
LAST_PORT: Final = 65_535
SECRET_BYTES: Final = range(24, 65)
"""What Standard Webhooks asks of a signing secret."""
STRIPE_SOURCE: Final = "stripe"


def build_settings(file: File, base: Path, errors: list[FieldError]) -> Settings | None:
    """Settings, or None with faults in `errors`. Relative paths are relative to `base`."""
    networks = _build_networks(file, errors)
    if not file.networks:
        errors.append(FieldError("/networks", "required", "names no network"))
    policies = {name: _build_policy(name, entry, networks, errors) for name, entry in file.policies.items()}
    tenants = {
        name: _build_tenant(name, entry, policies, networks, base=base, errors=errors)
        for name, entry in file.tenants.items()
    }
    if not file.tenants:
        errors.append(FieldError("/tenants", "required", "names no tenant; a sole one may be called default"))
    _check_sources(file, errors)
    host, _, port = file.listen.rpartition(":")
    if not 0 < int(port) <= LAST_PORT:
        errors.append(FieldError("/listen", "bad_port", f"must end with a port from 1 to {LAST_PORT}"))
    _check_transport(file, tenants, errors)
    url = _read_secret(file.database.url, file.database.url_file, "/database/url", base, errors)
    if url is not None and not url.startswith(_POSTGRES):
        errors.append(FieldError("/database/url", "bad_url", f"must begin with {' or '.join(_POSTGRES)}"))
    live = any(tenant.livemode for tenant in tenants.values())
    operator = _build_operator(file.operator, base, errors)
    rates = build_rates(file.rates, networks.values(), live=live, errors=errors)
    if errors:
        return None
    return Settings(
        networks=networks,
        tenants=tenants,
        data_dir=find_path(file.data_dir, base),
        database_url=url,
        listen_host=host.strip("[]"),
        listen_port=int(port),
        stripe_api_base=file.stripe.api_base.rstrip("/"),
        stripe_version=file.stripe.version,
        allow_private_receivers=file.allow_private_receivers,
        console=file.console,
        log_level=file.log_level,
        poll_seconds=file.stripe.poll_seconds,
        rates=rates,
        pool_size=file.database.pool_size,
        sessions_per_second=file.stripe.sessions_per_second
        or (LIVE_SESSIONS_PER_SECOND if live else TEST_SESSIONS_PER_SECOND),
        operator=operator,
    )


def _build_networks(file: File, errors: list[FieldError]) -> dict[NetworkId, Network]:
    networks: dict[NetworkId, Network] = {}
    for name, entry in file.networks.items():
        brake = Brake(**(entry.brake or file.brake).model_dump())
        network = build_network(name, entry, errors, brake)
        if network is not None and network.id in networks:
            message = f"is the same network as {networks[network.id].name}: {network.id}"
            errors.append(FieldError(f"/networks/{name}", "repeated", message))
        elif network is not None:
            networks[network.id] = network
    return networks


def _check_sources(file: File, errors: list[FieldError]) -> None:
    """A source's name stands in a path and names a tenant there."""
    owners: dict[str, str] = {}
    for tenant, entry in file.tenants.items():
        for name in entry.sources:
            pointer = f"/tenants/{tenant}/sources/{name}"
            if name == STRIPE_SOURCE:
                errors.append(FieldError(pointer, "reserved", "is the name under which Stripe's webhooks are kept"))
            elif owners.setdefault(name, tenant) != tenant:
                message = f"is the name of a source of {owners[name]} already; it must be another"
                errors.append(FieldError(pointer, "repeated", message))


def _check_transport(file: File, tenants: dict[str, Tenant], errors: list[FieldError]) -> None:
    """Stripe's address. A live key moves real money: it goes out encrypted, or not at all."""
    if not names_host(file.stripe.api_base):
        errors.append(FieldError("/stripe/api_base", "bad_url", "must name a host, and a port from 1 to 65535 if any"))
    live = [name for name, tenant in tenants.items() if tenant.livemode]
    if live and not file.stripe.api_base.startswith("https://"):
        message = f"must be https with a live key, which these tenants have: {', '.join(live)}"
        errors.append(FieldError("/stripe/api_base", "not_encrypted", message))


def _build_policy(
    name: str, entry: PolicyEntry, networks: dict[NetworkId, Network], errors: list[FieldError]
) -> Policy:
    pointer = f"/policies/{name}"
    ids = []
    for i, network_name in enumerate(entry.networks):
        found = next((n for n in networks.values() if network_name in (n.name, n.id)), None)
        if found is None:
            message = f"names {network_name}, which is not under [networks]"
            errors.append(FieldError(f"{pointer}/networks/{i}", "unknown_network", message))
        else:
            ids.append(found.id)
    funding = parse_funding(entry.funding, networks, pointer=f"{pointer}/funding")
    errors += funding.errors
    count = entry.gas_buffer.get("transactions")
    if set(entry.gas_buffer) != {"transactions"} or type(count) is not int or not 0 <= count <= MOST_TRANSACTIONS:
        message = "must be { transactions = n }; a fixed amount stands in a funding entry, as its gas_buffer"
        errors.append(FieldError(f"{pointer}/gas_buffer", "not_a_level", message))
        count = 0
    content = json.dumps(entry.model_dump(), sort_keys=True, default=str)
    return Policy(
        name=name,
        version=hashlib.sha256(content.encode()).hexdigest()[:12],
        networks=tuple(ids),
        low=funding.low,
        created=funding.created,
        gas_buffer=Level(transactions=count),
        hysteresis_percent=entry.hysteresis_percent,
        cooldown_seconds=entry.cooldown_seconds,
        expires_seconds=entry.expires_seconds,
        settle_seconds=entry.settle_seconds,
    )


def _build_tenant(
    name: str,
    entry: TenantEntry,
    policies: dict[str, Policy],
    networks: dict[NetworkId, Network],
    *,
    base: Path,
    errors: list[FieldError],
) -> Tenant:
    pointer = f"/tenants/{name}"
    where = f"{pointer}/stripe_secret_key"
    key = _read_secret(entry.stripe_secret_key, entry.stripe_secret_key_file, where, base, errors)
    if key is not None:
        _check_mode(key, networks, where, errors)
    hooks = [s.get_secret_value() for s in entry.stripe_webhook_secrets]
    file = _read_secret(None, entry.stripe_webhook_secret_file, f"{pointer}/stripe_webhook_secret", base, errors)
    hooks += [file] if file else []
    for i, secret in enumerate(hooks):
        if not _HOOK_SECRET.fullmatch(secret):
            message = "must be the signing secret that Stripe shows for the endpoint: whsec_…"
            errors.append(FieldError(f"{pointer}/stripe_webhook_secrets/{i}", "bad_secret", message))
    endpoints = [_build_endpoint(e, f"{pointer}/endpoints/{i}", base, errors) for i, e in enumerate(entry.endpoints)]
    ids = [e.id for e in entry.endpoints]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    errors += [FieldError(f"{pointer}/endpoints", "repeated", f"has the id {i} more than once") for i in twice]
    return Tenant(
        id=name,
        stripe_secret_key=key,
        stripe_webhook_secrets=tuple(hooks),
        endpoints=tuple(endpoints),
        policies=policies,
        cool_off_seconds=entry.cool_off_seconds,
        requests_per_second=entry.requests_per_second,
        sources=tuple(
            _build_source(source, e, f"{pointer}/sources/{source}", base, errors) for source, e in entry.sources.items()
        ),
    )


def _check_mode(key: str, networks: dict[NetworkId, Network], pointer: str, errors: list[FieldError]) -> None:
    """Test money never asks for real coins, nor real money for test coins."""
    match = _STRIPE_KEY.fullmatch(key)
    if match is None:
        errors.append(FieldError(pointer, "bad_key", "must be a Stripe secret key: sk_test_…, sk_live_…, rk_…"))
        return
    live = match[2] == "live"
    wrong = [n.name for n in networks.values() if n.test is live]
    if wrong:
        kind, other = ("a live key", "test") if live else ("a test key", "real")
        message = f"is {kind}, but these are {other} networks: {', '.join(wrong)}"
        errors.append(FieldError(pointer, "mode_mismatch", message))


def _build_endpoint(entry: EndpointEntry, pointer: str, base: Path, errors: list[FieldError]) -> Endpoint:
    secrets = _read_signing_secrets(entry, pointer, base, errors)
    if entry.id == CONSOLE_ENDPOINT:
        errors.append(FieldError(f"{pointer}/id", "reserved", "is the name of the console, where events are printed"))
    if not names_host(entry.url):
        errors.append(FieldError(f"{pointer}/url", "bad_url", "must name a host, and a port from 1 to 65535 if any"))
    return Endpoint(
        id=entry.id,
        url=entry.url,
        secrets=secrets,
        events=tuple(entry.events),
        include_links=entry.include_links,
        enabled=entry.enabled,
    )


def _build_source(name: str, entry: SourceEntry, pointer: str, base: Path, errors: list[FieldError]) -> Source:
    return Source(name, _read_signing_secrets(entry, pointer, base, errors))


def _build_operator(entry: OperatorEntry, base: Path, errors: list[FieldError]) -> Operator:
    """A program, an endpoint, both, or neither."""
    command = tuple(entry.command or ())
    if command and not command[0].strip():
        errors.append(FieldError("/operator/command/0", "empty", "must name a program"))
    if entry.url is None:
        given = [name for name in ("secret", "secret_file", "old_secrets") if getattr(entry, name)]
        errors += [FieldError(f"/operator/{n}", "needless", "signs nothing without /operator/url") for n in given]
        return Operator(command)
    if not names_host(entry.url):
        errors.append(FieldError("/operator/url", "bad_url", "must name a host, and a port from 1 to 65535 if any"))
    secrets = _read_signing_secrets(entry, "/operator", base, errors)
    return Operator(command, Endpoint(id=OPERATOR_ENDPOINT, url=entry.url, secrets=secrets))


def _read_signing_secrets(
    entry: EndpointEntry | OperatorEntry | SourceEntry, pointer: str, base: Path, errors: list[FieldError]
) -> tuple[str, ...]:
    """The secret in use, then those it replaces."""
    secret = _read_secret(entry.secret, entry.secret_file, f"{pointer}/secret", base, errors)
    if entry.secret is None and entry.secret_file is None:
        errors.append(FieldError(f"{pointer}/secret", "required", "is missing: whsec_ and 24 to 64 bytes in base64"))
    secrets = ([secret] if secret else []) + [s.get_secret_value() for s in entry.old_secrets]
    if not all(_is_signing_secret(value) for value in secrets):
        errors.append(FieldError(f"{pointer}/secret", "bad_secret", "must be whsec_ and 24 to 64 bytes in base64"))
    return tuple(secrets)


def _is_signing_secret(value: str) -> bool:
    try:
        return value.startswith("whsec_") and len(base64.b64decode(value[6:], validate=True)) in SECRET_BYTES
    except (binascii.Error, ValueError):
        return False


def _read_secret(
    value: SecretStr | None, file: str | None, pointer: str, base: Path, errors: list[FieldError]
) -> str | None:
    """A secret given as it is, or by the file that holds it."""
    if value is not None and file is not None:
        errors.append(
            FieldError(pointer, "given_twice", f"is given twice, here and as {pointer.rpartition('/')[2]}_file")
        )
    if file is None:
        text = None if value is None else value.get_secret_value()
    else:
        pointer = f"{pointer}_file"
        try:
            text = find_path(file, base).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            errors.append(FieldError(pointer, "unreadable", f"can't be read: {type(error).__name__}"))
            return None
    if text == "":
        errors.append(FieldError(pointer, "empty", "is empty"))
        return None
    return text
