"""Newline-delimited JSON: lines out of a stream, in small batches, within bounds whatever is sent."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

MEDIA_TYPE: Final = "application/x-ndjson"
MOST_LINE_BYTES: Final = 64 * 1024
BATCH_LINES: Final = 100
BATCH_SECONDS: Final = 0.2
"""A batch takes no more lines once this has passed since its first."""
LINE_SECONDS: Final = 10
"""How long a line may take to come."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line that isn't blank."""

    number: int
    """From 1, blank lines counted."""
    content: bytes | None
    """None: longer than `MOST_LINE_BYTES`."""


class LineReader:
    """Cuts what `read` gives into lines. Holds little more than one line beside the batch."""

    def __init__(self, read: Callable[[], Awaitable[bytes]]) -> None:
        """`read` gives some bytes, and none at the end. It may be cancelled without losing any."""
        self._read = read
        self._buffer = bytearray()
        self._number = 0
        self._ended = False
        self._too_long = False

    @property
    def next_number(self) -> int:
        """Of the line that is being waited for."""
        return self._number + 1

    async def read_batch(self) -> list[Line]:
        """The next lines, as many as come at once, at most `BATCH_LINES`; none at the end.

        Raises TimeoutError when a first one doesn't come within `LINE_SECONDS`.
        """
        clock = asyncio.get_running_loop().time
        lines: list[Line] = []
        deadline = clock() + LINE_SECONDS
        while len(lines) < BATCH_LINES:
            if (line := self._take()) is not None:
                deadline = deadline if lines else clock() + BATCH_SECONDS
                lines.append(line)
            elif self._ended:
                break
            else:
                try:
                    async with asyncio.timeout_at(deadline):
                        self._feed(await self._read())
                except TimeoutError:
                    if lines:
                        break
                    raise
        return lines

    def _feed(self, chunk: bytes) -> None:
        self._ended = not chunk
        self._buffer += chunk

    def _take(self) -> Line | None:
        """The next line that is complete; the last one needs no newline."""
        while self._buffer or (self._ended and self._too_long):
            end = self._buffer.find(b"\n")
            if end < 0 and not self._ended:
                if len(self._buffer) > MOST_LINE_BYTES:
                    self._too_long = True
                    self._buffer.clear()
                return None
            end = len(self._buffer) if end < 0 else end
            content = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            self._number += 1
            too_long = self._too_long or len(content) > MOST_LINE_BYTES
            self._too_long = False
            if too_long:
                return Line(self._number, None)
            if content.strip():
                return Line(self._number, content)
        return None


def write_line(value: Mapping[str, Any]) -> bytes:
    """One value as one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
