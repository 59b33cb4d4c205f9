"""How the code is laid out: rules that a reader relies on, kept by machine."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("chains", "notifier", "config", "watcher", "examples")
SOURCES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py"))
PAGES = sorted(
    path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"))
)

MOST_LINES = 300
MOST_BODY_LINES = 50
LONG_FILES = {
    Path("watcher/store/tables.py"): "the whole schema, a list of tables without logic",
}
LONG_BODIES = {
    "watcher/store/migrations/versions": "a step of the schema is as long as the tables it makes",
}
FLOATS_OF_TIME = {
    Path("chains/rpc_answer.py"): "seconds of a Retry-After header",
}
MONEY = re.compile(
    r"config/.*|chains/(amounts|model|addresses)\.py|chains/ethereum/(multicall|answers|together|receipts|fees)\.py"
    r"|chains/solana/(accounts|receipts|fees)\.py|notifier/(model|stripe_body|stripe_session)\.py"
    r"|watcher/(policy|planning|judge|apply|levels|model|decide|opening|closing|render|registration)\.py"
    r"|watcher/(wallet_plan|top_ups|bill)\.py|watcher/asks/.*"
    r"|watcher/store/(?!embedded|postmaster).*"
)
"""Where amounts are computed, read or kept."""


def parse(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (n for n in ast.walk(parse(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines that do something: without the signature and the docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_a_file_has_one_subject(path: Path) -> None:
    """A file that outgrows 300 lines has more than one."""
    if path in LONG_FILES:
        return
    assert len((ROOT / path).read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_a_function_fits_on_a_page(path: Path) -> None:
    """A body that outgrows 50 lines is more than one step."""
    if str(path.parent) in LONG_BODIES:
        return
    long = {f.name: body_lines(f) for f in functions(path) if body_lines(f) > MOST_BODY_LINES}
    assert not long


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_nothing_is_turned_into_a_float(path: Path) -> None:
    """Money is whole base units; a float has lost some already."""
    calls = [n for n in ast.walk(parse(path)) if isinstance(n, ast.Call) and ast.unparse(n.func) == "float"]
    assert path in FLOATS_OF_TIME or not calls


@pytest.mark.parametrize("path", [p for p in SOURCES if MONEY.fullmatch(p.as_posix())], ids=str)
def test_where_money_is_computed_there_is_no_float(path: Path) -> None:
    """No literal, annotation or division that makes one (a division of a folder joins a path)."""
    found = [
        (node.lineno, ast.unparse(node))
        for node in ast.walk(parse(path))
        if (isinstance(node, ast.Constant) and isinstance(node.value, float))
        or (isinstance(node, ast.Name) and node.id == "float")
        or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and not _joins_path(node))
    ]
    assert not found


def _joins_path(node: ast.BinOp) -> bool:
    sides = (node.left, node.right)
    return any(
        (isinstance(side, ast.Constant) and isinstance(side.value, str))
        or (isinstance(side, ast.Name) and side.id in ("base", "path", "folder"))
        for side in sides
    )


@pytest.mark.parametrize("path", [p for p in (*SOURCES, *TESTS) if p.name == "__init__.py"], ids=str)
def test_importing_a_package_loads_nothing(path: Path) -> None:
    """An `__init__.py` holds one docstring, so that a word of `chains.model` never brings web3 with it."""
    module = parse(path)
    assert ast.get_docstring(module)
    assert len(module.body) == 1


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name != "__init__.py"], ids=str)
def test_a_module_says_what_it_is_for(path: Path) -> None:
    """The first line of a file is its subject."""
    assert ast.get_docstring(parse(path))


def test_only_its_own_command_imports_the_sandbox() -> None:
    """What stands in Stripe's place is never part of what asks Stripe."""
    outside = [path for path in SOURCES if Path("notifier/sandbox") not in path.parents]
    importers = [
        path
        for path in outside
        if any(
            "notifier.sandbox" in ast.unparse(n)
            for n in ast.walk(parse(path))
            if isinstance(n, ast.ImportFrom | ast.Import)
        )
    ]
    assert importers == [Path("watcher/cli.py")]


@pytest.mark.parametrize("path", [p for p in SOURCES if p.parts[0] == "examples"], ids=str)
def test_an_example_stands_alone(path: Path) -> None:
    """Copied out of this repository it works: it imports its own files, aiohttp, and what Python brings."""
    imports = [n for n in ast.walk(parse(path)) if isinstance(n, ast.Import | ast.ImportFrom)]
    roots = {
        name.partition(".")[0]
        for n in imports
        for name in ([a.name for a in n.names] if isinstance(n, ast.Import) else [] if n.level else [n.module or ""])
    }
    assert roots <= {*sys.stdlib_module_names, "aiohttp"}


def test_no_module_is_a_drawer() -> None:
    """A name says a subject; these say that there was none."""
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    assert not [path for path in SOURCES if drawers & {part.removesuffix(".py") for part in path.parts}]


def test_every_test_folder_is_a_package() -> None:
    """Without an `__init__.py` a test folder can shadow the package that it tests."""
    assert not [path.parent for path in TESTS if not (ROOT / path.parent / "__init__.py").is_file()]


@pytest.mark.parametrize("path", TESTS, ids=str)
def test_no_test_mocks_our_own_code(path: Path) -> None:
    """Fakes fill protocols, and partners are real servers: a mock would agree with any mistake."""
    imports = [n for n in ast.walk(parse(path)) if isinstance(n, ast.Import | ast.ImportFrom)]
    assert not [n for n in imports if "mock" in ast.unparse(n)]


@pytest.mark.parametrize("path", [p for p in TESTS if p.name.startswith("test_")], ids=str)
def test_each_test_says_what_it_guarantees(path: Path) -> None:
    """One sentence a test, so that a red one says what is lost."""
    assert not [f.name for f in functions(path) if f.name.startswith("test_") and not ast.get_docstring(f)]


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    """A link to a file of this repository names one that exists."""
    text = re.sub(r"```.*?```", "", (ROOT / path).read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert not [link for link in links if link and not (ROOT / path).parent.joinpath(link).exists()]


def test_exceptions_are_still_needed() -> None:
    """An exception whose reason is gone is removed from the lists above."""
    assert not [p for p in LONG_FILES if len((ROOT / p).read_text(encoding="utf-8").splitlines()) <= MOST_LINES]
    assert not [p for p in FLOATS_OF_TIME if "float(" not in (ROOT / p).read_text(encoding="utf-8")]


def test_each_promise_names_a_test_that_exists() -> None:
    """docs/promises.md can't claim a test that was renamed or never written."""
    text = (ROOT / "docs/promises.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", text)
    assert len(named) > 30
    missing = [
        f"{file}::{name}" for file, name in named if f"def {name}(" not in (ROOT / "tests" / file).read_text("utf-8")
    ]
    assert missing == []
