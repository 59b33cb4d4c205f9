"""What was proposed is read strictly, or refused by the name of the field that is wrong."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.ethereum.needs.proposal import MOST_DATA, MOST_ENTRIES, parse_transaction
from chains.needs import BadTransaction

WALLET = "0xA11ce00000000000000000000000000000000001"
TO = "0x00000000000000000000000000000000DeaDBeef"
HASH = "0x01" + "ab" * 31
AUTHORIZATION = {"chainId": "0x1", "address": TO, "nonce": "0x0"}

BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"colour": "red"}, "colour", "unknown_field"),
    ({"from": TO}, "from", "other_sender"),
    ({"from": "0x1"}, "from", "not_an_address"),
    ({"to": TO[:-1]}, "to", "not_an_address"),
    ({"to": 5}, "to", "not_an_address"),
    ({"to": "", "data": "0x00"}, "to", "not_an_address"),
    ({"to": None}, "to", "missing"),
    ({"chainId": "0x2"}, "chainId", "other_network"),
    ({"chainId": 1}, "chainId", "not_a_quantity"),
    ({"value": 5}, "value", "not_a_quantity"),
    ({"value": "5"}, "value", "not_a_quantity"),
    ({"value": "0x"}, "value", "not_a_quantity"),
    ({"value": "-0x5"}, "value", "not_a_quantity"),
    ({"value": "0x" + "f" * 65}, "value", "not_a_quantity"),
    ({"value": "0x\u0665"}, "value", "not_a_quantity"),
    ({"value": True}, "value", "not_a_quantity"),
    ({"gas": hex(2**64)}, "gas", "too_large"),
    ({"nonce": hex(2**64)}, "nonce", "too_large"),
    ({"nonce": 0}, "nonce", "not_a_quantity"),
    ({"gasPrice": "fast"}, "gasPrice", "not_a_quantity"),
    ({"maxFeePerGas": 1.5}, "maxFeePerGas", "not_a_quantity"),
    ({"maxPriorityFeePerGas": []}, "maxPriorityFeePerGas", "not_a_quantity"),
    ({"maxFeePerBlobGas": {}}, "maxFeePerBlobGas", "not_a_quantity"),
    ({"data": "0xabc"}, "data", "not_data"),
    ({"data": "abcd"}, "data", "not_data"),
    ({"input": 7}, "input", "not_data"),
    ({"data": "0xab", "input": "0xcd"}, "input", "contradiction"),
    ({"data": "0x" + "00" * (MOST_DATA + 1)}, "data", "too_large"),
    ({"gasPrice": "0x1", "maxFeePerGas": "0x1"}, "gasPrice", "contradiction"),
    ({"gasPrice": "0x1", "maxPriorityFeePerGas": "0x1"}, "gasPrice", "contradiction"),
    ({"gasPrice": "0x1", "type": "0x2"}, "gasPrice", "contradiction"),
    ({"maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"}, "maxPriorityFeePerGas", "too_large"),
    ({"type": "0x5"}, "type", "unknown_type"),
    ({"type": "0xfff"}, "type", "too_large"),
    ({"type": 2}, "type", "not_a_quantity"),
    ({"type": "0x0", "accessList": []}, "accessList", "contradiction"),
    ({"type": "0x1", "maxFeePerGas": "0x1"}, "maxFeePerGas", "contradiction"),
    ({"type": "0x2", "blobVersionedHashes": [HASH]}, "blobVersionedHashes", "contradiction"),
    ({"type": "0x4", "blobVersionedHashes": [HASH], "authorizationList": [AUTHORIZATION]}, "blobVersionedHashes",
     "contradiction"),
    ({"type": "0x2", "authorizationList": [AUTHORIZATION]}, "authorizationList", "contradiction"),
    ({"type": "0x3"}, "blobVersionedHashes", "missing"),
    ({"type": "0x4"}, "authorizationList", "missing"),
    ({"to": None, "data": "0x00", "blobVersionedHashes": [HASH]}, "to", "missing"),
    ({"to": None, "data": "0x00", "authorizationList": [AUTHORIZATION]}, "to", "missing"),
    ({"blobVersionedHashes": HASH}, "blobVersionedHashes", "not_a_list"),
    ({"blobVersionedHashes": [HASH[:-2]]}, "blobVersionedHashes", "not_a_hash"),
    ({"blobVersionedHashes": [HASH] * (MOST_ENTRIES + 1)}, "blobVersionedHashes", "not_a_list"),
    ({"accessList": {}}, "accessList", "not_a_list"),
    ({"accessList": [[]]}, "accessList/0", "malformed"),
    ({"accessList": [{"storageKeys": []}]}, "accessList/0/address", "missing"),
    ({"accessList": [{"address": "0x", "storageKeys": []}]}, "accessList/0/address", "not_an_address"),
    ({"accessList": [{"address": TO, "storageKeys": []}, {"address": TO}]}, "accessList/1/storageKeys", "not_a_list"),
    ({"accessList": [{"address": TO, "storageKeys": ["0x1"]}]}, "accessList/0/storageKeys", "not_a_hash"),
    ({"accessList": [{"address": TO, "storageKeys": [HASH] * 1001}]}, "accessList/0/storageKeys", "not_a_list"),
    ({"authorizationList": "0x"}, "authorizationList", "not_a_list"),
    ({"authorizationList": ["0x"]}, "authorizationList/0", "malformed"),
    ({"authorizationList": [{"nonce": "0x1"}]}, "authorizationList/0/address", "missing"),
    ({"authorizationList": [AUTHORIZATION, {"address": 7}]}, "authorizationList/1/address", "not_an_address"),
    ({"authorizationList": [{"address": TO, "nonce": 1}]}, "authorizationList/0/nonce", "not_a_quantity"),
    ({"authorizationList": [{"address": TO, "r": "rr"}]}, "authorizationList/0/r", "not_a_quantity"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "field", "code"), BAD)
def test_each_fault_is_named(fields: dict[str, Any], field: str, code: str) -> None:
    """The field is named by its place in the transaction, and what is given is not repeated."""
    with pytest.raises(BadTransaction) as caught:
        parse_transaction(WALLET, {"to": TO, **fields}, 1)
    assert (caught.value.field, caught.value.code) == (field, code)
    assert len(caught.value.message) < 100


def test_a_sender_that_is_no_address() -> None:
    """The wallet's own address is checked, too."""
    with pytest.raises(BadTransaction) as caught:
        parse_transaction("0x5", {"to": TO}, 1)
    assert caught.value.field == "from"


QUANTITY = st.integers(0, 2**64 - 1)


@given(
    value=st.integers(0, 2**256 - 1), gas=QUANTITY, nonce=QUANTITY, data=st.binary(max_size=64), legacy=st.booleans()
)
def test_what_is_right_is_read_as_it_is(value: int, gas: int, nonce: int, data: bytes, *, legacy: bool) -> None:
    """Every number comes out as it went in, whichever case and name it was written in."""
    price: dict[str, Any] = {"gasPrice": "0x9"} if legacy else {"maxFeePerGas": "0x9", "maxPriorityFeePerGas": "0x2"}
    fields = {"from": WALLET.lower(), "to": TO, "value": hex(value), "gas": hex(gas).replace("x", "x0")[:66]}
    fields |= {"nonce": f"0x{nonce:X}", "input": "0x" + data.hex().upper(), "chainId": "0x1", **price}
    proposal = parse_transaction(WALLET, fields, 1)
    assert (proposal.sender, proposal.to) == (WALLET.lower(), TO.lower())
    assert (proposal.value, proposal.gas, proposal.nonce) == (value, gas, nonce)
    assert (proposal.max_price, proposal.tip) == (9, None if legacy else 2)
    assert proposal.data == "0x" + data.hex()


ODD: list[Any] = [None, True, 0, 1.5, "", "0x", "0x1", "0x3", "0x4", TO, HASH, [], {}]
VALUES = st.sampled_from(ODD) | st.lists(
    st.sampled_from([*ODD, AUTHORIZATION, {"address": TO, "storageKeys": []}, {"address": TO, "r": "0x1"}]), max_size=2
)


@given(st.dictionaries(st.sampled_from(sorted({name for fields, _, _ in BAD for name in fields})), VALUES, max_size=6))
def test_anything_else_is_read_or_refused(fields: dict[str, Any]) -> None:
    """Whatever JSON brings ends in a proposal, or in `BadTransaction` that names one of the fields given."""
    refused = None
    try:
        parse_transaction(WALLET, fields, 1)
    except BadTransaction as error:
        refused = error.field.split("/")[0]
    assert refused in {None, "to", "blobVersionedHashes", "authorizationList", *fields}


def test_whose_code_an_unsigned_authorization_gives() -> None:
    """The last one that nobody has signed counts; a signed one is the node's to judge."""
    signed = {**AUTHORIZATION, "address": WALLET, "r": "0x1", "s": "0x1", "yParity": "0x0"}
    proposal = parse_transaction(WALLET, {"to": TO, "authorizationList": [AUTHORIZATION, signed]}, 1)
    assert proposal.delegate == TO.lower()
    assert proposal.call()["authorizationList"] == [signed]
    assert parse_transaction(WALLET, {"to": TO, "authorizationList": [signed]}, 1).delegate is None
