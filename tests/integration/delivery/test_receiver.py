"""The receiver as a program: what it answered for is in its file, however it ends."""

import json
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import aiohttp

from notifier.signatures import sign
from tests.nodes.anvil import free_port
from tests.nodes.processes import Process, new_secret, until


async def test_what_it_answered_for_outlives_it(tmp_path: Path) -> None:
    """Only verified events are in the file, each before its 200; a killed receiver goes on where it was."""
    secret, port, ledger = new_secret(), free_port(), tmp_path / "ledger.jsonl"
    given = ("--port", str(port), "--secret", secret, "--ledger", str(ledger))
    process = Process(
        [sys.executable, "-m", "tests.fakes.receiver", *given], log=tmp_path / "log", cwd=Path(__file__).parents[3]
    )
    stamp = int(datetime.now(UTC).timestamp())

    async def post(event_id: str, *, signed_with: str) -> bool:
        headers = sign(event_id, stamp, b"{}", [signed_with])
        try:
            async with http.post(f"http://127.0.0.1:{port}/hook", data=b"{}", headers=headers) as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False

    async with aiohttp.ClientSession() as http:
        try:
            for event_id in ("evt_1", "evt_2"):
                process.start()
                await until(partial(post, event_id, signed_with=secret), seconds=20, what="an answer")
                process.kill()
            process.start()
            await until(partial(post, "evt_3", signed_with=new_secret()), seconds=20, what="an answer")
            assert await process.stop() == 0
        finally:
            process.kill()
    assert [json.loads(line)["id"] for line in ledger.read_text().splitlines()] == ["evt_1", "evt_2"]
    assert process.output == ""
