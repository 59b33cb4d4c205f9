"""What was proposed is read byte for byte, or refused with a reason."""

import struct
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from chains.needs import BadTransaction
from chains.solana.needs.fee import charge_of
from chains.solana.needs.proposal import parse

WALLET = Keypair.from_seed(bytes(32))
TO = Pubkey.from_bytes(bytes(range(32)))
PAID = transfer(TransferParams(from_pubkey=WALLET.pubkey(), to_pubkey=TO, lamports=5))
MESSAGES: list[Message | MessageV0] = [
    Message.new_with_blockhash([PAID], WALLET.pubkey(), Hash.default()),
    MessageV0.try_compile(WALLET.pubkey(), [PAID], [], Hash.default()),
]


def text(raw: bytes) -> str:
    return b64encode(raw).decode()


@pytest.mark.parametrize("message", MESSAGES)
def test_all_the_ways_to_write_one(message: Message | MessageV0) -> None:
    """A message, a transaction with empty signatures, with none, and signed: the same transaction."""
    raw = to_bytes_versioned(message)
    empty = bytes(VersionedTransaction.populate(message, [Signature.default()]))
    signed = bytes(VersionedTransaction(message, [WALLET]))
    for form in (raw, empty, b"\0" + raw, signed):
        proposal = parse(text(form))
        assert to_bytes_versioned(proposal.transaction.message) == raw
        assert proposal.payer == str(WALLET.pubkey())
        assert proposal.is_fixed is (form == signed)
        assert len(proposal.transaction.signatures) == 1


@given(st.binary(max_size=1300))
def test_garbage_is_refused(raw: bytes) -> None:
    """Nothing but BadTransaction comes of any bytes."""
    with pytest.raises(BadTransaction) as caught:
        parse(text(raw))
    assert caught.value.field == "transaction"


@given(st.text(max_size=200))
def test_any_text_is_refused(given_text: str) -> None:
    """Nor of any text."""
    with pytest.raises(BadTransaction):
        parse(given_text)


@pytest.mark.parametrize("message", MESSAGES)
@given(data=st.data())
def test_a_changed_byte_is_another_transaction_or_none(message: Message | MessageV0, data: st.DataObject) -> None:
    """A message with any byte changed is read as it is, or refused; never as something else."""
    raw = bytearray(to_bytes_versioned(message))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        proposal = parse(text(bytes(raw)))
    except BadTransaction:
        return
    assert bytes(proposal.transaction).endswith(bytes(raw[1:]))


@pytest.mark.parametrize(
    ("given_text", "code"),
    [
        ("*", "not_base64"),
        ("é", "not_base64"),
        ("", "not_a_transaction"),
        (text(bytes(2000)), "too_large"),
        ("A" * 100_000, "too_large"),
        (text(to_bytes_versioned(MESSAGES[0]) + b"\0"), "not_a_transaction"),
        (text(to_bytes_versioned(Message.new_with_blockhash([], WALLET.pubkey(), Hash.default()))), "malformed"),
    ],
)
def test_the_reason_is_told(given_text: str, code: str) -> None:
    """Each fault has a code of its own."""
    with pytest.raises(BadTransaction) as caught:
        parse(given_text)
    assert caught.value.code == code


def test_a_durable_nonce_is_seen() -> None:
    """The first instruction that advances one names it."""
    nonce = Keypair().pubkey()
    metas = [AccountMeta(nonce, is_signer=False, is_writable=True)]
    advance = Instruction(Pubkey.default(), struct.pack("<I", 4), metas)
    message = Message.new_with_blockhash([advance, PAID], WALLET.pubkey(), Hash.default())
    assert parse(text(bytes(message))).nonce == str(nonce)
    later = Message.new_with_blockhash([PAID, advance], WALLET.pubkey(), Hash.default())
    assert parse(text(bytes(later))).nonce is None


@given(price=st.integers(0, 2**64 - 1), limit=st.integers(0, 2**32 - 1))
def test_the_fee_is_price_times_limit_rounded_up(price: int, limit: int) -> None:
    """The limit is cut to the runtime's own; a part of a lamport is a whole one."""
    steps = [set_compute_unit_limit(limit), set_compute_unit_price(price), PAID]
    charge = charge_of(parse(text(bytes(Message.new_with_blockhash(steps, WALLET.pubkey(), Hash.default())))))
    units = min(limit, 1_400_000)
    assert charge.base == 5_000
    assert (charge.priority - 1) * 10**6 < price * units <= charge.priority * 10**6


def test_the_limit_where_none_is_set() -> None:
    """3,000 units for the runtime's own programs, 200,000 for others."""
    other = Instruction(Keypair().pubkey(), b"", [])
    message = Message.new_with_blockhash([set_compute_unit_price(10**6), PAID, other], WALLET.pubkey(), Hash.default())
    assert charge_of(parse(text(bytes(message)))).priority == 206_000
