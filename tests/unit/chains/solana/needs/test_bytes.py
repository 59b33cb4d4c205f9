"""What strangers wrote is read within its bounds: any bytes give a value or the one error that is told."""

import json
import struct
from base64 import b64encode
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.account import Account
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey

from chains.needs import BadTransaction, Verdict
from chains.solana.accounts import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from chains.solana.needs import token
from chains.solana.needs.decode import stated_coin, stated_tokens
from chains.solana.needs.failure import describe, lacking_lamports
from chains.solana.needs.finding import Finding, Taken
from chains.solana.needs.proposal import Lookup, Proposal, parse, stored_nonce
from chains.solana.needs.snapshot import LOOKUP_PROGRAM, NoTable, Program, Snapshot, resolve
from chains.solana.needs.wire import LENGTH, Question, pack, unpack

WALLET = Keypair.from_seed(bytes(32)).pubkey()
SOURCE = Pubkey.from_bytes(bytes(range(32)))
AMOUNTS = st.integers(0, 2**64 - 1)
KEYS = st.binary(min_size=32, max_size=32).map(Pubkey.from_bytes)
NEVER = 2**64 - 1
ACCOUNTS = st.builds(
    lambda lamports, data, owner, executable: Account(lamports, data, owner, executable, NEVER),
    AMOUNTS,
    st.binary(max_size=300),
    KEYS,
    st.booleans(),
)


def proposal(program: str | Pubkey, data: bytes, *keys: Pubkey) -> Proposal:
    to = Pubkey.from_string(program) if isinstance(program, str) else program
    metas = [AccountMeta(key, is_signer=False, is_writable=True) for key in keys]
    message = Message.new_with_blockhash([Instruction(to, data, metas)], WALLET, Hash.default())
    return parse(b64encode(bytes(message)).decode())


def token_account(amount: int, *, is_native: bool, size: int, program: str = TOKEN_PROGRAM) -> Account:
    data = bytearray(size)
    struct.pack_into("<32s32sQ", data, 0, bytes(SOURCE), bytes(WALLET), amount)
    data[108] = 1
    data[109] = is_native
    if size > 165:
        data[165] = 2
    return Account(2_039_280 + amount * is_native, bytes(data), Pubkey.from_string(program), False, NEVER)


@given(ACCOUNTS, st.sampled_from([TOKEN_PROGRAM, TOKEN_2022_PROGRAM]))
def test_any_account_of_a_token_program_is_read(account: Account, program: str) -> None:
    """An account, a mint, or neither; what is one can be read to its end."""
    account = Account(account.lamports, account.data, Pubkey.from_string(program), False, NEVER)
    assert not (token.is_mint(account) and token.is_token_account(account))
    if token.is_token_account(account):
        assert 0 <= token.amount_of(account) < 2**64
        assert len(token.mint_of(account)) > 30
        assert len(token.holder_of(account)) > 30


@pytest.mark.parametrize("size", [165, 170, 182])
def test_only_the_token_programs_hold_tokens(size: int) -> None:
    """The same bytes of another program's are no tokens, nor are those of a mint with extensions."""
    account = token_account(5, is_native=False, size=size)
    assert token.is_token_account(account)
    assert not token.is_token_account(token_account(5, is_native=False, size=size, program=SYSTEM_PROGRAM))
    if size > 165:
        data = account.data[:165] + b"\1" + account.data[166:]
        mint = Account(account.lamports, data, account.owner, False, NEVER)
        assert (token.is_mint(mint), token.is_token_account(mint)) == (True, False)


def test_two_transfers_out_of_one_account() -> None:
    """What is stated adds up."""
    metas = [AccountMeta(key, is_signer=False, is_writable=True) for key in (SOURCE, WALLET)]
    program = Pubkey.from_string(TOKEN_PROGRAM)
    steps = [Instruction(program, b"\x03" + struct.pack("<Q", amount), metas) for amount in (5, 7)]
    message = Message.new_with_blockhash(steps, WALLET, Hash.default())
    proposed = parse(b64encode(bytes(message)).decode())
    assert stated_tokens(proposed, proposed.keys) == {str(SOURCE): 12}


@given(
    before=st.integers(0, 2**60), after=st.integers(0, 2**60), is_native=st.booleans(), size=st.sampled_from([165, 182])
)
def test_an_amount_is_all_that_changes(before: int, after: int, is_native: bool, size: int) -> None:  # noqa: FBT001
    """Beside the lamports that wrapped coins are."""
    account = token_account(before, is_native=is_native, size=size)
    changed = token.with_amount(account, after)
    assert token.amount_of(changed) == after
    assert changed.lamports - account.lamports == (after - before) * is_native
    assert changed.data[:64] + changed.data[72:] == account.data[:64] + account.data[72:]
    assert token.is_native(account) is is_native
    back = token.with_amount(changed, before)
    assert (back.data, back.lamports) == (account.data, account.lamports)


@given(AMOUNTS)
def test_an_approval_changes_no_amount(amount: int) -> None:
    """Nor who holds it."""
    account = token_account(amount, is_native=False, size=165)
    changed = token.with_delegate(account, str(SOURCE))
    assert (token.amount_of(changed), token.holder_of(changed)) == (amount, str(WALLET))
    assert changed.data[76:108] == bytes(SOURCE)
    assert struct.unpack_from("<Q", changed.data, 121)[0] == 2**64 - 1


@given(st.sampled_from([SYSTEM_PROGRAM, TOKEN_PROGRAM, TOKEN_2022_PROGRAM]), st.binary(max_size=80))
def test_any_instruction_states_an_amount_or_nothing(program: str, data: bytes) -> None:
    """Never less than nothing, never more than 64 bits, for any bytes."""
    proposed = proposal(program, data, WALLET, SOURCE)
    assert 0 <= stated_coin(proposed, proposed.keys, str(WALLET)) < 2**64
    assert all(0 <= amount < 2**64 for amount in stated_tokens(proposed, proposed.keys).values())


@given(AMOUNTS)
def test_amounts_that_are_stated(amount: int) -> None:
    """Transfers of coins, also out of a derived address; new accounts; transfers and burns of tokens."""
    lamports = struct.pack("<Q", amount)
    seed = struct.pack("<Q", 3) + b"abc"
    coins = (
        struct.pack("<I", 2) + lamports,
        struct.pack("<I", 0) + lamports + bytes(40),
        struct.pack("<I", 3) + bytes(32) + seed + lamports + bytes(40),
        struct.pack("<I", 11) + lamports + seed + bytes(32),
    )
    for data in coins:
        proposed = proposal(SYSTEM_PROGRAM, data, WALLET, SOURCE)
        assert stated_coin(proposed, proposed.keys, str(WALLET)) == amount
        other = proposal(SYSTEM_PROGRAM, data, SOURCE, WALLET)
        assert stated_coin(other, other.keys, str(WALLET)) == 0
    for tag in (b"\x03", b"\x08", b"\x0c", b"\x0f", b"\x1a\x01"):
        proposed = proposal(TOKEN_PROGRAM, tag + lamports + b"\6", SOURCE, WALLET)
        assert stated_tokens(proposed, proposed.keys) == {str(SOURCE): amount}
    for tag in (b"\x07", b"\x0e", b"\x04", b"\x1a\x00"):  # minting, approving, and how a fee is set up
        proposed = proposal(TOKEN_PROGRAM, tag + lamports + b"\6", SOURCE, WALLET)
        assert stated_tokens(proposed, proposed.keys) == {}


@given(st.text(), AMOUNTS, AMOUNTS)
def test_a_line_of_a_log_is_a_number_or_none(text: str, have: int, need: int) -> None:
    """Only a line that is nothing else counts, and it is of the last refusal."""
    assert lacking_lamports([text]) == 0
    line = f"Transfer: insufficient lamports {have}, need {need}"
    assert lacking_lamports([line, text]) == need - have
    assert lacking_lamports([f"Program log: {line}"]) == 0


@given(st.text(max_size=2_000))
def test_a_reason_is_short_and_plain(text: str) -> None:
    """Whatever an error is called, people read one clause without markup."""
    said = describe(text, proposal(SYSTEM_PROGRAM, b"", WALLET), (str(WALLET),))
    assert len(said) < 140
    assert not set(said) & set('<>&\n\r"`')


@given(st.binary(max_size=300), st.binary(max_size=4), st.binary(max_size=4))
def test_any_table_is_read_or_told(data: bytes, writable: bytes, readonly: bytes) -> None:
    """A lookup table of any bytes gives as many keys as asked for, or `NoTable`."""
    table = Account(1, data, Pubkey.from_string(LOOKUP_PROGRAM), False, NEVER)
    base = proposal(SYSTEM_PROGRAM, b"", WALLET)
    looking = Proposal(base.transaction, base.keys, (Lookup(str(SOURCE), writable, readonly),), False, None)
    try:
        keys = resolve(looking, {str(SOURCE): table})
    except NoTable:
        return
    assert len(keys) == len(base.keys) + len(writable) + len(readonly)


@given(st.lists(KEYS, min_size=1, max_size=20), st.data())
def test_a_tables_keys_in_their_order(keys: list[Pubkey], data: st.DataObject) -> None:
    """Its own keys, then those looked up to be written, then the others."""
    state = struct.pack("<IQQBB32sH", 1, 2**64 - 1, 0, 0, 0, b"", 0)
    table = Account(1, state + b"".join(map(bytes, keys)), Pubkey.from_string(LOOKUP_PROGRAM), False, NEVER)
    indexes = st.lists(st.integers(0, len(keys) - 1), max_size=4).map(bytes)
    writable, readonly = data.draw(indexes), data.draw(indexes)
    base = proposal(SYSTEM_PROGRAM, b"", WALLET)
    looking = Proposal(base.transaction, base.keys, (Lookup(str(SOURCE), writable, readonly),), False, None)
    found = resolve(looking, {str(SOURCE): table})
    assert found == (*base.keys, *(str(keys[index]) for index in (*writable, *readonly)))
    beyond = Lookup(str(SOURCE), bytes([len(keys)]), b"")
    with pytest.raises(NoTable):
        resolve(Proposal(base.transaction, base.keys, (beyond,), False, None), {str(SOURCE): table})
    with pytest.raises(NoTable):
        resolve(looking, {str(SOURCE): None})


@given(st.binary(max_size=100))
def test_any_nonce_is_read_or_none(data: bytes) -> None:
    """Eighty bytes of the present layout, used: else there is none."""
    assert stored_nonce(data) is None or (len(data) == 80 and data[:8] == struct.pack("<II", 1, 1))
    full = struct.pack("<II", 1, 1) + bytes(32) + bytes(SOURCE) + bytes(8)
    assert stored_nonce(full) == str(SOURCE)
    assert stored_nonce(struct.pack("<II", 0, 1) + full[8:]) is None
    assert stored_nonce(struct.pack("<II", 1, 0) + full[8:]) is None


@given(
    st.dictionaries(KEYS.map(str), st.none() | ACCOUNTS, max_size=4),
    st.dictionaries(KEYS.map(str), ACCOUNTS, max_size=2),
    st.binary(max_size=40),
)
def test_a_question_arrives_as_it_was_asked(
    accounts: dict[str, Account | None], code: dict[str, Account], clock: bytes
) -> None:
    """All but what programs' own accounts hold, which their code stands for; code that was told is not told again."""
    programs = {key: Program(f"v{key}", ((key, account),)) for key, account in code.items()}
    asked = Question("AAAA", str(WALLET), 1.5, Snapshot(7, tuple(accounts), accounts, programs, clock, b"rent"))
    told: dict[tuple[str, str], Program] = {}
    for known in ((), [(key, program.version) for key, program in programs.items()]):
        framed = BytesIO(pack(asked, known))
        body = json.loads(framed.read(int.from_bytes(framed.read(LENGTH), "big")))
        assert bool(body["code"]) is (bool(programs) and not known)
        got = unpack(body, told)
        assert (got.transaction, got.owner, got.seconds) == ("AAAA", str(WALLET), 1.5)
        assert (got.snapshot.slot, got.snapshot.keys, got.snapshot.clock) == (7, tuple(accounts), clock)
        assert got.snapshot.programs == programs
        for key, account in accounts.items():
            arrived = got.snapshot.accounts[key]
            if account is None or arrived is None:
                assert arrived is account
                continue
            assert (arrived.lamports, arrived.owner, arrived.executable) == (
                account.lamports,
                account.owner,
                account.executable,
            )
            assert arrived.data == (b"" if account.executable else account.data)


@given(st.sampled_from(list(Verdict)), st.text(), AMOUNTS, st.booleans())
def test_a_finding_comes_back_as_it_was(verdict: Verdict, detail: str, amount: int, flag: bool) -> None:  # noqa: FBT001
    """Through JSON and back."""
    taken = Taken("a", "m", amount, 3, flag)
    found = Finding(verdict, detail, flag, amount, 2, 3, 4, 5, (taken,), 9)
    assert Finding.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_signer_off_the_curve_is_refused() -> None:
    """Nobody holds its key."""
    vault = Pubkey.find_program_address([b"vault"], SOURCE)[0]
    message = Message.new_with_blockhash([Instruction(SOURCE, b"", [])], vault, Hash.default())
    with pytest.raises(BadTransaction) as caught:
        parse(b64encode(bytes(message)).decode())
    assert caught.value.code == "malformed"
