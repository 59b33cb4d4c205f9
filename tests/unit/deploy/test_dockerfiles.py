"""The Dockerfiles, read as far as that goes without building: the image itself is built in tests/acceptance."""

import ast
import fnmatch
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.composition import ROOT, read_composition
from watcher.cli import app

FILES = [ROOT / "Dockerfile", ROOT / "deploy/chains.Dockerfile"]


def read_instructions(file: Path) -> list[tuple[str, str]]:
    """Keyword and the rest, continued lines joined, comments left out."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1].strip()) for line in joined if line.strip()]


def find(file: Path, keyword: str) -> list[str]:
    return [rest for word, rest in read_instructions(file) if word == keyword]


def find_copied(file: Path) -> list[str]:
    """Sources of COPY that come from the checkout."""
    copies = [shlex.split(rest) for rest in find(file, "COPY")]
    return [source for words in copies if not words[0].startswith("--from") for source in words[:-1]]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_base_is_an_argument_with_a_pinned_default(file: Path) -> None:
    """Every stage is made of it; a tag that moves from one minor release to another is not pinned."""
    (base,) = find(file, "ARG")
    assert re.fullmatch(r"BASE=(python:3\.\d+\.\d+|node:\d+\.\d+\.\d+)-(slim-bookworm|bookworm-slim)", base)
    assert {rest.split()[0] for rest in find(file, "FROM")} == {"${BASE}"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_is_copied_exists_and_is_sent(file: Path) -> None:
    """A path of the checkout that .dockerignore lets through; the last rule that fits decides."""
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    rules = [rule for rule in rules if rule and not rule.startswith("#")]
    assert find_copied(file)
    for source in find_copied(file):
        assert (ROOT / source).exists()
        sent = True
        for rule in rules:
            if fnmatch.fnmatchcase(source, rule.removeprefix("!")):
                sent = rule.startswith("!")
        assert sent, source


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_does_not_run_as_root(file: Path) -> None:
    """A number, which an engine that refuses root can check."""
    user, _, group = find(file, "USER")[-1].partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_the_composition_and_the_file_name_one_base() -> None:
    """Both defaults are the same."""
    args = read_composition()["services"]["watcher"]["build"]["args"]
    assert find(FILES[0], "ARG") == [f"BASE={args['BASE']}"]


def test_every_package_is_in_the_image() -> None:
    """What the distribution is made of is what is copied."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r"^packages = (\[.*\])$", text, re.MULTILINE)
    assert found
    assert set(ast.literal_eval(found.group(1))) <= set(find_copied(FILES[0]))


def test_its_start_and_its_health_check_are_the_programs() -> None:
    """`topup-watcher run`; the check asks for a path that exists, on the port that is exposed and listened on."""
    from typer.main import get_command  # noqa: PLC0415

    (start,), (words,) = find(FILES[0], "ENTRYPOINT"), find(FILES[0], "CMD")
    assert json.loads(start) == ["/venv/bin/topup-watcher"]
    command: Any = get_command(app)
    name, *options = json.loads(words)
    assert command.commands[name].make_context(name, options).params["config"].name == "watcher.toml"
    (port,) = find(FILES[0], "EXPOSE")
    (check,) = find(FILES[0], "HEALTHCHECK")
    assert f"http://127.0.0.1:{port}/healthz" in check
    assert '"/healthz"' in (ROOT / "watcher/api/health.py").read_text(encoding="utf-8")
    assert any(f"TOPUP_LISTEN=0.0.0.0:{port}" in rest for rest in find(FILES[0], "ENV"))


def test_the_chains_are_those_of_the_lock_file() -> None:
    """The programs that the composition starts come with the packages of package.json, and with what is copied."""
    services = read_composition()["services"]
    anvil, surfpool = services["anvil"]["command"], services["solana"]["command"]
    assert anvil[0] == "anvil"
    assert surfpool[:2] == ["node", "surfpool.mjs"]
    assert "tests/nodes/surfpool.mjs" in find_copied(FILES[1])
    wanted = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))["dependencies"]
    imported = re.findall(r"require\('([^']+)'\)", (ROOT / "tests/nodes/surfpool.mjs").read_text(encoding="utf-8"))
    assert set(imported) <= set(wanted)
    assert "@foundry-rs/anvil-linux-amd64" in wanted
