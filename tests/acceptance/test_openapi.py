"""The served OpenAPI against the served API: what it describes is what is answered, and nothing makes it fail."""

import asyncio
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.acceptance.test_daemon import CONFIG
from tests.nodes.anvil import Anvil
from tests.nodes.processes import DaemonProcess

pytestmark = [pytest.mark.acceptance, pytest.mark.evm]
METHODS = """\
[phases.coverage]
unexpected-methods = []
"""
"""What later versions bring is answered 501 by name, and is not in the document."""
UNLIMITED = "requests_per_second = 100000\n"
"""Of the tenant, which stands last in the file: an answer of 429 would try nothing."""
PROGRAM = Path(sys.executable).with_name("schemathesis")


async def test_generated_requests_are_answered_as_described(tmp_path: Path) -> None:
    """Schemathesis makes requests from the document, valid and not: no 5xx, no undocumented answer."""
    async with Anvil() as anvil, aiohttp.ClientSession() as http:
        daemon = DaemonProcess(tmp_path, CONFIG.format(rpc=anvil.http) + UNLIMITED)
        key = await asyncio.to_thread(daemon.create_key)
        daemon.start()
        try:
            await daemon.ready(http, "local-evm")
            (tmp_path / "schemathesis.toml").write_text(METHODS)
            command = [
                *(str(PROGRAM), "run", f"{daemon.url}/openapi.json", "--header", f"Authorization: Bearer {key}"),
                *("--max-examples", "25", "--seed", "1", "--generation-database", "none", "--no-color"),
                *("--phases", "examples,coverage,fuzzing"),
                *(
                    "--checks",
                    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
                ),
            ]
            ran = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, timeout=200, check=False, cwd=tmp_path
            )
        finally:
            await daemon.stop()
    assert ran.returncode == 0, ran.stdout[-6000:]
