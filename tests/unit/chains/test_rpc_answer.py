"""Envelopes: what is asked is matched by id, and nothing else is taken for an answer."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.errors import RpcError
from chains.rpc_answer import BadAnswer, Null, load, read_batch, read_one, redact, retry_after


@given(st.lists(st.integers(), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_a_batch_in_any_order(results: list[int], dice: random.Random) -> None:
    """Results come in the order asked, in whatever order they were answered."""
    identities = list(range(100, 100 + len(results)))
    answers = [{"id": number, "result": result} for number, result in zip(identities, results, strict=True)]
    dice.shuffle(answers)
    assert read_batch(answers, identities, "host", Null.BAD) == results


@pytest.mark.parametrize(
    "answer",
    [
        [],
        [{"id": 1, "result": 1}],
        [{"id": 1, "result": 1}, {"id": 1, "result": 1}],
        [{"id": 1, "result": 1}, {"id": 3, "result": 1}],
        [{"id": 1, "result": 1}, {"id": 2, "result": 1}, {"id": 3, "result": 1}],
        [{"id": 1, "result": 1}, {"id": True, "result": 1}],
        [{"id": 1, "result": 1}, {"id": "2", "result": 1}],
        [{"id": 1, "result": 1}, {"id": 2, "result": None}],
        [{"id": 1, "result": 1}, {"id": 2}],
        [{"id": 1, "result": 1}, None],
        {"id": 1, "result": 1},
        "text",
        None,
    ],
)
def test_a_batch_of_another_shape(answer: Any) -> None:
    """One answer for each id, no more and no fewer."""
    with pytest.raises(BadAnswer):
        read_batch(answer, [1, 2], "host", Null.BAD)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "text",
        {},
        {"id": 7},
        {"result": 1},
        {"id": 8, "result": 1},
        {"id": 7.0, "result": 1},
        {"id": 7, "result": None},
        {"id": 8, "error": {"code": 1, "message": "for another request"}},
        {"id": 7, "error": "text"},
        {"id": 7, "error": {"code": "1"}},
        {"id": 7, "error": {}},
    ],
)
def test_an_envelope_of_another_shape(answer: Any) -> None:
    """Anything but a result with the right id is no answer."""
    with pytest.raises(BadAnswer):
        read_one(answer, 7, "host", Null.BAD)


def test_an_error_keeps_code_text_and_data() -> None:
    """A node's error comes with what its code means to an adapter, and without the URLs it may echo."""
    data = {"contextSlot": 5}
    error = {"code": -32016, "message": "see https://node.example/key/s3cret now", "data": data}
    found = read_one({"id": None, "error": error}, 7, "host", Null.BAD)
    assert isinstance(found, RpcError)
    assert (found.code, found.data) == (-32016, data)
    assert "s3cret" not in str(found)


def test_one_error_for_a_whole_batch() -> None:
    """A node may refuse a batch as a whole."""
    with pytest.raises(RpcError):
        read_batch({"id": None, "error": {"code": -32600, "message": "too large"}}, [1, 2], "host", Null.BAD)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"id": 1, "result": "0x', b"\xff", b"[" * 100_000])
def test_no_json(body: bytes) -> None:
    """A body that is not JSON, or is nested to do harm, is no answer."""
    with pytest.raises(BadAnswer):
        load(body)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 1.0),
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("86400", 60.0),
        ("inf", 60.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0),
    ],
)
def test_retry_after(header: str | None, seconds: float) -> None:
    """Seconds are taken, dates and nonsense count as one second."""
    assert retry_after(header) == seconds


def test_a_long_text_is_cut() -> None:
    """A node cannot fill the log with one error."""
    assert len(redact("x" * 10_000)) == 300
