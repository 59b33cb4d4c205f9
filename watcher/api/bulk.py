"""`POST /v1/wallets/import` and `GET /v1/wallets/export`: streams of lines, however many there are."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import structlog
from aiohttp import web

from config.errors import FieldError
from config.model import Tenant
from watcher.api.problems import Problem
from watcher.api.routing import Deps, authorize, read_query
from watcher.bulk import Importer, Result, read_wallets
from watcher.ndjson import LINE_SECONDS, MEDIA_TYPE, LineReader, write_line
from watcher.store.errors import StoreUnavailable

log = structlog.get_logger()

WRITE_SECONDS: Final = 30
"""Who sends lines and does not read the answers is cut off: nobody keeps them for him."""
TOO_SLOW: Final = FieldError("", "too_slow", f"did not come within {LINE_SECONDS} seconds; nothing after it was read")


def add_bulk_routes(app: web.Application, deps: Deps) -> None:
    """Both, beside the routes of one wallet."""

    async def take(request: web.Request) -> web.StreamResponse:
        tenant, _ = await authorize(request, deps, "wallets:write")
        read_query(None, request)
        if request.content_type != MEDIA_TYPE:
            raise Problem(415, "unsupported_media_type", f"Send {MEDIA_TYPE}")
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise Problem(415, "unsupported_encoding", "Send the body as it is, without Content-Encoding")
        return await _stream(request, _import(request, deps, tenant))

    async def give(request: web.Request) -> web.StreamResponse:
        tenant, _ = await authorize(request, deps, "wallets:read")
        read_query(None, request)
        return await _stream(request, _export(deps, tenant))

    app.router.add_post("/v1/wallets/import", take)
    app.router.add_get("/v1/wallets/export", give, allow_head=False)


async def _import(request: web.Request, deps: Deps, tenant: Tenant) -> AsyncIterator[bytes]:
    """Answers to lines, each batch once it is committed. What was not answered may be sent again."""
    reader = LineReader(request.content.readany)
    importer = Importer(deps.database, tenant, deps.settings, stamp=deps.stamp)
    while True:
        try:
            lines = await reader.read_batch()
        except TimeoutError:
            yield write_line(Result(reader.next_number, None, "refused", (TOO_SLOW,)).render())
            return
        except (OSError, web.RequestPayloadError):
            raise Problem(400, "broken_off", "The body broke off") from None
        if not lines:
            return
        yield b"".join(write_line(result.render()) for result in await importer.write(lines))


async def _export(deps: Deps, tenant: Tenant) -> AsyncIterator[bytes]:
    async for page in read_wallets(deps.database, tenant.id):
        yield b"".join(write_line(body) for body in page)


async def _stream(request: web.Request, chunks: AsyncIterator[bytes]) -> web.StreamResponse:
    """Send what comes. What fails before the first of it is a problem as elsewhere; later the stream breaks off."""
    response = web.StreamResponse(headers={"Content-Type": MEDIA_TYPE})
    first = await anext(chunks, b"")
    await response.prepare(request)
    try:
        await _send(response, first)
        async for chunk in chunks:
            await _send(response, chunk)
    except (StoreUnavailable, Problem, TimeoutError, OSError) as error:
        log.warning("bulk.broken_off", path=request.path, kind=type(error).__name__)
        _abort(request)
    except BaseException:
        _abort(request)
        raise
    return response


async def _send(response: web.StreamResponse, chunk: bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS):
        await response.write(chunk)


def _abort(request: web.Request) -> None:
    """A stream that is not whole must not end as if it were."""
    if request.transport is not None:
        request.transport.abort()
