"""A local Solana node as a process: Surfpool from npm, or a real `solana-test-validator` where there is one."""

import contextlib
import ctypes
import json
import os
import random
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from enum import Enum, StrEnum
from pathlib import Path
from typing import Final

LAUNCHER: Final = Path(__file__).with_name("surfpool.mjs")
NO_VALIDATOR: Final = "no solana-test-validator, neither by SOLANA_TEST_VALIDATOR nor on PATH"
_START_SECONDS: Final = 60.0
_PARENT_DEATH: Final = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


class Kind(StrEnum):
    """The two kinds of local node."""

    SURFPOOL = "surfpool"
    VALIDATOR = "validator"


class Ability(Enum):
    """What only one kind of node can do."""

    CHEATS = "has cheatcodes (surfnet_*)"
    KEEPS_STATE = "keeps its ledger over a restart"
    SKIPS_SLOTS = "really skips slots"
    COMMITMENTS = "tells processed, confirmed and finalized accounts apart"


_SURFPOOL_ABILITIES: Final = frozenset({Ability.CHEATS})


def can(kind: Kind, ability: Ability) -> bool:
    """Whether a kind of node can do something."""
    return (ability in _SURFPOOL_ABILITIES) == (kind is Kind.SURFPOOL)


def find_validator() -> str | None:
    """The real validator's binary, by environment or PATH; None where there is none."""
    return os.environ.get("SOLANA_TEST_VALIDATOR") or shutil.which("solana-test-validator")


class SolanaProcess:
    """One node on ports that stay the same over `kill` and `start`. Ends with this process, whatever happens."""

    def __init__(self, kind: Kind, *, rpc_port: int | None = None) -> None:
        """The websocket is on the port after the RPC port. A validator's ledger is a temporary folder."""
        self.kind = kind
        self.rpc_port = rpc_port or free_ports(3)
        self.rpc_url = f"http://127.0.0.1:{self.rpc_port}"
        self.ws_url = f"ws://127.0.0.1:{self.rpc_port + 1}"
        self._ledger: Path | None = None
        self.interrupted = False
        """Whether it was ended since its ledger was begun."""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and wait until it is healthy. A validator goes on from its ledger, Surfpool from nothing."""
        if self._ledger is None and self.kind is Kind.VALIDATOR:
            self._ledger = Path(tempfile.mkdtemp(prefix="topup-ledger-"))
        self.kill()  # one that has died by itself still has its pipes
        self._process = subprocess.Popen(
            self._command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if self.kind is Kind.SURFPOOL else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_nice_and_mortal,  # noqa: PLW1509  calls two functions of libc, which need no locks
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_healthy(deadline):
            if not self.running:
                self.kill()
                raise RuntimeError(f"{self.kind} ended at its start")
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.kind} was not healthy within {_START_SECONDS:g} s")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def remove(self) -> None:
        """Kill it, and delete its ledger."""
        self.kill()
        if self._ledger is not None:
            shutil.rmtree(self._ledger, ignore_errors=True)
            self._ledger = None
        self.interrupted = False

    def suspend(self) -> None:
        """Freeze it: connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a freeze."""
        self._signal(signal.SIGCONT)

    def _command(self) -> list[str]:
        if self.kind is Kind.SURFPOOL:
            return ["node", str(LAUNCHER), str(self.rpc_port), str(self.rpc_port + 1)]
        binary = find_validator()
        if binary is None or self._ledger is None:
            raise RuntimeError(NO_VALIDATOR)
        fresh = [] if any(self._ledger.iterdir()) else ["--reset"]
        ports = ["--rpc-port", str(self.rpc_port), "--faucet-port", str(self.rpc_port + 2)]
        speed = ["--ticks-per-slot", "8", "--limit-ledger-size", "10000"]
        return [binary, "--ledger", str(self._ledger), *fresh, "--quiet", *ports, "--bind-address", "127.0.0.1", *speed]

    def _is_healthy(self, deadline: float) -> bool:
        process = self._process
        if process is not None and process.stdout is not None:
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                if not selector.select(max(0.0, deadline - time.monotonic())) or not process.stdout.readline():
                    return False
        try:
            # a validator without a first block has no slot to read at
            return self._ask("getHealth") == "ok" and bool(self._ask("getSlot", [{"commitment": "confirmed"}]))
        except (OSError, ValueError, KeyError):
            return False
        finally:
            if process is not None and process.stdout is not None:
                process.stdout.close()
                process.stdout = None

    def _ask(self, method: str, params: list[object] | None = None) -> object:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params or []}).encode()
        request = urllib.request.Request(self.rpc_url, body, {"Content-Type": "application/json"})  # noqa: S310  127.0.0.1
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310  127.0.0.1
            return json.load(response)["result"]

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._signal(number)
        self.interrupted = True
        self._process.wait(20)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process = None


def free_ports(count: int) -> int:
    """The first of some neighbouring ports that nobody listens on, below the ephemeral range."""
    for first in random.sample(range(20_000, 30_000 - count), 50):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise RuntimeError("no free ports")


def _nice_and_mortal() -> None:
    os.nice(10)
    ctypes.CDLL(None).prctl(_PARENT_DEATH, signal.SIGKILL)
