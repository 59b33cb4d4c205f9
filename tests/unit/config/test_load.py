"""The configuration as a file, with the environment over it: taken whole, or refused with every fault."""

import stat
import textwrap
from pathlib import Path
from typing import Any

import pytest

from chains.model import NATIVE, NetworkId
from config.errors import ConfigError
from config.example import write_example
from config.load import load_settings
from config.model import Level
from tests.unit.config.files import SECRET, Change, faults, load, sound, write

ETHEREUM = NetworkId("eip155:1")
USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os  # noqa: PLC0415  only to clear what a developer has set

    for name in [n for n in os.environ if n.upper().startswith("TOPUP_")]:
        monkeypatch.delenv(name)


def test_a_sound_file_becomes_settings_in_base_units(tmp_path: Path) -> None:
    """Names are resolved and amounts are whole numbers, once and for all."""
    settings = load(tmp_path)
    network = settings.networks[ETHEREUM]
    policy = settings.tenants["default"].policies["default"]
    assert (network.name, network.chain_id, network.close_confirmations) == ("ethereum", 1, 12)
    assert [(a.asset.symbol, a.asset.reference) for a in network.assets] == [("ETH", NATIVE), ("USDC", USDC)]
    assert [(e.asset, e.trigger, e.target) for e in policy.low] == [
        (USDC, Level(amount=20_000_000), Level(amount=50_000_000))
    ]
    assert settings.tenants["default"].livemode
    assert settings.tenants["default"].requests_per_second == 50
    assert settings.data_dir == tmp_path / "data"


def test_the_example_loads_as_it_is(tmp_path: Path) -> None:
    """What `init` writes is a configuration that `run` takes."""
    path = tmp_path / "watcher.toml"
    write_example(path)
    settings = load_settings(path)
    assert [n.name for n in settings.networks.values()] == ["local-evm", "local-solana"]
    assert [len(p.low) for p in settings.tenants["default"].policies.values()] == [2]
    assert settings.stripe_api_base == "http://127.0.0.1:8010"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_token_of_the_example_loads_too(tmp_path: Path) -> None:
    """The commented token is correct as it stands."""
    write_example(tmp_path / "watcher.toml")
    lines = (tmp_path / "watcher.toml").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line == "# [[networks.local-evm.assets]]")
    for i in range(start, start + 6):
        lines[i] = lines[i].removeprefix("# ")
    (tmp_path / "full.toml").write_text("\n".join(lines))
    assets = load_settings(tmp_path / "full.toml").networks[NetworkId("eip155:31337")].assets
    assert [a.asset.symbol for a in assets] == ["ETH", "USDC"]
    assert assets[1].onramp is not None


def test_the_example_never_overwrites(tmp_path: Path) -> None:
    """A configuration that is there already is not touched."""
    path = tmp_path / "watcher.toml"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="is there already"):
        write_example(path)
    assert path.read_text() == "mine"


CASES: dict[str, tuple[Change, tuple[str, str]]] = {
    "a rate of nothing": (
        lambda c: c["tenants"]["default"].update(requests_per_second=0),
        ("/tenants/default/requests_per_second", "greater_than_equal"),
    ),
    "unknown network": (
        lambda c: c["networks"].update(dogechain={"http": ["https://x.example"]}),
        ("/networks/dogechain", "unknown_network"),
    ),
    "one network under two names": (
        lambda c: c["networks"].update({"eip155:1": {"http": ["https://x.example"]}}),
        ("/networks/eip155:1", "repeated"),
    ),
    "http for a websocket": (
        lambda c: c["networks"]["ethereum"].update(ws=["https://x.example"]),
        ("/networks/ethereum/ws/0", "bad_url"),
    ),
    "another scheme": (
        lambda c: c["networks"]["ethereum"].update(http=["ftp://x.example"]),
        ("/networks/ethereum/http/0", "bad_url"),
    ),
    "no host": (
        lambda c: c["networks"]["ethereum"].update(http=["http://"]),
        ("/networks/ethereum/http/0", "bad_url"),
    ),
    "limits of an unknown asset": (
        lambda c: c["networks"]["ethereum"].update(limits={"DOGE": {"minimum": "1"}}),
        ("/networks/ethereum/limits/DOGE", "unknown_asset"),
    ),
    "a number for an amount": (
        lambda c: c["networks"]["ethereum"].update(limits={"USDC": {"minimum": 0}}),
        ("/networks/ethereum/limits/USDC/minimum", "not_a_decimal"),
    ),
    "a maximum below the minimum": (
        lambda c: c["networks"]["ethereum"].update(limits={"USDC": {"maximum": "4"}}),
        ("/networks/ethereum/limits/USDC/maximum", "less_than_minimum"),
    ),
    "an asset that stands in the catalogue": (
        lambda c: c["networks"]["ethereum"].update(assets=[{"symbol": "USDX", "decimals": 6, "reference": USDC}]),
        ("/networks/ethereum/assets", "repeated"),
    ),
    "a second token under Stripe's name of the first": (
        lambda c: c["networks"]["ethereum"].update(
            assets=[
                {
                    "symbol": "USDC.e",
                    "decimals": 6,
                    "reference": "0x2791bca1f2de4661ed88a30c99a7a9449aa84174",
                    "stripe": {"currency": "usdc", "network": "ethereum", "decimals": 6, "sold": ["us"]},
                }
            ]
        ),
        ("/networks/ethereum/assets", "repeated"),
    ),
    "an asset at a bad address": (
        lambda c: c["networks"]["ethereum"].update(assets=[{"symbol": "X", "decimals": 6, "reference": "0x12"}]),
        ("/networks/ethereum/assets/X/reference", "not_an_address"),
    ),
    "a policy of a network that is not configured": (
        lambda c: c["policies"]["default"].update(networks=["base"]),
        ("/policies/default/networks/0", "unknown_network"),
    ),
    "trigger not below target": (
        lambda c: c["policies"]["default"]["funding"][0].update(trigger="50"),
        ("/policies/default/funding/0/trigger", "not_less"),
    ),
    "a trigger as a number": (
        lambda c: c["policies"]["default"]["funding"][0].update(trigger=20),
        ("/policies/default/funding/0/trigger", "not_a_decimal"),
    ),
    "a malformed key": (
        lambda c: c["tenants"]["default"].update(stripe_secret_key="pk_live_KEY"),
        ("/tenants/default/stripe_secret_key", "bad_key"),
    ),
    "a test key with a real network": (
        lambda c: c["tenants"]["default"].update(stripe_secret_key="sk_test_KEY"),
        ("/tenants/default/stripe_secret_key", "mode_mismatch"),
    ),
    "a live key with a test network": (
        lambda c: c["networks"].update(sepolia={"http": ["https://x.example"]}),
        ("/tenants/default/stripe_secret_key", "mode_mismatch"),
    ),
    "a live restricted key with a local network": (
        lambda c: (
            c["networks"].update({"local-evm": {"http": ["http://127.0.0.1:8545"]}}),
            c["tenants"]["default"].update(stripe_secret_key="rk_live_KEY"),
        ),
        ("/tenants/default/stripe_secret_key", "mode_mismatch"),
    ),
    "a live key in clear": (
        lambda c: c.update(stripe={"api_base": "http://stripe.example"}),
        ("/stripe/api_base", "not_encrypted"),
    ),
    "no shard": (
        lambda c: c["networks"]["ethereum"].update(shards=0),
        ("/networks/ethereum/shards", "greater_than_equal"),
    ),
    "an empty key": (
        lambda c: c["tenants"]["default"].update(stripe_secret_key=""),
        ("/tenants/default/stripe_secret_key", "empty"),
    ),
    "a webhook secret of another kind": (
        lambda c: c["tenants"]["default"].update(stripe_webhook_secrets=["sk_live_KEY"]),
        ("/tenants/default/stripe_webhook_secrets/0", "bad_secret"),
    ),
    "an endpoint secret that is too short": (
        lambda c: c["tenants"]["default"]["endpoints"][0].update(secret="whsec_AAAA"),
        ("/tenants/default/endpoints/0/secret", "bad_secret"),
    ),
    "an endpoint secret that is no base64": (
        lambda c: c["tenants"]["default"]["endpoints"][0].update(secret="whsec_" + "-" * 40),
        ("/tenants/default/endpoints/0/secret", "bad_secret"),
    ),
    "an old endpoint secret that is too short": (
        lambda c: c["tenants"]["default"]["endpoints"][0].update(old_secrets=["whsec_AAAA"]),
        ("/tenants/default/endpoints/0/secret", "bad_secret"),
    ),
    "an endpoint that takes the console's name": (
        lambda c: c["tenants"]["default"]["endpoints"][0].update(id="console"),
        ("/tenants/default/endpoints/0/id", "reserved"),
    ),
    "an endpoint at a port that does not exist": (
        lambda c: c["tenants"]["default"]["endpoints"][0].update(url="https://backend.example:99999/hooks"),
        ("/tenants/default/endpoints/0/url", "bad_url"),
    ),
    "an endpoint at no host": (
        lambda c: c["tenants"]["default"]["endpoints"][0].update(url="https://:443/hooks"),
        ("/tenants/default/endpoints/0/url", "bad_url"),
    ),
    "Stripe at half an address": (
        lambda c: c.update(stripe={"api_base": "https://[::1"}),
        ("/stripe/api_base", "bad_url"),
    ),
    "an endpoint without a secret": (
        lambda c: c["tenants"]["default"]["endpoints"][0].pop("secret"),
        ("/tenants/default/endpoints/0/secret", "required"),
    ),
    "two endpoints of one id": (
        lambda c: c["tenants"]["default"]["endpoints"].append(c["tenants"]["default"]["endpoints"][0]),
        ("/tenants/default/endpoints", "repeated"),
    ),
    "a secret given twice": (
        lambda c: c["tenants"]["default"].update(stripe_secret_key_file="key"),
        ("/tenants/default/stripe_secret_key", "given_twice"),
    ),
    "a secret file that is not there": (
        lambda c: c["tenants"]["default"].update(stripe_webhook_secret_file="nothing"),
        ("/tenants/default/stripe_webhook_secret_file", "unreadable"),
    ),
    "a database that is not PostgreSQL": (
        lambda c: c.update(database={"url": "mysql://x"}),
        ("/database/url", "bad_url"),
    ),
    "a port that does not exist": (lambda c: c.update(listen="127.0.0.1:70000"), ("/listen", "bad_port")),
    "a fixed gas buffer for every network": (
        lambda c: c["policies"]["default"].update(gas_buffer={"amount": "1"}),
        ("/policies/default/gas_buffer", "not_a_level"),
    ),
    "no network": (lambda c: (c.update(networks={}), c.update(policies={})), ("/networks", "required")),
    "no tenant": (lambda c: c.update(tenants={}), ("/tenants", "required")),
    "an unknown key": (lambda c: c.update(lisen="x"), ("/lisen", "extra_forbidden")),
    "an unknown key deep inside": (
        lambda c: c["tenants"]["default"]["endpoints"][0].update(urls="x"),
        ("/tenants/default/endpoints/0/urls", "extra_forbidden"),
    ),
    "a key that only looks like a setting of the reader": (
        lambda c: c.update(_env_file="x"),
        ("/_env_file", "extra_forbidden"),
    ),
    "a word for a number": (
        lambda c: c["policies"]["default"].update(cooldown_seconds="soon"),
        ("/policies/default/cooldown_seconds", "int_parsing"),
    ),
    "an event pattern that nothing matches": (
        lambda c: c["tenants"]["default"]["endpoints"][0].update(events=["top_up"]),
        ("/tenants/default/endpoints/0/events/0", "string_pattern_mismatch"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_refused_at_its_place(tmp_path: Path, name: str) -> None:
    """Each mistake is found, named by its field, and the only thing complained of."""
    change, fault = CASES[name]
    (tmp_path / "key").write_text("sk_live_KEY")
    assert faults(tmp_path, change) == {fault}


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    """One run shows all there is to mend: unknown keys, wrong values, and what does not fit together."""
    changes = (
        "an unknown key",
        "unknown network",
        "a word for a number",
        "trigger not below target",
        "a test key with a real network",
        "an endpoint secret that is too short",
    )
    chosen = [CASES[name] for name in changes]

    def break_all(content: dict[str, Any]) -> None:
        for change, _ in chosen:
            change(content)

    assert faults(tmp_path, break_all) == {fault for _, fault in chosen}


def test_a_fault_names_file_place_and_reason(tmp_path: Path) -> None:
    """What the operator reads is enough to find the line."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, lambda c: c["policies"]["default"].update(networks=["base"]))
    path = tmp_path / "watcher.toml"
    assert str(caught.value) == f"{path}: /policies/default/networks/0: names base, which is not under [networks]"


@pytest.mark.parametrize("name", CASES)
def test_no_fault_shows_a_secret(tmp_path: Path, name: str) -> None:
    """Keys, signing secrets and URLs stay out of what is printed."""
    (tmp_path / "key").write_text("sk_live_KEY")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, CASES[name][0])
    assert not [word for word in ("KEY", SECRET, "AAAA", "x.example", "mysql") if word in str(caught.value)]


def test_settings_show_no_secret(tmp_path: Path) -> None:
    """Nor do the settings, wherever they are printed."""

    def change(content: dict[str, Any]) -> None:
        content.update(database={"url": "postgresql://u:KEY@db/topup"})
        content["tenants"]["default"]["endpoints"][0].update(url="https://u:KEY@backend.example/KEY?key=KEY")

    text = repr(load(tmp_path, change))
    assert not [word for word in ("KEY", SECRET, "rpc.example") if word in text]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"listen = ", "is not TOML"),
        (b"a = 1\na = 2", "is not TOML"),
        (b"\xff\xfe", "is not TOML"),
        (b"", "is missing"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: bytes, reason: str) -> None:
    """Broken TOML, a key given twice and other encodings end in a sentence, not a traceback."""
    path = tmp_path / "watcher.toml"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=reason):
        load_settings(path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    """The first mistake of all has its answer in the message."""
    with pytest.raises(ConfigError, match="topup-watcher init"):
        load_settings(tmp_path / "nothing.toml")


def test_the_environment_stands_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable replaces one value and leaves its neighbours."""
    monkeypatch.setenv("TOPUP_TENANTS__DEFAULT__STRIPE_SECRET_KEY", "rk_live_OTHER")
    monkeypatch.setenv("TOPUP_LISTEN", "[::1]:9000")
    tenant = (settings := load(tmp_path)).tenants["default"]
    assert tenant.stripe_secret_key == "rk_live_OTHER"
    assert [e.id for e in tenant.endpoints] == ["main"]
    assert (settings.listen_host, settings.listen_port) == ("::1", 9000)


@pytest.mark.parametrize("name", ["LOCAL_EVM", "LOCAL-EVM"])
def test_a_variable_can_name_a_network_with_a_hyphen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A shell can't write the hyphen, so an underscore stands for it."""
    path = tmp_path / "watcher.toml"
    write_example(path)
    monkeypatch.setenv(f"TOPUP_NETWORKS__{name}__HTTP", '["http://127.0.0.1:1234"]')
    network = load_settings(path).networks[NetworkId("eip155:31337")]
    assert network.http_urls == ("http://127.0.0.1:1234",)
    assert network.ws_urls == ("ws://127.0.0.1:8545",)


def test_a_variable_that_sets_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip in a variable's name is told, not passed over."""
    monkeypatch.setenv("TOPUP_TENANT__DEFAULT__STRIPE_SECRET_KEY", "sk_live_KEY")
    monkeypatch.setenv("TOPUP_LISTEN_TO", "x")
    assert faults(tmp_path) == {
        ("TOPUP_TENANT__DEFAULT__STRIPE_SECRET_KEY", "extra_forbidden"),
        ("TOPUP_LISTEN_TO", "extra_forbidden"),
    }


def test_a_variable_that_is_not_json_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole table from the environment must be readable."""
    monkeypatch.setenv("TOPUP_NETWORKS", "{KEY")
    with pytest.raises(ConfigError, match="written as JSON") as caught:
        load(tmp_path)
    assert "KEY" not in str(caught.value)


def test_secrets_are_read_from_files_beside_the_configuration(tmp_path: Path) -> None:
    """Relative paths are the file's neighbours, and the newline at the end is not part of the secret."""
    (tmp_path / "stripe").write_text("sk_live_FILED\n")
    (tmp_path / "hook").write_text("whsec_FILED0\n")
    (tmp_path / "endpoint").write_text(SECRET + "\n")
    (tmp_path / "db").write_text("postgresql:///topup\n")

    def use_files(content: dict[str, Any]) -> None:
        tenant = content["tenants"]["default"]
        del tenant["stripe_secret_key"], tenant["endpoints"][0]["secret"]
        tenant.update(stripe_secret_key_file="stripe", stripe_webhook_secret_file=str(tmp_path / "hook"))
        tenant["endpoints"][0].update(secret_file="endpoint")
        content["database"] = {"url_file": "db"}

    settings = load(tmp_path, use_files)
    tenant = settings.tenants["default"]
    assert (tenant.stripe_secret_key, tenant.stripe_webhook_secrets) == ("sk_live_FILED", ("whsec_FILED0",))
    assert (tenant.endpoints[0].secrets, settings.database_url) == ((SECRET,), "postgresql:///topup")


def test_an_empty_secret_file_is_refused(tmp_path: Path) -> None:
    """An endpoint is never left unsigned because its secret's file was empty."""
    (tmp_path / "endpoint").write_text("\n")

    def use_file(content: dict[str, Any]) -> None:
        endpoint = content["tenants"]["default"]["endpoints"][0]
        del endpoint["secret"]
        endpoint["secret_file"] = "endpoint"

    assert faults(tmp_path, use_file) == {("/tenants/default/endpoints/0/secret_file", "empty")}


def test_a_policys_version_follows_its_content(tmp_path: Path) -> None:
    """The same rules have the same version in any order of keys, and other rules another."""

    def version(change: Change | None = None) -> str:
        return load(tmp_path, change).tenants["default"].policies["default"].version

    def reorder(content: dict[str, Any]) -> None:
        policy = content["policies"]["default"]
        policy["funding"][0] = dict(reversed(policy["funding"][0].items()))
        content["policies"] = {"default": dict(reversed(policy.items()))}

    assert version() == version(reorder)
    assert version() != version(lambda c: c["policies"]["default"].update(cooldown_seconds=60))
    assert version() != version(lambda c: c["policies"]["default"]["funding"][0].update(trigger="21"))


def test_the_shortest_configuration_is_enough(tmp_path: Path) -> None:
    """A network and a tenant: everything is watched, nothing is asked for."""
    path = tmp_path / "watcher.toml"
    path.write_text(
        textwrap.dedent("""
            [networks."eip155:8453"]
            http = ["https://rpc.example"]
            [tenants.default]
        """)
    )
    settings = load_settings(path)
    assert settings.find_network("base") is settings.networks[NetworkId("eip155:8453")]
    assert settings.tenants["default"].stripe_secret_key is None
    assert settings.database_url is None
    assert not settings.allow_private_receivers


def test_the_file_writer_of_these_tests_writes_what_it_is_given(tmp_path: Path) -> None:
    """TOML that is read back is the same content."""
    import tomllib  # noqa: PLC0415  only here

    assert tomllib.loads(write(tmp_path, sound()).read_text()) == sound()
