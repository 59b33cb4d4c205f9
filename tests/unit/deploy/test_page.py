"""docs/containers.md says what is so: its commands are the program's, its files are there, its figures are theirs."""

import re
import shlex

import pytest
import yaml  # type: ignore[import-untyped]  # ships no type information

from tests.composition import ROOT, read_services
from tests.unit.deploy.test_compose import parse_words

PAGE = (ROOT / "docs/containers.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line[2:] for block in BLOCKS for line in block.splitlines() if line[:2] in ("$ ", "# ")]
OURS = re.compile(r"topup-watcher ((?:run|check|init|keys|wallets|sandbox)\b[^|&>`\n]*)")


@pytest.mark.parametrize("words", OURS.findall(PAGE), ids=str)
def test_each_command_of_ours_is_one(words: str) -> None:
    """As the program's own parser reads it."""
    parse_words(shlex.split(words))


def test_commands_were_found() -> None:
    """The page has all of these, or the test above looks at nothing."""
    assert {found.split()[0] for found in OURS.findall(PAGE)} >= {"init", "keys"}
    assert {command.split()[0] for command in COMMANDS} >= {"docker", "kubectl", "systemctl", "useradd", "curl"}


def test_each_service_and_profile_is_one() -> None:
    """What Compose is told by name; a run or an exec in a service of ours takes commands of ours."""
    services = read_services()
    found = [shlex.split(command, comments=True) for command in COMMANDS if command.startswith("docker compose")]
    for words in found:
        if "--profile" in words:
            assert words[words.index("--profile") + 1] in {p for s in services.values() for p in s.profiles}
        if {"run", "exec"} & set(words):
            place = words.index("watcher")
            rest = words[place + 1 :]
            parse_words(rest[1:] if rest[0] == "topup-watcher" else rest)
    assert any("check" in words for words in found)


def test_each_file_that_it_names_is_there() -> None:
    """Of this repository."""
    paths = set(re.findall(r"(?<![\w./])(?:deploy|config|tests)/[\w./-]+\w", PAGE))
    assert len(paths) >= 5
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_ports_user_and_places_are_theirs() -> None:
    """The user's number, the unit's folders and program, the variables, the manifest's names."""
    unit = (ROOT / "deploy/systemd/topup-watcher.service").read_text(encoding="utf-8")
    for place in (
        "/opt/topup-watcher/bin/topup-watcher",
        "/etc/topup-watcher/watcher.toml",
        "/etc/topup-watcher/environment",
    ):
        assert place in unit
        assert place in PAGE
    assert "User=topup-watcher" in unit
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "user 10001" in PAGE
    assert "USER 10001:" in dockerfile
    for variable in ("TOPUP_LISTEN=0.0.0.0:8080", "TOPUP_DATA_DIR=/data"):
        assert variable in PAGE
        assert variable in dockerfile
    composition = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    for name in ("POSTGRES_PASSWORD", "WATCHER_PORT", "WATCHER_CONFIG"):
        assert name in PAGE
        assert f"${{{name}:-" in composition
    manifests = list(yaml.safe_load_all((ROOT / "deploy/kubernetes/topup-watcher.yaml").read_text(encoding="utf-8")))
    names = {f"{found['kind']}/{found['metadata']['name']}" for found in manifests}
    assert "Deployment/topup-watcher" in names
    assert "deployment/topup-watcher --" in PAGE
