"""Programs of a few instructions, written by hand: what no program of the network would do, a hostile one may."""

import struct
from collections.abc import Sequence
from typing import Final

_BASE: Final = 0x120
_NAMES: Final = b"\0.text\0.shstrtab\0"
_MACHINE: Final = 247
"""BPF."""
_SECTION: Final = 64

EXIT: Final = (0x95, 0, 0, 0, 0)
FIRST_LAMPORTS: Final = 8 + 8 + 32 + 32
"""Where the input tells the lamports of the first account."""
FIRST_DATA: Final = FIRST_LAMPORTS + 16
_SPARE: Final = 10_240
"""Bytes after each account's data in the input."""


def argument_after(data_size: int) -> int:
    """Where the input of a call with one account begins to tell the instruction's data."""
    end = FIRST_DATA + data_size + _SPARE
    return end + -end % 8 + 16


def load(register: int, offset: int) -> tuple[int, ...]:
    """Eight bytes of the input."""
    return (0x79, register, 1, offset, 0)


def leave_unless_more(register: int, than: int) -> list[tuple[int, ...]]:
    """Fail with 42 where one register holds more than the other; else succeed."""
    return [(0x2D, register, than, 2, 0), (0xB7, 0, 0, 0, 0), EXIT, (0xB7, 0, 0, 0, 42), EXIT]


def turn_without_end() -> list[tuple[int, ...]]:
    """Jump to itself."""
    return [(0x05, 0, 0, -1, 0), EXIT]


def assemble(steps: Sequence[tuple[int, ...]]) -> bytes:
    """An executable for the loaders, from opcode, destination, source, offset and value of each step."""
    text = b"".join(
        struct.pack("<BBhi", op, to | source << 4, offset, value) for op, to, source, offset, value in steps
    )
    names_at = _BASE + len(text)
    sections_at = names_at + len(_NAMES) + -(names_at + len(_NAMES)) % 8
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\2\1\1",
        3,
        _MACHINE,
        1,
        _BASE,
        64,
        sections_at,
        0,
        64,
        56,
        1,
        _SECTION,
        3,
        2,
    )
    loaded = struct.pack("<IIQQQQQQ", 1, 5, _BASE, _BASE, _BASE, len(text), len(text), 4096)
    sections = bytes(_SECTION)
    sections += struct.pack("<IIQQQQIIQQ", 1, 1, 6, _BASE, _BASE, len(text), 0, 0, 8, 0)
    sections += struct.pack("<IIQQQQIIQQ", 7, 3, 0, 0, names_at, len(_NAMES), 0, 0, 1, 0)
    image = (header + loaded).ljust(_BASE, b"\0") + text + _NAMES
    return image.ljust(sections_at, b"\0") + sections
