"""Waiting for something to become true."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import psycopg


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float = 30, what: str = "condition") -> None:
    """Ask again and again; AssertionError when it is still false after `seconds`. A lost database counts as false."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if await condition():
                return
        except psycopg.Error:
            pass
        await asyncio.sleep(0.05)
    raise AssertionError(f"not in time: {what}")


async def fetch(url: str, query: str) -> list[tuple[object, ...]]:
    """All rows, on a connection of its own."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=5) as conn:
        return list(await (await conn.execute(query.encode())).fetchall())


async def execute(url: str, statement: str) -> None:
    """One or more statements, on a connection of its own."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=5) as conn:
        await conn.execute(statement.encode())
