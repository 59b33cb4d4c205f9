"""What the API logs: enough to follow a request by its id, and nothing that opens anything or names anybody."""

import asyncio
import io
import json

import pytest

from tests.integration.api.conftest import STRIPE_SECRET, Api, Caller
from tests.integration.api.test_asks import LINK, asked, post_stripe, stripe_event
from tests.integration.watcher.world import ADDRESS
from watcher.log import Logging

__all__ = ["asked"]  # a fixture

CANARY = "CANARY7f3a"


async def send_raw(api: Api, request: bytes) -> None:
    host, port = api.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    await asyncio.wait_for(reader.readline(), 20)
    writer.close()
    await writer.wait_closed()


async def test_no_secret_of_any_request_is_logged(api: Api, call: Caller, asked: str) -> None:
    """Keys, links, contacts, IP addresses, signatures, client secrets: of good requests, refused and broken ones."""
    stream = io.StringIO()
    with Logging("debug", stream=stream):
        await call("PUT", "/v1/users/u-1", {"contacts": {"email": f"{CANARY}@example.com"}})
        await call(
            "PUT", "/v1/wallets/w-2", {"addresses": {"local-evm": ADDRESS}, "customer_ip_address": "203.0.113.77"}
        )
        await call("PUT", "/v1/wallets/w-3", {"customer_ip_address": CANARY, "label": {"a": CANARY}})
        await call("GET", f"/v1/wallets?{CANARY}={CANARY}")
        await call("POST", f"/v1/top-ups/{asked}/resend")
        await post_stripe(api, "/webhooks/stripe/default", *stripe_event(api))
        await post_stripe(api, "/webhooks/stripe/default", b"{}", f"t=1,v1={CANARY}")
        for broken in (
            f"GET /v1/wallets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {CANARY}\r\nX: \x00\r\n\r\n",
            f"GET /v1/wallets HTTP/1.1\r\nHost: x\r\nAuthorization Bearer {CANARY}\r\n\r\n",
            f"{CANARY}\r\n\r\n",
            f"GET /?key={CANARY} HTTP/9.9\r\n\r\n",
            f"GET / HTTP/1.1\r\nContent-Length: {CANARY}\r\n\r\n",
        ):
            await send_raw(api, broken.encode("latin-1"))
    text = stream.getvalue()
    found = [word for word in (CANARY, call.key, LINK, "203.0.113", "cos_1_secret", STRIPE_SECRET) if word in text]
    assert not found, text
    assert "stripe.event" in text


async def test_a_fault_of_ours_is_found_by_the_id_that_was_answered(
    api: Api, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 tells the caller an id and nothing more; the log has the trace under it."""
    stream = io.StringIO()
    monkeypatch.setattr("watcher.api.wallets.view_wallets", None)
    with Logging("info", stream=stream):
        status, problem = await call("GET", "/v1/wallets")
    assert (status, problem["code"]) == (500, "internal")
    assert "TypeError" not in json.dumps(problem)
    (line,) = [json.loads(line) for line in stream.getvalue().splitlines() if problem["request_id"] in line]
    assert "TypeError" in line["exception"]
