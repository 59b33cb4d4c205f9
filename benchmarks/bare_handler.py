"""A server that checks a webhook's signature, reads its JSON and stores nothing, for `benchmarks.intake`.

`python -m benchmarks.bare_handler PORT SECRET`
"""

import json
import sys
from datetime import UTC, datetime

import uvloop
from aiohttp import web

from notifier.signatures import verify


def make_app(secret: str) -> web.Application:
    """One route, the daemon's."""

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        sent = verify(request.headers, body, [secret], now=datetime.now(UTC))
        json.loads(body)
        return web.json_response({"id": sent, "duplicate": False}, status=202)

    app = web.Application()
    app.router.add_post("/webhooks/backend/{source}", take)
    return app


if __name__ == "__main__":
    web.run_app(
        make_app(sys.argv[2]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )
