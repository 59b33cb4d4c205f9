"""Secrets that reach the log by mistake."""

import io
import json
import logging
import threading

import pytest
import structlog

from watcher.log import Logging, LogWriter
from watcher.scrub import scrub, scrub_field, scrub_text

CANARY = "CANARYcanary0123456789"


@pytest.mark.parametrize(
    "text",
    [
        f"key sk_test_{CANARY} refused",
        f"key rk_live_{CANARY}",
        f"whsec_{CANARY}+/=",
        f"cos_1Abc_secret_{CANARY}",
        f"GET https://crypto.link.com?session_hash={CANARY}",
        f"session_hash={CANARY}&x=1",
        f"postgresql://app:{CANARY}@db.example/topup",
        f"connection failed: host=db password={CANARY} user=app",
        f"connection failed: host=db password='a {CANARY}' user=app",
        f"https://eth.example/v2/{CANARY}",
        f"wss://{CANARY}@node.example/",
        f"https://node.example/rpc?key={CANARY}",
        f"https://node.example/#{CANARY}",
        f"Authorization: Bearer {CANARY}",
        f"Authorization: Basic {CANARY}",
    ],
)
def test_no_secret_passes(text: str) -> None:
    """Each shape of key, link or URL with a key loses its secret part, wherever in a value it stands."""
    assert CANARY not in scrub_text(text)
    assert CANARY not in json.dumps(scrub({"a": [text, {"b": (text,)}]}))
    assert CANARY not in str(scrub(ValueError(text)))


@pytest.mark.parametrize(
    "text",
    [
        "tu_06f8z7k2m3n4p5q6r7s8t9vwxy opened",
        "0x4838b106fce9647bdf1e7877bf73ce8b0bad5f97",
        "eip155:1 at 21000000",
        "http://127.0.0.1:8545/health",
    ],
)
def test_plain_words_stay(text: str) -> None:
    """Ids, addresses, networks and plain URLs are what a log is for."""
    assert scrub_text(text) == text


def test_named_fields_are_masked_whatever_they_hold() -> None:
    """A field that is named after a secret is masked, except when it is empty."""
    assert scrub_field("client_secret", "plain") == "***"
    assert scrub_field("link", None) is None
    assert scrub_field("network", "eip155:1") == "eip155:1"


def test_everything_logged_is_scrubbed_json() -> None:
    """Our own events, libraries' records and exceptions go out as JSON lines, none with a secret."""
    stream = io.StringIO()
    with Logging("info", stream=stream):
        structlog.get_logger().info("thing.done", link=CANARY, note=f"sk_test_{CANARY}", height=7)
        structlog.get_logger().debug("hidden")
        logging.getLogger("aiohttp.server").error("Error handling request %s", f"whsec_{CANARY}")
        try:
            int(f"https://user:{CANARY}@host/")
        except ValueError:
            structlog.get_logger().exception("thing.failed")
            logging.getLogger("library").exception("failed")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["thing.done", "Error handling request ***", "thing.failed", "failed"]
    assert CANARY not in stream.getvalue()
    assert lines[0]["height"] == 7
    assert lines[0]["level"] == "info"
    assert lines[1]["logger"] == "aiohttp.server"
    assert "ValueError" in lines[2]["exception"]


class _Stuck(io.StringIO):
    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()

    def write(self, text: str) -> int:
        self.free.wait(10)
        return super().write(text)


def test_a_stuck_reader_costs_lines_not_time() -> None:
    """When nobody reads our stderr, further lines are dropped and counted; whoever logs goes on at once."""
    stream = _Stuck()
    writer = LogWriter(stream, limit=3)
    for number in range(10):
        writer.put(str(number))
    assert writer.dropped >= 6
    stream.free.set()
    writer.close()
    assert stream.getvalue().startswith("0\n")
