"""How many sessions a second, when a wave is a storm, and who is told: taken as said, refused with its place."""

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.load import load_settings
from config.model import Brake
from tests.unit.config.files import SECRET

BASE = """\
[networks.local-evm]
http = ["http://127.0.0.1:8545"]
[networks.local-solana]
http = ["http://127.0.0.1:8899"]
[tenants.default]
"""
LIVE = """\
[networks.ethereum]
http = ["https://rpc.example"]
[tenants.default]
stripe_secret_key = "sk_live_x"
"""


def write(tmp: Path, text: str) -> Path:
    path = tmp / "watcher.toml"
    path.write_text(text)
    return path


def faults(tmp: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp, text))
    return [error.field for error in caught.value.errors]


def test_the_rate_follows_the_key_unless_it_is_said(tmp_path: Path) -> None:
    """20 a second with a live key, 10 with a test key or none."""
    assert load_settings(write(tmp_path, BASE)).sessions_per_second == 10
    assert load_settings(write(tmp_path, LIVE)).sessions_per_second == 20
    assert load_settings(write(tmp_path, "[stripe]\nsessions_per_second = 3\n" + LIVE)).sessions_per_second == 3
    assert faults(tmp_path, "[stripe]\nsessions_per_second = 0\n" + BASE) == ["/stripe/sessions_per_second"]


def test_a_network_may_have_a_brake_of_its_own(tmp_path: Path) -> None:
    """One under the network takes the place of the one for all; without either there is still one."""
    said = "[brake]\nshare_percent = 50\nminimum = 20\n" + BASE + "[networks.local-evm.brake]\nwindow_seconds = 5\n"
    networks = {n.name: n.brake for n in load_settings(write(tmp_path, said)).networks.values()}
    assert networks == {"local-evm": Brake(window_seconds=5), "local-solana": Brake(share_percent=50, minimum=20)}
    assert {n.brake for n in load_settings(write(tmp_path, BASE)).networks.values()} == {Brake(30, 200, 600)}
    assert faults(tmp_path, "[brake]\nminimum = 1\nshare_percent = 101\n" + BASE) == [
        "/brake/share_percent",
        "/brake/minimum",
    ]


def test_the_operator_is_told_by_a_program_or_an_endpoint(tmp_path: Path) -> None:
    """Both are kept out of every repr; an endpoint without a secret, or a secret without one, is refused."""
    said = f'[operator]\ncommand = ["/bin/page", "now"]\nurl = "https://ops.example/x"\nsecret = "{SECRET}"\n' + BASE
    settings = load_settings(write(tmp_path, said))
    assert settings.operator.command == ("/bin/page", "now")
    assert settings.operator.endpoint is not None
    assert settings.operator.endpoint.secrets == (SECRET,)
    assert SECRET not in repr(settings)
    assert "ops.example" not in repr(settings)
    assert faults(tmp_path, '[operator]\nurl = "https://ops.example/x"\n' + BASE) == ["/operator/secret"]
    assert faults(tmp_path, f'[operator]\nsecret = "{SECRET}"\n' + BASE) == ["/operator/secret"]
    assert faults(tmp_path, "[operator]\ncommand = []\n" + BASE) == ["/operator/command"]
