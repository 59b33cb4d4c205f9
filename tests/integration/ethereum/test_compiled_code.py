"""The compiled code in the repository is what its sources compile to."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.nodes.anvil import ROOT


@pytest.mark.parametrize(
    "folder", ["chains/ethereum/planted", "chains/ethereum/needs/planted", "tests/nodes/contracts"]
)
def test_the_build_is_repeatable(folder: str, tmp_path: Path) -> None:
    """Building again from the sources gives the same bytes."""
    built = tmp_path / "built"
    shutil.copytree(ROOT / folder, built, ignore=shutil.ignore_patterns("__pycache__"))
    compiled = [*built.glob("*.hex"), *built.glob("*.json")]
    for file in compiled:
        file.unlink()
    environment = {**os.environ, "NODE_PATH": str(ROOT / "node_modules")}
    subprocess.run(["node", str(built / "build.js")], check=True, env=environment, timeout=60)
    assert compiled
    for file in compiled:
        assert file.read_text() == (ROOT / folder / file.name).read_text()
