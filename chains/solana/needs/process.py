"""The other end of the process that runs transactions: started when needed, asked one by one, killed when late."""

import asyncio
import json
import sys
from contextlib import suppress
from typing import Final

from chains.solana.needs.finding import Finding
from chains.solana.needs.wire import LENGTH, Question, pack

_GRACE: Final = 1.0
"""Seconds that it may be late: it looks at the clock between runs only."""
_START: Final = 5.0
"""Seconds that the first question may take longer."""
_MOST_ANSWERED: Final = 2_000
"""Questions after which it is replaced: a runtime keeps accounts that it was once given."""
_MOST_CODE: Final = 128 * 2**20
_MOST_ANSWER: Final = 2**20


class Broken(Exception):
    """It gave no answer: it was late, or it broke. The next question goes to a new one."""


class Runner:
    """One such process. What is waiting waits for the lock, each no longer than its own time."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()
        self._told: set[tuple[str, str]] = set()
        self._code = 0
        self._answered = 0

    async def ask(self, question: Question) -> Finding:
        """The finding. Raises `Broken`, TimeoutError when others were in front for too long."""
        async with asyncio.timeout(question.seconds):
            await self._lock.acquire()
        try:
            return await self._ask(question)
        except BaseException:
            await self._end()
            raise
        finally:
            self._lock.release()

    async def close(self) -> None:
        """End it."""
        async with self._lock:
            await self._end()

    async def _ask(self, question: Question) -> Finding:
        is_new = self._process is None
        process = self._process = self._process or await self._start()
        if process.stdin is None or process.stdout is None:
            raise Broken("it has no pipes")
        patience = question.seconds + _GRACE + _START * is_new
        try:
            async with asyncio.timeout(patience):
                process.stdin.write(pack(question, self._told))
                await process.stdin.drain()
                length = int.from_bytes(await process.stdout.readexactly(LENGTH), "big")
                if length > _MOST_ANSWER:
                    raise Broken("an answer without end")
                finding = Finding.from_json(json.loads(await process.stdout.readexactly(length)))
        except TimeoutError:
            raise Broken("no answer in time") from None
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise Broken(f"it broke ({type(error).__name__})") from None
        await self._count(question)
        return finding

    async def _count(self, question: Question) -> None:
        for key, program in question.snapshot.programs.items():
            if (key, program.version) not in self._told:
                self._told.add((key, program.version))
                self._code += program.size
        self._answered += 1
        if self._answered >= _MOST_ANSWERED or self._code > _MOST_CODE:
            await self._end()

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "chains.solana.needs.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": "", "PYTHONPATH": ":".join(path for path in sys.path if path)},
            limit=_MOST_ANSWER,
        )

    async def _end(self) -> None:
        process, self._process = self._process, None
        self._told.clear()
        self._code = self._answered = 0
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
