"""Logs: one JSON object a line on stderr, from us and from libraries alike, scrubbed, and never in anybody's way."""

import logging
import queue
import sys
import threading
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, Final, Self, TextIO

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from structlog.typing import EventDict, Processor

from watcher.scrub import scrub_field

QUEUE_LINES: Final = 10_000
"""A reader of our stderr that hangs costs lines, not the daemon: further ones are dropped and counted."""
CLOSE_SECONDS: Final = 2.0
QUIET: Final = {
    "procrastinate": logging.ERROR,  # says each job with its arguments
    "apscheduler": logging.WARNING,
    "aiohttp.access": logging.WARNING,
    "alembic": logging.WARNING,
    "psycopg": logging.ERROR,  # the pool repeats each failed reconnect
    "web3": logging.WARNING,
    "stripe": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "websockets": logging.WARNING,
    "asyncio": logging.WARNING,
}


class LogWriter:
    """Writes lines to a stream in a thread of its own. `put` never blocks."""

    def __init__(self, stream: TextIO, *, limit: int = QUEUE_LINES) -> None:
        """At most `limit` lines wait."""
        self._stream = stream
        self._lines: queue.Queue[str | None] = queue.Queue(limit)
        self.dropped = 0
        """Lines lost because the stream was too slow."""
        self._thread = threading.Thread(target=self._write, name="log-writer", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Queue a line, or count it as dropped."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what waits, for at most `CLOSE_SECONDS`."""
        try:
            self._lines.put(None, timeout=CLOSE_SECONDS)
        except queue.Full:
            return
        self._thread.join(CLOSE_SECONDS)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._stream.write(line + "\n")
                if self._lines.empty():
                    self._stream.flush()
            except (OSError, ValueError):  # closed: there is nobody left to tell
                self.dropped += 1


class _Handler(logging.Handler):
    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.put(self.format(record))


class Logging:
    """`with Logging("info"):` everything logged inside goes out as JSON."""

    def __init__(self, level: str, *, stream: TextIO | None = None) -> None:
        """`level`: debug, info, warning or error. `stream` is stderr unless told otherwise."""
        self._level = logging.getLevelNamesMapping()[level.upper()]
        self._stream = stream or sys.stderr
        self._handler: _Handler | None = None
        self.writer: LogWriter | None = None

    def __enter__(self) -> Self:
        """Take over the root logger and structlog's configuration."""
        self.writer = LogWriter(self._stream)
        self._handler = _Handler(self.writer)
        shared: list[Processor] = [
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        ]
        self._handler.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=[*shared, _name_logger],
                processors=[
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    _drop_quotes,
                    structlog.processors.format_exc_info,
                    _scrub_event,
                    structlog.processors.JSONRenderer(),
                ],
            )
        )
        root = logging.getLogger()
        root.handlers = [self._handler]
        root.setLevel(self._level)
        for name, level in QUIET.items():
            logging.getLogger(name).setLevel(max(level, self._level))
        structlog.configure(
            processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
            wrapper_class=structlog.make_filtering_bound_logger(self._level),
            logger_factory=structlog.stdlib.LoggerFactory(),
            cache_logger_on_first_use=False,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Write what waits, and let go."""
        root = logging.getLogger()
        if self._handler is not None and self._handler in root.handlers:
            root.removeHandler(self._handler)
        structlog.reset_defaults()
        if self.writer is not None:
            self.writer.close()


def _name_logger(_: Any, __: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    if isinstance(record, logging.LogRecord):
        event["logger"] = record.name
    return event


def _drop_quotes(_: Any, __: str, event: EventDict) -> EventDict:
    """Of a request that aiohttp can't parse, only the kind of fault: its trace quotes the line, key and all.

    It is the sender's fault besides, and no error of ours.
    """
    found = event.get("exc_info")
    if isinstance(found, tuple) and isinstance(found[1], HttpProcessingError):
        del event["exc_info"]
        event.update(kind=type(found[1]).__name__, level="info")
    return event


def _scrub_event(_: Any, __: str, event: MutableMapping[str, Any]) -> EventDict:
    return {name: scrub_field(name, value) for name, value in event.items()}
