"""A serialised transaction is read as the fields it was made of: a general library serialises, our own code reads."""

from collections.abc import Mapping
from typing import Any

import pytest
import rlp
from eth_account import Account
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from chains.ethereum.needs.proposal import parse_transaction
from chains.ethereum.needs.raw import read_raw
from chains.needs import BadTransaction

KEY = "0x" + "46" * 32
SENDER = Account.from_key(KEY).address
OTHER = to_checksum_address("0x" + "35" * 20)
TO = to_checksum_address("0x" + "ab" * 20)
PLAIN: dict[str, Any] = {"to": TO, "value": 10**18, "data": "0xa9059cbb00", "nonce": 7, "gas": 60_000}
FEES: dict[str, Any] = {"chainId": 31337, "maxFeePerGas": 5 * 10**9, "maxPriorityFeePerGas": 10**9}
ACCESS = {"accessList": [{"address": OTHER, "storageKeys": ["0x" + "01" * 32, "0x" + "02" * 32]}]}
BLOBS = {"maxFeePerBlobGas": 9, "blobVersionedHashes": ["0x01" + "ef" * 31]}
KINDS: dict[str, dict[str, Any]] = {
    "no chain": {**PLAIN, "gasPrice": 3 * 10**9},
    "legacy": {**PLAIN, "gasPrice": 3 * 10**9, "chainId": 31337},
    "2930": {**PLAIN, **ACCESS, "type": 1, "gasPrice": 3 * 10**9, "chainId": 31337},
    "1559": {**PLAIN, **FEES, "type": 2},
    "1559 and a list": {**PLAIN, **FEES, **ACCESS, "type": 2},
    "4844": {**PLAIN, **FEES, **ACCESS, **BLOBS, "type": 3},
    "7702": {**PLAIN, **FEES, "type": 4},
}


def made(kind: str) -> dict[str, Any]:
    fields = KINDS[kind]
    if kind != "7702":
        return fields
    signed = Account.from_key(KEY).sign_authorization({"chainId": 31337, "address": OTHER, "nonce": 8})
    return {**fields, "authorizationList": [signed]}


def written(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The same, as JSON-RPC writes it."""
    told = {name: hex(value) if isinstance(value, int) else value for name, value in fields.items()}
    if "authorizationList" in fields:
        told["authorizationList"] = [
            {
                name: item[name] if isinstance(item[name], str) else hex(item[name])
                for name in ("chainId", "nonce", "yParity", "r", "s")
            }
            | {"address": OTHER}
            for item in (each.model_dump(by_alias=True) for each in fields["authorizationList"])
        ]
    return told


def signed(kind: str) -> bytes:
    return bytes(Account.sign_transaction(made(kind), KEY).raw_transaction)


def unsigned(kind: str) -> str:
    """As a wallet's library serialises what is to be signed: the signature is not there yet."""
    raw = signed(kind)
    if "type" in KINDS[kind]:
        return f"0x{(raw[:1] + rlp.encode(rlp.decode(raw[1:])[:-3])).hex()}"
    ends = [KINDS[kind]["chainId"], 0, 0] if "chainId" in KINDS[kind] else []
    return f"0x{rlp.encode([*rlp.decode(raw)[:6], *ends]).hex()}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_signed_one_is_what_was_signed(kind: str) -> None:
    """Each type that another library signed gives the same proposal as its fields, and its signer."""
    fields = made(kind)
    read = read_raw(signed(kind).hex())
    assert read["from"] == SENDER
    assert parse_transaction(SENDER, read, 31337) == parse_transaction(SENDER, written(fields), 31337)
    with pytest.raises(BadTransaction) as refused:
        parse_transaction(OTHER, read, 31337)
    assert (refused.value.field, refused.value.code) == ("from", "other_sender")


@pytest.mark.parametrize("kind", KINDS)
def test_an_unsigned_one_is_what_is_to_be_signed(kind: str) -> None:
    """Without a signature there is no sender, and everything else is the same."""
    read = read_raw(unsigned(kind))
    assert "from" not in read
    assert parse_transaction(OTHER, read, 31337) == parse_transaction(OTHER, written(made(kind)), 31337)


def test_what_nobody_has_chosen_yet_is_left_out() -> None:
    """A library that serialises a draft writes zeros for nonce, gas and fees: they are no choice of ours to prove."""
    blank = [1, 0, 0, 0, 0, bytes.fromhex(TO[2:]), 5, b"", []]
    proposal = parse_transaction(SENDER, read_raw("0x02" + rlp.encode(blank).hex()), 1)
    assert (proposal.gas, proposal.max_price, proposal.tip, proposal.nonce) == (None, None, None, None)
    assert proposal.value == 5


def test_a_deployment_has_no_receiver() -> None:
    """An empty `to` is none."""
    proposal = parse_transaction(SENDER, read_raw(rlp.encode([0, 1, 1, b"", 0, b"\x60\x00"]).hex()))
    assert (proposal.to, proposal.data) == (None, "0x6000")


def test_blobs_that_travel_along_are_not_needed() -> None:
    """The form for the network, with blobs, commitments and proofs, reads like the one of a block."""
    raw = signed("4844")
    wrapped = b"\x03" + rlp.encode([rlp.decode(raw[1:]), [b"\x01" * 131_072], [b"\x02" * 48], [b"\x03" * 48]])
    assert read_raw(wrapped.hex()) == read_raw(raw.hex())


SIGNED = signed("legacy")
NONSENSE = {
    "nothing": ("", "", "not_an_object"),
    "no digits": ("0x", "", "not_an_object"),
    "base64": ("AQABAgM=", "", "not_an_object"),
    "half a byte": ("0x02f", "", "not_an_object"),
    "an unknown type": ("0x7f" + SIGNED.hex(), "type", "unknown_type"),
    "a value, no list": ("0x0285ffffffffff", "", "malformed"),
    "cut short": (SIGNED[:-1].hex(), "", "malformed"),
    "more behind it": (SIGNED.hex() + "00", "", "malformed"),
    "too few parts": (rlp.encode([1, 2, 3]).hex(), "", "malformed"),
    "a list for a value": (rlp.encode([0, 1, 1, b"", [], b"\x60"]).hex(), "value", "malformed"),
    "a leading zero": (rlp.encode([0, 1, b"\0\1", b"", 0, b"\x60"]).hex(), "gas", "not_a_quantity"),
    "an endless number": (rlp.encode([0, 1, b"\1" * 33, b"", 0, b"\x60"]).hex(), "gas", "not_a_quantity"),
    "a signature of nobody": (rlp.encode([0, 1, 1, b"", 0, b"\x60", 27, 2**256 - 1, 1]).hex(), "from", "bad_signature"),
    "an odd parity": (rlp.encode([0, 1, 1, b"", 0, b"\x60", 29, 1, 1]).hex(), "from", "bad_signature"),
    "depth": ("f8" * 2, "", "malformed"),
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_is_refused_in_one_sentence(kind: str) -> None:
    """What is no transaction names the part that is wrong."""
    text, field, code = NONSENSE[kind]
    with pytest.raises(BadTransaction) as refused:
        read_raw(text)
    assert (refused.value.field, refused.value.code) == (field, code)


def test_a_malleable_signature_is_none() -> None:
    """The other `s` of the same signature, which no node takes, tells no sender."""
    *body, v, r, s = rlp.decode(SIGNED)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    flipped = [*body, int.from_bytes(v, "big") ^ 1, r, order - int.from_bytes(s, "big")]
    with pytest.raises(BadTransaction, match="signature"):
        read_raw(rlp.encode(flipped).hex())


def test_a_tower_of_lists_is_refused() -> None:
    """Nesting without end ends in a refusal, too."""
    tower = b""
    for _ in range(5_000):
        tower = rlp.codec.length_prefix(len(tower), 0xC0) + tower
    with pytest.raises(BadTransaction):
        read_raw(tower.hex())


@given(st.binary(max_size=200), st.integers(0, 5))
def test_any_bytes_are_read_or_refused(content: bytes, kind: int) -> None:
    """No bytes raise anything else."""
    for raw in (content, bytes([kind]) + content, bytes([kind]) + rlp.encode([content] * 9)):
        try:
            parse_transaction(SENDER, read_raw(raw.hex()))
        except BadTransaction:
            continue
