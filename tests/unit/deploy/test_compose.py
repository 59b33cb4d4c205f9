"""docker-compose.yml against the Compose specification, and against what the program really has."""

import ast
import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from typer.main import get_command

from config.load import load_settings
from config.model import Settings
from examples.backend.__main__ import read_options
from tests.composition import ROOT, Service, read_composition, read_services
from watcher.cli import app

SCHEMA = json.loads((ROOT / "tests/schemas/compose-spec.json").read_text(encoding="utf-8"))
SERVICES = read_services()
OURS = [service for service in SERVICES.values() if service.image == "topup-watcher"]
URL = re.compile(r"\b(?:http|ws|postgresql)://(?:\w+@)?([a-z]+):(\d+)")
LISTENS = {"postgres": {5432}, "anvil": {8545}, "solana": {8899, 8900}, "sandbox": {8010}, "watcher": {8080}}
"""What each program listens on, told by its own command below, or by its image."""


def config_of(service: Service) -> Path:
    source = next(mount[0] for mount in service.mounts if mount[1].endswith("watcher.toml"))
    return ROOT / source


def parse_words(words: list[str]) -> dict[str, Any]:
    """Options of a command of ours, as its own parser reads them. Raises click's UsageError."""
    command: Any = get_command(app)
    context = command.make_context("topup-watcher", list(words), resilient_parsing=False)
    while hasattr(command, "get_command"):
        left = [*context._protected_args, *context.args]
        name, command, left = command.resolve_command(context, left)
        context = command.make_context(name, left, parent=context)
    return dict(context.params)


def find_commands(service: Service) -> Iterator[list[str]]:
    """Each call of `topup-watcher` in a service: its command, or those of its shell script."""
    if "entrypoint" not in service.raw:
        yield service.words or ["run", "--config", "/etc/topup-watcher/watcher.toml"]
        return
    lexer = shlex.shlex(service.words[-1], posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    call: list[str] | None = None
    for word in lexer:
        if word == "topup-watcher":
            call = []
        elif call is not None and set(word) <= set("<>|&;(){}"):
            yield call
            call = None
        elif call is not None:
            call.append(word)


def settings_of(service: Service, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the daemon's own loader makes of the mounted file and the environment, the image's included."""
    for name in [name for name in os.environ if name.startswith("TOPUP_")]:
        monkeypatch.delenv(name)
    image = {"TOPUP_DATA_DIR": "/data", "TOPUP_LISTEN": "0.0.0.0:8080"}
    for name, value in (image | service.environment).items():
        monkeypatch.setenv(name, value)
    return load_settings(config_of(service))


def test_it_is_what_the_specification_says() -> None:
    """Known keys and well-formed values alone; a mistyped key is found."""
    validator = jsonschema_rs.validator_for(SCHEMA)
    assert [error.message for error in validator.iter_errors(read_composition())] == []
    wrong = read_composition()
    wrong["services"]["watcher"]["helthcheck"] = {}
    assert not validator.is_valid(wrong)


def test_by_default_it_is_the_daemon_and_its_database_alone() -> None:
    """Whatever is for the demo belongs to its profile, and nothing outside the profile waits for it."""
    assert {name for name, service in SERVICES.items() if not service.profiles} == {"postgres", "watcher"}
    assert {service.profiles for service in SERVICES.values()} == {(), ("dev",)}
    for service in SERVICES.values():
        for awaited in service.waits_for:
            assert set(SERVICES[awaited].profiles) <= set(service.profiles)


def test_what_is_waited_for_can_come_about() -> None:
    """`service_healthy` needs a health check, and nobody waits in a circle."""
    done: set[str] = set()
    while len(done) < len(SERVICES):
        free = {name for name, s in SERVICES.items() if name not in done and set(s.waits_for) <= done}
        assert free
        done |= free
    for service in SERVICES.values():
        for awaited, condition in service.waits_for.items():
            assert (condition == "service_healthy") == bool(SERVICES[awaited].health)


@pytest.mark.parametrize("service", OURS, ids=lambda service: service.name)
def test_its_commands_are_commands_of_ours(service: Service) -> None:
    """Each is read by the program's own parser; its configuration is what is mounted there."""
    for words in find_commands(service):
        options = parse_words(words)
        if "config" in options:
            targets = [mount[1] for mount in service.mounts]
            assert str(options["config"]) in targets


def test_every_kind_of_command_was_found() -> None:
    """A parser that finds nothing would prove nothing."""
    found = {words[0] for service in OURS for words in find_commands(service)}
    assert found == {"run", "sandbox", "keys"}


@pytest.mark.parametrize("name", ["watcher", "key"])
def test_the_mounted_configuration_is_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loader takes it, with the composition's own database and the port that is published."""
    settings = settings_of(SERVICES[name], monkeypatch)
    assert settings.database_url == "postgresql://topup@postgres:5432/topup"
    assert (settings.listen_host, settings.listen_port) == ("0.0.0.0", 8080)  # noqa: S104  inside a container
    postgres = SERVICES["postgres"].environment
    assert (postgres["POSTGRES_USER"], postgres["POSTGRES_DB"]) == ("topup", "topup")
    assert postgres["POSTGRES_PASSWORD"] == SERVICES[name].environment["PGPASSWORD"]


def test_secrets_and_names_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox signs with what the daemon accepts, the daemon with what the example accepts, at the right doors."""
    settings = settings_of(SERVICES["watcher"], monkeypatch)
    (tenant,) = settings.tenants.values()
    (words,) = find_commands(SERVICES["sandbox"])
    sandbox = parse_words(words)
    assert sandbox["webhook_secret"] in tenant.stripe_webhook_secrets
    assert sandbox["webhook_url"] == "http://watcher:8080/webhooks/stripe"
    assert (settings.stripe_api_base, sandbox["listen"]) == ("http://sandbox:8010", "0.0.0.0:8010")
    assert [sandbox["evm_rpc"], sandbox["solana_rpc"]] == [n.http_urls[0] for n in settings.networks.values()]
    endpoint = next(endpoint for endpoint in tenant.endpoints if endpoint.id == "example")
    example = read_example()
    assert endpoint.url == f"http://example:{example.port}/hook"
    assert set(endpoint.secrets) & set(SERVICES["example"].environment["TOPUP_WEBHOOK_SECRETS"].split())
    assert SERVICES["example"].environment["TOPUP_URL"] == "http://watcher:8080"
    watched = {address.split("=")[0] for _, address in example.wallet}
    assert watched == {network.name for network in settings.networks.values()}


def read_example() -> Any:
    words = shlex.split(SERVICES["example"].words[-1])
    return read_options(words[words.index("examples.backend") + 1 :])


def test_each_address_is_one_where_something_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every `name:port` in commands, environment and configuration."""
    listens = {**LISTENS, "example": {read_example().port}}
    (words,) = find_commands(SERVICES["sandbox"])
    assert parse_words(words)["listen"].endswith(":8010")
    assert settings_of(SERVICES["watcher"], monkeypatch).listen_port == 8080
    text = json.dumps(read_composition()["services"]) + config_of(SERVICES["watcher"]).read_text(encoding="utf-8")
    found = {(host, int(port)) for host, port in URL.findall(text)}
    assert found
    assert {(host, port) for host, port in found if port not in listens.get(host, ())} == set()
    for service in SERVICES.values():
        assert {inside for _, inside in service.published} <= listens.get(service.name, set())


def test_only_this_machine_reaches_it() -> None:
    """Ports are published on loopback; the operator says where else."""
    for service in SERVICES.values():
        assert all(outside.startswith("127.0.0.1:") for outside, _ in service.published)
    assert SERVICES["postgres"].published == []


def test_links_lead_to_a_published_port() -> None:
    """A browser on this machine opens what the sandbox hands out."""
    (words,) = find_commands(SERVICES["sandbox"])
    public = parse_words(words)["public_url"]
    assert public.removeprefix("http://") in {outside for outside, _ in SERVICES["sandbox"].published}


@pytest.mark.parametrize(
    "service", [s for s in SERVICES.values() if s.health and s.health[1] == "python"], ids=lambda s: s.name
)
def test_health_checks_ask_what_is_there(service: Service) -> None:
    """A URL of the program itself: a port that it listens on, a path that it has, within the time of the check."""
    _, _, flag, code = service.health
    assert flag == "-c"
    call = next(node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call))
    url = str(ast.literal_eval(call.args[0]))
    found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/.*)", url)
    assert found
    port, path = found.groups()
    assert int(port) in {inside for _, inside in service.published}
    source = {
        "watcher": "watcher/api/health.py",
        "sandbox": "notifier/sandbox",
        "example": "examples/backend/__main__.py",
    }
    assert path in find_get_paths(ROOT / source[service.name])
    seconds = ast.literal_eval(call.keywords[0].value)
    assert call.keywords[0].arg == "timeout"
    assert seconds < int(service.raw["healthcheck"]["timeout"].removesuffix("s"))


def find_get_paths(source: Path) -> set[str]:
    """Paths of the GET routes that some code adds."""
    paths: set[str] = set()
    for file in [source] if source.is_file() else source.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
                continue
            if ast.unparse(node.func).endswith(("add_get", "web.get")):
                paths.add(str(node.args[0].value))
    return paths


@pytest.mark.parametrize("service", [s for s in SERVICES.values() if s.name != "postgres"], ids=lambda s: s.name)
def test_each_is_hardened(service: Service) -> None:
    """Read-only root, no capabilities, no way to more; what is mounted exists, read-only unless a volume."""
    assert service.raw["read_only"] is True
    assert service.raw["cap_drop"] == ["ALL"]
    assert service.raw["security_opt"] == ["no-new-privileges:true"]
    volumes = read_composition()["volumes"]
    for source, _, *mode in service.mounts:
        if source in volumes:
            continue
        assert (ROOT / source).exists()
        assert mode == ["ro"]


def test_what_is_built_is_there() -> None:
    """Dockerfiles of the composition, and every image of ours built by one of its services."""
    built = {s.image: s.raw["build"] for s in SERVICES.values() if "build" in s.raw}
    assert set(built) == {"topup-watcher", "topup-watcher-chains"}
    for build in built.values():
        assert (ROOT / build.get("dockerfile", "Dockerfile")).is_file()


def test_the_example_environment_names_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line of .env.example is a variable of the composition, or a setting of the daemon's."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    given = {name: value.strip("'") for name, _, value in pairs}
    own = {name for name in given if not name.startswith("TOPUP_")}
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert own == {name for name in own if f"${{{name}:-" in text}
    settings = settings_of(SERVICES["watcher"], monkeypatch)
    for name in given.keys() - own:
        monkeypatch.setenv(name, given[name])
    changed = load_settings(config_of(SERVICES["watcher"]))
    assert changed.tenants["default"].stripe_secret_key == given["TOPUP_TENANTS__DEFAULT__STRIPE_SECRET_KEY"]
    assert settings.tenants["default"].stripe_secret_key != changed.tenants["default"].stripe_secret_key
