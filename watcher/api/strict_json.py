"""Reading a request's body: JSON as RFC 8259 has it, and none of what Python's parser would let pass."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from chains.bounded_json import loads
from watcher.api.problems import Problem

MOST_BYTES: Final = 64 * 1024
MOST_DEPTH: Final = 32
MOST_KEYS: Final = 256
MOST_DIGITS: Final = 32
READ_SECONDS: Final = 10


async def read_body(request: web.Request) -> bytes:
    """The body, within 64 KiB and 10 seconds. Raises `Problem`: 408, 413, 415."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Problem(415, "unsupported_encoding", "Send the body as it is, without Content-Encoding")
    if request.content_length is not None and request.content_length > MOST_BYTES:
        raise Problem(413, "too_large", f"A body may have {MOST_BYTES} bytes")
    whole = request.content.is_eof()  # then there is nothing to wait for
    body = request.content.read_nowait() if whole else await _wait_for_body(request)
    if len(body) > MOST_BYTES:
        raise Problem(413, "too_large", f"A body may have {MOST_BYTES} bytes")
    return body


async def _wait_for_body(request: web.Request) -> bytes:
    """Of one that is too long, no more than shows it."""
    try:
        async with asyncio.timeout(READ_SECONDS):
            body = await request.content.read(MOST_BYTES + 1)
            while len(body) <= MOST_BYTES and not request.content.at_eof():
                body += await request.content.read(MOST_BYTES + 1 - len(body))
    except TimeoutError:
        raise Problem(408, "too_slow", f"The body did not arrive within {READ_SECONDS} seconds") from None
    return body


async def read_json(request: web.Request, *, media_types: tuple[str, ...] = ("application/json",)) -> Any:
    """The body's JSON value. Raises `Problem`: 400 when it is none, 415 when it doesn't say that it is."""
    if request.content_type not in media_types:
        raise Problem(415, "unsupported_media_type", f"Send {' or '.join(media_types)}")
    return parse_json(await read_body(request))


def parse_json(body: bytes) -> Any:
    """Strict: UTF-8, no duplicate keys, no NaN, no NUL, no lone surrogates, bounded depth, keys and digits."""
    try:
        text = body.decode()
        value = loads(
            text,
            object_pairs_hook=_read_object,
            parse_constant=_refuse_constant,
            parse_int=_read_int,
            parse_float=_keep_float,
        )
    except UnicodeDecodeError:
        raise Problem(400, "not_json", "The body is not UTF-8") from None
    except _Refused as error:
        raise Problem(400, "not_json", str(error)) from None
    except RecursionError:
        raise Problem(400, "not_json", f"The body is nested deeper than {MOST_DEPTH} levels") from None
    except ValueError as error:
        raise Problem(400, "not_json", f"The body is not JSON: {_place(error)}") from None
    _check(value, 0)
    return value


@dataclass(frozen=True, slots=True)
class JsonNumber:
    """A number with a fraction or an exponent, as it was written: no field takes one, and each says so."""

    text: str


class _Refused(Exception):
    pass


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_KEYS:
        raise _Refused(f"An object has more than {MOST_KEYS} keys")
    read = dict(pairs)
    if len(read) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Refused(f"The key {json.dumps(twice[:64])} stands twice in one object")
    return read


def _refuse_constant(text: str) -> Any:
    raise _Refused(f"{text} is not JSON")


def _read_int(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise _Refused(f"A number has more than {MOST_DIGITS} digits")
    return int(text)


def _keep_float(text: str) -> JsonNumber:
    return JsonNumber(text)


def _check(value: Any, depth: int) -> None:
    if depth > MOST_DEPTH:
        raise Problem(400, "not_json", f"The body is nested deeper than {MOST_DEPTH} levels")
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_text(key)
            _check(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, depth + 1)


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise Problem(400, "not_json", "A string holds a NUL character")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise Problem(400, "not_json", "A string holds half a surrogate pair")


def _place(error: ValueError) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else "a number is out of range"
