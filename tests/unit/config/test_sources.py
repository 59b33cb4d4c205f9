"""Sources of inbound webhooks: each name is one tenant's, each secret is sound, and no repr shows one."""

import os
from pathlib import Path
from typing import Any

import pytest

from config.example import write_example
from config.load import load_settings
from tests.unit.config.files import SECRET, Change, faults, load

NEXT = "whsec_" + "QUJD" * 8
MAIN = "/tenants/default/sources/main"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.upper().startswith("TOPUP_")]:
        monkeypatch.delenv(name)


def sources(content: dict[str, Any], owner: str = "default", **entries: Any) -> object:
    """Give a tenant these sources."""
    return content["tenants"].setdefault(owner, {}).update(sources=entries)


def second(content: dict[str, Any]) -> object:
    """Two tenants with a source each."""
    return sources(content, main={"secret": SECRET}), sources(content, "other", theirs={"secret": NEXT})


def test_a_source_has_a_secret_and_those_it_replaces(tmp_path: Path) -> None:
    """All of them are accepted, whether written here or in a file beside the configuration."""
    (tmp_path / "main").write_text(NEXT + "\n")
    settings = load(tmp_path, lambda c: sources(c, main={"secret_file": "main", "old_secrets": [SECRET]}))
    (source,) = settings.tenants["default"].sources
    assert (source.name, source.secrets) == ("main", (NEXT, SECRET))
    assert SECRET not in repr(settings)
    assert NEXT not in repr(settings)


def test_a_secret_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it stands in no file."""
    monkeypatch.setenv("TOPUP_TENANTS__DEFAULT__SOURCES__MAIN__SECRET", SECRET)
    assert load(tmp_path).tenants["default"].sources[0].secrets == (SECRET,)


def test_a_name_finds_its_tenant(tmp_path: Path) -> None:
    """Each name is one source of one tenant; none at all is enough only where there is nothing to choose from."""
    alone = load(tmp_path, lambda c: sources(c, main={"secret": SECRET}))
    assert (found := alone.find_source(None)) is not None
    assert (found[0].id, found[1].name) == ("default", "main")
    two = load(tmp_path, lambda c: sources(c, main={"secret": SECRET}, next={"secret": NEXT}))
    both = load(tmp_path, second)
    assert (found := both.find_source("theirs")) is not None
    assert found[0].id == "other"
    empty = load(tmp_path, lambda c: (sources(c, main={"secret": SECRET}), c["tenants"].update(other={})))
    assert [s.find_source(None) for s in (two, both, empty, load(tmp_path))] == [None] * 4
    assert alone.find_source("other") is None


CASES: dict[str, tuple[Change, tuple[str, str]]] = {
    "no secret": (lambda c: sources(c, main={}), (f"{MAIN}/secret", "required")),
    "a short secret": (lambda c: sources(c, main={"secret": "whsec_AAAA"}), (f"{MAIN}/secret", "bad_secret")),
    "no base64": (lambda c: sources(c, main={"secret": "whsec_" + "-" * 40}), (f"{MAIN}/secret", "bad_secret")),
    "a short old secret": (
        lambda c: sources(c, main={"secret": SECRET, "old_secrets": ["whsec_AAAA"]}),
        (f"{MAIN}/secret", "bad_secret"),
    ),
    "a missing file": (lambda c: sources(c, main={"secret_file": "none"}), (f"{MAIN}/secret_file", "unreadable")),
    "a secret twice": (
        lambda c: sources(c, main={"secret": SECRET, "secret_file": "none"}),
        (f"{MAIN}/secret", "given_twice"),
    ),
    "Stripe's name": (
        lambda c: sources(c, stripe={"secret": SECRET}),
        ("/tenants/default/sources/stripe", "reserved"),
    ),
    "another tenant's name": (
        lambda c: (second(c), sources(c, "other", main={"secret": NEXT})),
        ("/tenants/other/sources/main", "repeated"),
    ),
    "a name that is no name": (
        lambda c: c["tenants"]["default"].update(sources={"a b": {"secret": SECRET}}),
        ("/tenants/default/sources/a b/[key]", "string_pattern_mismatch"),
    ),
    "an unknown key": (
        lambda c: sources(c, main={"secret": SECRET, "secrets": [SECRET]}),
        (f"{MAIN}/secrets", "extra_forbidden"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_faulty_source_is_refused_at_its_place(tmp_path: Path, name: str) -> None:
    """The configuration is not taken, and says where and why."""
    change, fault = CASES[name]
    assert fault in faults(tmp_path, change)


def test_the_source_of_the_example_loads(tmp_path: Path) -> None:
    """The commented source is correct as it stands, but for its secret's file."""
    write_example(tmp_path / "watcher.toml")
    (tmp_path / "secret").write_text(SECRET)
    lines = (tmp_path / "watcher.toml").read_text().splitlines()
    start = lines.index("# [tenants.default.sources.main]")
    for i in range(start, start + 3):
        lines[i] = lines[i].removeprefix("# ").replace("/run/secrets/source_main", "secret")
    (tmp_path / "full.toml").write_text("\n".join(lines))
    assert load_settings(tmp_path / "full.toml").find_source(None) is not None
