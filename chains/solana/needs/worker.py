"""The process that runs strangers' transactions: questions on stdin, findings on stdout, nothing else.

A process of its own, because a run holds the interpreter's lock and can't be interrupted from within, and because a
program that breaks the runtime should break no more than this. Whoever asks kills it when it is late.
"""

import json
import resource
import sys
from typing import BinaryIO, Final

from chains.needs import Verdict
from chains.solana.needs.analyse import analyse
from chains.solana.needs.finding import Finding
from chains.solana.needs.machine import Machine
from chains.solana.needs.proposal import parse
from chains.solana.needs.snapshot import Program
from chains.solana.needs.trial import Trial
from chains.solana.needs.wire import LENGTH, Question, frame, unpack

MOST_MEMORY: Final = 4 * 2**30
"""Bytes of address space, most of which is never touched."""


def main() -> None:
    """Answer until stdin ends."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(sys.stdin.buffer, sys.stdout.buffer)


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """One answer to each question."""
    machine = Machine()
    programs: dict[tuple[str, str], Program] = {}
    while length := questions.read(LENGTH):
        body = json.loads(questions.read(int.from_bytes(length, "big")))
        finding = _answer(machine, unpack(body, programs))
        answers.write(frame(finding.to_json()))
        answers.flush()


def _answer(machine: Machine, question: Question) -> Finding:
    machine.runs = 0
    try:
        machine.put(question.snapshot)
    except Exception as error:  # noqa: BLE001  the runtime has no base class for what it says of code it can't load
        return Finding(Verdict.UNKNOWN, f"its programs can't be loaded ({type(error).__name__})")
    proposal = parse(question.transaction)
    return analyse(Trial(machine, question.snapshot, proposal, question.owner, seconds=question.seconds))


if __name__ == "__main__":
    main()
