"""Events handed to a program of the operator's: one process each, the event on its standard input."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from notifier.model import Attempt, Endpoint, OutgoingEvent, Verdict
from notifier.webhook import encode_event

SECONDS: Final = 10
"""How long it may take; after that it is killed."""
_PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""Of our environment: the rest may hold keys."""


class CommandChannel:
    """Fills `notifier.channel.Channel`."""

    def __init__(self, command: Sequence[str], *, seconds: int = SECONDS) -> None:
        """A program and its arguments; no shell reads them."""
        self._command = tuple(command)
        self._seconds = seconds

    async def send(self, event: OutgoingEvent, endpoint: Endpoint) -> Attempt:
        """Run it once. Exit status 0 is a delivery; what it prints is not read."""
        del endpoint
        nothing = asyncio.subprocess.DEVNULL
        env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.PIPE, stdout=nothing, stderr=nothing, env=env
            )
        except (OSError, ValueError) as error:
            return Attempt(Verdict.RETRY, detail=f"can't be started: {type(error).__name__}")
        try:
            async with asyncio.timeout(self._seconds):
                await process.communicate(encode_event(event) + b"\n")
        except TimeoutError:
            return Attempt(Verdict.RETRY, detail="no end in time")
        except OSError as error:
            return Attempt(Verdict.RETRY, detail=type(error).__name__)
        finally:
            await _end(process)
        if process.returncode == 0:
            return Attempt(Verdict.DELIVERED)
        return Attempt(Verdict.RETRY, detail=f"exit status {process.returncode}")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
