"""What is encoded and decoded by hand agrees with the libraries that do it in general."""

import pytest
from eth_abi.abi import decode, encode
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from chains.errors import Unavailable
from chains.ethereum import multicall
from chains.ethereum.answers import classify, data, quantity
from chains.ethereum.delegations import recovery_request
from chains.rpc_answer import Verdict

addresses = st.lists(st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex()), max_size=6)
amounts = st.lists(st.integers(0, 2**256 - 1), max_size=6)


@given(addresses, st.booleans())
def test_multicall_calldata(wallets: list[str], native: bool) -> None:  # noqa: FBT001  hypothesis fills it
    """The calldata decodes to one balance call for each address."""
    token = None if native else "0x" + "ab" * 20
    calldata = bytes.fromhex(multicall.encode(token, wallets)[2:])
    (calls,) = decode(["(address,bool,bytes)[]"], calldata[4:])
    selector = "4d2301cc" if native else "70a08231"
    target = multicall.ADDRESS.lower() if native else token
    expected = [(target, True, bytes.fromhex(selector + wallet[2:].rjust(64, "0"))) for wallet in wallets]
    assert [*calls] == expected


@given(amounts)
def test_multicall_answers(units: list[int]) -> None:
    """Amounts encoded by a general coder are read back, and a cut answer is unknown."""
    answer = encode(["(bool,bytes)[]"], [[(True, amount.to_bytes(32)) for amount in units]])
    assert multicall.decode(answer, len(units)) == units
    with pytest.raises(Unavailable):
        multicall.decode(answer[:-1], len(units))
    with pytest.raises(Unavailable):
        multicall.decode(answer, len(units) + 1)


@pytest.mark.parametrize("bad", [(False, bytes(32)), (True, b""), (True, bytes(31))])
def test_multicall_failures_are_unknown(bad: tuple[bool, bytes]) -> None:
    """A failed or empty inner call is no zero."""
    with pytest.raises(Unavailable):
        multicall.decode(encode(["(bool,bytes)[]"], [[(True, bytes(32)), bad]]), 2)


@given(st.integers(0, 2**63), st.integers(0, 2**63 - 1), st.integers(1, 2**200))
def test_authorization_digest(chain_id: int, nonce: int, key: int) -> None:
    """The digest to recover from is the one that a wallet signed."""
    account = Account.from_key(key.to_bytes(32))
    signed = account.sign_authorization({"chainId": chain_id, "address": "0x" + "cd" * 20, "nonce": nonce})
    listed = {
        "chainId": hex(chain_id),
        "address": "0x" + "cd" * 20,
        "nonce": hex(nonce),
        "yParity": hex(signed.y_parity),
        "r": hex(signed.r),
        "s": hex(signed.s),
    }
    _, (call, _) = recovery_request(listed, "0x" + "00" * 32)
    words = bytes.fromhex(call["data"][2:])
    assert words[:32] == signed.authorization_hash
    assert int.from_bytes(words[32:64]) == 27 + signed.y_parity


@pytest.mark.parametrize("value", [None, "0x", "", "12", 12, "0xzz", [], {}])
def test_no_quantity_is_no_zero(value: object) -> None:
    """Anything but a hex quantity is unknown."""
    with pytest.raises(Unavailable):
        quantity(value)


@pytest.mark.parametrize("value", [None, "", "abcd", 12, "0xabc", "0xzz"])
def test_no_data_is_refused(value: object) -> None:
    """Anything but hex data is unknown."""
    with pytest.raises(Unavailable):
        data(value)


@pytest.mark.parametrize(
    ("code", "text", "verdict"),
    [
        (-32001, "Resource not found", Verdict.BEHIND),
        (-32000, "header not found", Verdict.BEHIND),
        (-32000, "unknown block", Verdict.BEHIND),
        (-32602, "BlockOutOfRange: block height is 5 but requested was 9", Verdict.BEHIND),
        (-32000, "missing trie node 3f", Verdict.BEHIND),
        (-32000, "hash is not currently canonical", Verdict.BEHIND),
        (-32005, "limit exceeded", Verdict.BUSY),
        (429, "Your app has exceeded its compute units per second capacity", Verdict.BUSY),
        (-32000, "Too Many Requests", Verdict.BUSY),
        (-32601, "the method debug_traceBlockByHash does not exist", Verdict.ELSEWHERE),
        (-32603, "Internal error", Verdict.ELSEWHERE),
        (3, "execution reverted", Verdict.FINAL),
        (-32602, "invalid argument 0", Verdict.FINAL),
    ],
)
def test_what_errors_mean(code: int, text: str, verdict: Verdict) -> None:
    """Nodes' own words for "I don't know that block", "slow down" and "not here" are told apart."""
    assert classify(code, text) is verdict
