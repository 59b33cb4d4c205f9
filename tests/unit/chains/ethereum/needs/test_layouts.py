"""How words hold amounts, and where: other bits are kept, and a field is found by what a view shows of a pattern."""

from fractions import Fraction

from eth_utils.crypto import keccak
from hypothesis import assume, given
from hypothesis import strategies as st

from chains.ethereum.needs.layouts import AMPLE, LEAST_WIDTH, Field, Layout, Slot, find_field, guesses, pattern

WORDS = st.integers(0, 2**256 - 1)
ADDRESSES = st.integers(0, 2**160 - 1).map(lambda number: f"0x{number:040x}")


@st.composite
def fields(draw: st.DrawFn) -> Field:
    """Fields as Solidity packs them: whole bytes, 64 bits at least; or with the topmost bit for a flag."""
    shift = 8 * draw(st.integers(0, 24))
    width = draw(st.integers(LEAST_WIDTH // 8, (256 - shift) // 8)) * 8
    return Field(shift, width - draw(st.integers(0, 1)) * (shift + width == 256 and width > LEAST_WIDTH))


@given(fields(), WORDS, st.integers(0, 2**64 - 1))
def test_what_is_put_is_got_and_neighbours_stay(field: Field, word: int, amount: int) -> None:
    """An amount is read back as it was put; every other bit of the word is as before."""
    changed = field.put(word, amount)
    assert field.get(changed) == amount
    mask = ((1 << field.width) - 1) << field.shift
    assert changed & ~mask == word & ~mask
    assert field.put(changed, field.get(word)) == word


@given(fields(), st.integers(0, 300))
def test_a_field_is_found_by_its_answer(field: Field, number: int) -> None:
    """What a view shows of a pattern tells the bits that it reads."""
    found = find_field(pattern(number), field.get(pattern(number)))
    assert found is not None
    assert found.shift == field.shift
    assert field.width - 7 <= found.width <= field.width
    assert found.get(pattern(number)) == field.get(pattern(number))


@given(st.integers(0, 2**63 - 1), st.integers(0, 128))
def test_small_answers_are_no_field(answer: int, number: int) -> None:
    """A flag, a time or a count is never taken for an amount."""
    assert find_field(pattern(number), answer) is None


@given(st.integers(0, 128), st.integers(0, 128))
def test_patterns_are_told_apart(one: int, other: int) -> None:
    """The pattern of one place is never found in another's."""
    assume(one != other)
    assert find_field(pattern(other), pattern(one)) is None


@given(st.integers(1, 2**100), st.integers(1, 2**60), st.integers(1, 2**60))
def test_shares_make_no_less_than_asked(amount: int, above: int, below: int) -> None:
    """Shares are rounded up: a word put for an amount is worth that amount, less than one share more."""
    field = Field(scale=Fraction(above, below))
    word = field.put(0, amount)
    assert word * below >= amount * above > (word - 1) * below
    assert field.get(word) >= amount


@given(fields(), st.integers(0, 2**60))
def test_ample_fits(field: Field, amount: int) -> None:
    """Plenty is no less than what is there, and fits into its field with room for more to come in."""
    slot = Slot(("0x", "0x"), 0, amount, field)
    assert slot.ample >= amount
    assert 2 * slot.ample <= field.most or slot.ample == amount
    assert slot.ample <= max(AMPLE, amount)
    assert field.get(slot.holding(slot.ample)) == slot.ample


@given(ADDRESSES, ADDRESSES, st.integers(0, 60))
def test_keys_are_made_as_compilers_make_them(owner: str, spender: str, base: int) -> None:
    """Solidity hashes the key before the slot, Vyper after it, Solady a seed behind the owner."""
    one, two, slot = (int(number).to_bytes(32) for number in (int(owner, 16), int(spender, 16), base))
    assert Layout("solidity", base).key(owner, spender) == "0x" + keccak(two + keccak(one + slot)).hex()
    assert Layout("vyper", base).key(owner, spender) == "0x" + keccak(keccak(slot + one) + two).hex()
    seed = bytes.fromhex("87a211a2")
    assert Layout("solady", 0).key(owner) == "0x" + keccak(one[12:] + bytes(8) + seed).hex()
    places = guesses((owner, spender))
    assert places[Layout("solidity", base).key(owner, spender)] == Layout("solidity", base)
    assert len(places) == 129


def test_the_namespace_is_openzeppelins() -> None:
    """ERC-7201: balances at the namespace, allowances one slot on."""
    raw = int.from_bytes(keccak(text="openzeppelin.storage.ERC20")) - 1
    root = int.from_bytes(keccak(raw.to_bytes(32))) & ~0xFF
    owner = "0x" + "11" * 20
    assert guesses((owner,))[Layout("solidity", root).key(owner)].base == root
    assert guesses((owner, owner))[Layout("solidity", root + 1).key(owner, owner)].base == root + 1
