"""A TCP proxy whose connections can be cut or hang, to lose a node without stopping it."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.nodes.solana_process import free_ports


class TcpProxy:
    """Passes bytes on to a local port. An async context manager."""

    def __init__(self, target: int | Path) -> None:
        """`target` is the port on 127.0.0.1, or a Unix socket."""
        self.port = free_ports(1)
        self._target = target
        self._cut = False
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.cut()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def cut(self) -> None:
        """End every connection, and every new one at once, until `mend`."""
        self._cut = True
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    def hang(self) -> None:
        """Pass nothing on, and end nothing, as a broken network does; until `mend`."""
        self._flows.clear()

    def mend(self) -> None:
        """Let new connections pass, and what hung go on."""
        self._cut = False
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        try:
            if not self._cut:
                await self._link(reader, writer)
        except asyncio.CancelledError:
            pass  # the server's own callback would log it
        finally:
            self._links.discard(task)
            writer.transport.abort()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            if isinstance(self._target, Path):
                inner_reader, inner_writer = await asyncio.open_unix_connection(self._target)
            else:
                inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target)
            ways = [
                asyncio.create_task(self._pass_on(reader, inner_writer)),
                asyncio.create_task(self._pass_on(inner_reader, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                inner_writer.transport.abort()  # first: what follows can be cancelled
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(2**16):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
