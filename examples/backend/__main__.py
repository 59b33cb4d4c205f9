"""A wallet backend: `python -m examples.backend --wallet user-42 local-evm=0x…`. README.md says what it needs."""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import time
from pathlib import Path

import aiohttp
from aiohttp import web

from .client import Client
from .page import render_page
from .signatures import verify
from .state import Event, State, apply, has_gap

log = logging.getLogger("backend")
PRIVATE = {"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}


class Backend:
    """What is known, on disk; the two ways in which events reach it; the page that shows it."""

    def __init__(self, given: argparse.Namespace, client: Client) -> None:
        self._file: Path = given.file
        self._wallets = {wallet: dict([address.split("=", 1)]) for wallet, address in given.wallet}
        self._client = client
        saved = json.loads(self._file.read_text()) if self._file.exists() else {"cursor": None, "state": {}}
        self._cursor: str | None = saved["cursor"]
        self._state: State = saved["state"]
        self._secrets = os.environ["TOPUP_WEBHOOK_SECRETS"].split()
        self._writing, self._gap = asyncio.Lock(), asyncio.Event()

    async def stay_current(self) -> None:
        """At the start, after a gap, and once a minute: no later event tells that the last one was lost."""
        while True:
            wait = 60
            try:
                for wallet, addresses in self._wallets.items():
                    await self._client.register("u-42", wallet, addresses)
                async for event in self._client.read_events(self._cursor):
                    await self._take(event, cursor=event["id"])
            except (aiohttp.ClientError, TimeoutError) as error:
                log.warning("topup-watcher could not be asked: %s %s", type(error).__name__, error)
                wait = 2
                if isinstance(error, aiohttp.ClientResponseError) and error.status == 410:
                    self._cursor = None  # it is more than 90 days old: read from the oldest event that there is
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gap.wait(), wait)
            self._gap.clear()

    async def receive(self, request: web.Request) -> web.StreamResponse:
        """An event by webhook: on disk before it is acknowledged, and acknowledged even when it is no news."""
        body = await request.read()
        if not verify(request.headers, body, self._secrets, int(time.time())):
            raise web.HTTPUnauthorized
        event = json.loads(body)
        if has_gap(self._state, event):
            self._gap.set()
        await self._take(event)
        return web.Response(status=204)

    async def _take(self, event: Event, cursor: str | None = None) -> None:
        async with self._writing:
            self._state, self._cursor = apply(self._state, event), cursor or self._cursor
            await asyncio.to_thread(_save, self._file, self._cursor, self._state)

    async def show(self, _: web.Request) -> web.StreamResponse:
        """The page. Yours shows a wallet to whoever owns it, and to nobody else."""
        return web.Response(text=render_page(self._wallets, self._state), content_type="text/html", headers=PRIVATE)

    async def pay(self, request: web.Request) -> web.StreamResponse:
        """The button: the link is fetched when it is pressed, and given to whoever pressed it."""
        if "top_up/" + request.match_info["id"] not in self._state:
            raise web.HTTPNotFound
        link = await self._client.find_link(request.match_info["id"])
        return web.Response(status=303, headers={**PRIVATE, "Location": link or "/"})


def _save(file: Path, cursor: str | None, state: State) -> None:
    """In one stroke: killed at any moment, the file is the old one or the new one."""
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps({"cursor": cursor, "state": state}))
    fresh.replace(file)


async def main(given: argparse.Namespace) -> None:
    """Serve until Ctrl-C."""
    url, key = os.environ["TOPUP_URL"], {"Authorization": "Bearer " + os.environ["TOPUP_API_KEY"]}
    limit = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(url, headers=key, timeout=limit, raise_for_status=True) as http:
        backend, app = Backend(given, Client(http)), web.Application()
        routes = [web.get("/", backend.show), web.get("/pay/{id}", backend.pay), web.post("/hook", backend.receive)]
        app.add_routes(routes)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, given.host, given.port).start()
        await backend.stay_current()


def read_options(words: list[str] | None = None) -> argparse.Namespace:
    """What stands on the command line."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--wallet", nargs=2, action="append", required=True, metavar=("ID", "NETWORK=ADDRESS"))
    options.add_argument("--host", default="127.0.0.1", help="where to listen")
    options.add_argument("--port", type=int, default=8090)
    options.add_argument("--file", type=Path, default=Path("backend.json"), help="what is known, between runs")
    return options.parse_args(words)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(read_options()))
