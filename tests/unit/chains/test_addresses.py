"""Which addresses money may be sent to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from chains.addresses import LAST_PRECOMPILE, parse_address
from chains.errors import BadAddress
from chains.model import Family

EIP55_VECTORS = (
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
)
"""From EIP-55 itself."""
TOKEN = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"
MINT = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
TOKEN_PROGRAM = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
ATA_PROGRAM = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")

BURNT = ("0x" + "f" * 40, "0x" + "e" * 40, "0x" + "0" * 36 + "dead")

ordinary = (
    st.integers(min_value=LAST_PRECOMPILE + 1, max_value=2**160 - 1)
    .map(lambda n: f"0x{n:040x}")
    .filter(lambda text: text not in BURNT)
)
seeds = st.binary(min_size=32, max_size=32)


def refusal(family: Family, text: str, *, allow_off_curve: bool = False, refused: tuple[str, ...] = ()) -> str:
    with pytest.raises(BadAddress) as caught:
        parse_address(family, text, allow_off_curve=allow_off_curve, refused=refused)
    return caught.value.code


def token_account(owner: Pubkey) -> str:
    """The associated token account of an owner, which no private key can have."""
    seeds = [bytes(owner), bytes(TOKEN_PROGRAM), bytes(Pubkey.from_string(MINT))]
    return str(Pubkey.find_program_address(seeds, ATA_PROGRAM)[0])


@pytest.mark.parametrize("address", EIP55_VECTORS)
def test_the_vectors_of_eip_55_are_kept_as_they_are(address: str) -> None:
    """Our canonical form is the one that EIP-55 publishes."""
    assert parse_address(Family.EVM, address) == address


@pytest.mark.parametrize("address", EIP55_VECTORS)
def test_all_lower_and_all_upper_case_mean_the_same_address(address: str) -> None:
    """Text without a checksum is taken and given one."""
    assert parse_address(Family.EVM, address.lower()) == address
    assert parse_address(Family.EVM, "0x" + address[2:].upper()) == address


@given(ordinary, st.data())
def test_one_letter_in_the_wrong_case_is_a_bad_checksum(text: str, data: st.DataObject) -> None:
    """A checksum is enforced wherever there is one, so that a mistyped address can't be taken."""
    address = parse_address(Family.EVM, text)
    letters = [i for i, c in enumerate(address) if i > 1 and c.isalpha()]
    if not letters:
        return
    at = data.draw(st.sampled_from(letters))
    flipped = address[:at] + address[at].swapcase() + address[at + 1 :]
    if flipped[2:] in (flipped[2:].lower(), flipped[2:].upper()):
        assert parse_address(Family.EVM, flipped) == address
    else:
        assert refusal(Family.EVM, flipped) == "bad_checksum"


@given(ordinary)
def test_the_canonical_form_is_stable(text: str) -> None:
    """Parsing what was parsed changes nothing, and keeps every digit."""
    address = parse_address(Family.EVM, text)
    assert address.lower() == text
    assert parse_address(Family.EVM, address) == address


@given(st.integers(min_value=1, max_value=LAST_PRECOMPILE))
def test_every_precompile_is_refused(number: int) -> None:
    """Coins sent to a precompiled contract are lost."""
    assert refusal(Family.EVM, f"0x{number:040x}") == "precompile"


def test_the_address_after_the_precompiles_is_an_ordinary_one() -> None:
    """The refusal ends where the precompiles end."""
    assert parse_address(Family.EVM, f"0x{0x200:040x}")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0x" + "0" * 40, "zero_address"),
        ("0x000000000000000000000000000000000000dEaD", "burn_address"),
        ("0x" + "f" * 40, "burn_address"),
        ("0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE", "burn_address"),
        ("0x" + "a" * 39, "not_an_address"),
        ("0x" + "a" * 41, "not_an_address"),
        ("a" * 40, "not_an_address"),
        ("0X" + "a" * 40, "not_an_address"),
        (" 0x" + "a" * 40, "not_an_address"),
        ("0x" + "a" * 40 + "\n", "not_an_address"),
        ("0x" + "a" * 39 + "１", "not_an_address"),  # noqa: RUF001  a digit, but not of ASCII
        ("vitalik.eth", "not_an_address"),
        ("", "not_an_address"),
        (MINT, "wrong_family"),
    ],
)
def test_what_is_no_ethereum_address_for_funds_is_refused_by_name(text: str, code: str) -> None:
    """Each kind of mistake has its own code."""
    assert refusal(Family.EVM, text) == code


@pytest.mark.parametrize("text", [TOKEN, TOKEN.lower()])
def test_a_configured_token_contract_is_refused_in_any_case(text: str) -> None:
    """A token's own contract is the classic wrong address."""
    assert parse_address(Family.EVM, text) == TOKEN
    assert refusal(Family.EVM, text, refused=(TOKEN,)) == "token_contract"


@given(seeds)
def test_every_key_pair_has_an_address_that_is_taken(seed: bytes) -> None:
    """An ordinary Solana wallet is never refused."""
    address = str(Keypair.from_seed(seed).pubkey())
    assert parse_address(Family.SOLANA, address) == address


@given(seeds)
def test_a_token_account_is_refused_unless_off_curve_is_allowed(seed: bytes) -> None:
    """An address without a private key needs the wallet's own word for it."""
    address = token_account(Keypair.from_seed(seed).pubkey())
    assert refusal(Family.SOLANA, address) == "off_curve"
    assert parse_address(Family.SOLANA, address, allow_off_curve=True) == address


@pytest.mark.parametrize("allow_off_curve", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "11111111111111111111111111111111",
        "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
        "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb",
        "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL",
        "So11111111111111111111111111111111111111112",
        "SysvarC1ock11111111111111111111111111111111",
        "SysvarRent111111111111111111111111111111111",
        "Sysvar1nstructions1111111111111111111111111",
        "ComputeBudget111111111111111111111111111111",
        "Stake11111111111111111111111111111111111111",
        "Vote111111111111111111111111111111111111111",
        "Config1111111111111111111111111111111111111",
        "BPFLoader2111111111111111111111111111111111",
        "BPFLoaderUpgradeab1e11111111111111111111111",
        "1nc1nerator11111111111111111111111111111111",
    ],
)
def test_programs_are_refused_on_the_curve_or_off_it(text: str, *, allow_off_curve: bool) -> None:
    """Many programs lie on the curve, so the curve alone does not tell them from wallets."""
    assert refusal(Family.SOLANA, text, allow_off_curve=allow_off_curve) == "program_address"


def test_a_configured_mint_is_refused() -> None:
    """A mint lies on the curve, and what is sent to it is lost."""
    assert parse_address(Family.SOLANA, MINT) == MINT
    assert refusal(Family.SOLANA, MINT, refused=(MINT,)) == "token_contract"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0x52908400098527886E0F7030069857D2E4169EE7", "wrong_family"),
        (MINT[:-4], "not_an_address"),
        (MINT + "1", "not_an_address"),
        (MINT[:-1] + "0", "not_an_address"),
        (MINT[:-1] + "l", "not_an_address"),
        (MINT + "\n", "not_an_address"),
        ("z" * 44, "not_an_address"),
        ("", "not_an_address"),
    ],
)
def test_what_is_no_solana_address_is_refused_by_name(text: str, code: str) -> None:
    """32 bytes in base58, nothing around them, and no letter that base58 leaves out."""
    assert refusal(Family.SOLANA, text) == code


@given(st.sampled_from(Family), st.text(max_size=80), st.booleans())
def test_any_text_is_an_address_or_a_bad_address(family: Family, text: str, allow_off_curve: bool) -> None:  # noqa: FBT001  hypothesis gives it
    """Nothing else is ever raised, whatever is written."""
    try:
        parse_address(family, text, allow_off_curve=allow_off_curve)
    except BadAddress as error:
        code = error.code
    else:
        code = "taken"
    assert code
