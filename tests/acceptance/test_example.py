"""The example backend, copied out of the repository, beside a real daemon: what its page shows is what happened."""

import asyncio
import json
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Page

from examples.backend.signatures import sign
from tests.nodes.anvil import COIN, Anvil, free_port
from tests.nodes.browser import open_page
from tests.nodes.processes import Backend, DaemonProcess, Process, SandboxProcess, new_secret, until

pytestmark = [pytest.mark.acceptance]
SOURCE = Path(__file__).resolve().parents[2] / "examples/backend"
WALLET = "0xB00F0759DbeeF5E543Cc3E3B07A6442F5f3928a2"
CONFIG = """\
data_dir = "data"
console = false
allow_private_receivers = true
[stripe]
api_base = "{sandbox}"
poll_seconds = 5
[networks.local-evm]
http = ["{http}"]
ws = ["{ws}"]
[policies.default]
networks = ["local-evm"]
funding = [{{ when = "low", network = "local-evm", asset = "ETH", trigger = "0.05", target = "0.2" }}]
[tenants.default]
stripe_secret_key = "sk_test_example"
stripe_webhook_secrets = ["{stripe_secret}"]
[[tenants.default.endpoints]]
id = "example"
url = "{example}/hook"
secret = "{secret}"
"""


class Example(Process):
    """`python -m backend`, where nothing but its folder was copied to."""

    def __init__(self, folder: Path, *, port: int, watcher: str, key: str, secrets: str) -> None:
        shutil.copytree(SOURCE, folder / "backend", ignore=shutil.ignore_patterns("__pycache__"))
        self.url = f"http://127.0.0.1:{port}"
        self.file = folder / "backend.json"
        wallet = ("--wallet", "user-42", f"local-evm={WALLET}", "--port", str(port))
        env = {"TOPUP_URL": watcher, "TOPUP_API_KEY": key, "TOPUP_WEBHOOK_SECRETS": secrets}
        command = (sys.executable, "-m", "backend", *wallet)
        super().__init__(command, log=folder / "example.log", cwd=folder, env=env)

    async def shows(self, http: aiohttp.ClientSession, text: str, *, seconds: float = 20) -> None:
        """Until its page says so."""

        async def found() -> bool:
            try:
                async with http.get(self.url) as answer:
                    return text in await answer.text()
            except aiohttp.ClientError:
                return False

        await until(found, seconds=seconds, what=f"a page with {text!r}; the example's log:\n{self.output}")


@dataclass
class World:
    anvil: Anvil
    daemon: DaemonProcess
    example: Example
    backend: Backend
    http: aiohttp.ClientSession

    async def pay(self, sender: str, to: str, wei: int) -> None:
        await self.anvil.rpc("eth_sendTransaction", {"from": sender, "to": to, "value": hex(wei)})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)))
        anvil = await stack.enter_async_context(Anvil())
        port, example_port, stripe_secret, secret = free_port(), free_port(), new_secret(), new_secret()
        hook = ("--webhook-url", f"http://127.0.0.1:{port}/webhooks/stripe", "--webhook-secret", stripe_secret)
        sandbox = SandboxProcess(tmp_path, *hook, "--evm-rpc", anvil.http)
        sandbox.start()
        stack.push_async_callback(sandbox.stop)
        await sandbox.ready(http)
        config = CONFIG.format(
            sandbox=sandbox.url,
            http=anvil.http,
            ws=anvil.ws,
            stripe_secret=stripe_secret,
            secret=secret,
            example=f"http://127.0.0.1:{example_port}",
        )
        daemon = DaemonProcess(tmp_path, config, port=port)
        key = await asyncio.to_thread(daemon.create_key)
        daemon.start()
        stack.push_async_callback(daemon.stop)
        await daemon.ready(http, "local-evm")
        secrets = f"{new_secret()} {secret}"
        example = Example(tmp_path, port=example_port, watcher=daemon.url, key=key, secrets=secrets)
        stack.push_async_callback(example.stop)
        yield World(anvil, daemon, example, Backend(http, daemon.url, key), http)


async def pay_by_the_button(page: Page, url: str) -> None:
    """As a person does."""
    await page.goto(url)
    await page.get_by_role("link", name="Add funds").click(timeout=20_000)
    await page.get_by_role("button", name="Pay (sandbox)").click()
    await page.get_by_text("Paid and delivered").wait_for(timeout=20_000)


@pytest.mark.evm
@pytest.mark.browser
async def test_a_wallet_runs_low_is_paid_for_on_its_page_and_landed(world: World) -> None:
    """The page shows what is missing, the link, and that it landed; started anew it knows the same. No link is kept."""
    rich = (await world.anvil.accounts())[0]
    await world.pay(rich, WALLET, COIN // 10)
    world.example.start()
    await world.example.shows(world.http, "Nothing is missing")

    async def watched() -> bool:
        status, wallet = await world.backend.call("GET", "/v1/wallets/user-42")
        return status == 200 and wallet["status"] == "ok"

    await until(watched, seconds=20, what="the wallet's registration")
    await world.pay(WALLET, rich, COIN * 7 // 100)
    async with open_page() as (page, complaints):
        await pay_by_the_button(page, world.example.url)
        await page.goto(world.example.url)
        await page.get_by_text(": landed.").wait_for(timeout=20_000)
        assert await page.get_by_role("link", name="Add funds").count() == 0
        told = await page.inner_text("body")
    assert complaints == []
    assert "ETH on local-evm is ok" in told
    assert await world.anvil.balance(WALLET) >= COIN // 5
    kept = json.loads(world.example.file.read_text())
    assert {known["data"]["top_up"]["link"] for known in kept["state"].values() if "top_up" in known["data"]} == {None}
    await world.example.stop()
    world.example.file.unlink()
    world.example.start()
    await world.example.shows(world.http, ": landed.")
    await world.example.stop()
    assert json.loads(world.example.file.read_text())["state"] == kept["state"]


async def test_forgeries_are_refused_and_old_news_acknowledged(tmp_path: Path) -> None:
    """401 changes nothing; a repeat and an older version are 204 and leave the page; a newer one is shown."""
    secret, port = new_secret(), free_port()
    example = Example(
        tmp_path, port=port, watcher="http://127.0.0.1:9", key="tuw_x", secrets=f"{new_secret()} {secret}"
    )
    holding = {"network": "local-evm", "asset": "ETH", "status": "low"}

    def tell(version: int, balance: str) -> bytes:
        wallet = {"object": "wallet", "id": "user-42"}
        data = {"wallet": wallet, "holding": {**holding, "balance": balance}}
        told: dict[str, Any] = {"id": f"evt_{version}", "type": "wallet.low", "subject": wallet, "version": version}
        return json.dumps({**told, "data": data}).encode()

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:

        async def send(body: bytes, key: str = secret, age: int = 0) -> int:
            headers = sign("evt_1", body, key, int(time.time()) - age)
            async with http.post(f"{example.url}/hook", data=body, headers=headers) as answer:
                return answer.status

        try:
            example.start()
            await example.shows(http, "Nothing is missing")
            assert [await send(tell(9, "0"), new_secret()), await send(tell(9, "0"), age=400)] == [401, 401]
            await example.shows(http, "Nothing is missing")
            assert [await send(tell(v, str(v))) for v in (2, 1, 2)] == [204, 204, 204]
            await example.shows(http, "is low: 2 when")
            assert await send(tell(3, "3")) == 204
            await example.shows(http, "is low: 3 when")
        finally:
            await example.stop()
    assert "tuw_x" not in example.output
