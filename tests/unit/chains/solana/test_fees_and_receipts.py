"""What a transaction costs, and what one brought."""

from typing import Any

import pytest

from chains.solana.fees import make_fee
from chains.solana.receipts import coin_amount, token_amount


@pytest.mark.parametrize(
    ("units", "price", "lamports"),
    [
        (0, 0, 5000),
        (200_000, 0, 5000),
        (200_000, 1, 5001),
        (1_000_000, 1, 5001),
        (1_000_001, 1, 5002),
        (50_000, 10**6, 55_000),
    ],
)
def test_cost_is_rounded_up(units: int, price: int, lamports: int) -> None:
    """One signature, and the priority fee rounded up to a whole lamport."""
    assert make_fee(price).cost(units) == lamports


def transaction(**meta: Any) -> dict[str, Any]:
    """A payer, a receiver and a token account from a lookup table."""
    return {
        "transaction": {"message": {"accountKeys": ["payer", "receiver"]}},
        "meta": {
            "fee": 5000,
            "preBalances": [100_000, 0, 7],
            "postBalances": [85_000, 10_000, 7],
            "loadedAddresses": {"writable": ["tokens"], "readonly": []},
            **meta,
        },
    }


def row(amount: int, mint: str = "mint") -> dict[str, Any]:
    """A token balance of the third account."""
    return {"accountIndex": 2, "mint": mint, "uiTokenAmount": {"amount": str(amount)}}


def test_coins_of_payer_receiver_and_stranger() -> None:
    """The fee is not part of what a payer spent; a stranger got nothing."""
    amounts = [coin_amount(transaction(), address) for address in ("payer", "receiver", "tokens", "stranger")]
    assert amounts == [-10_000, 10_000, 0, 0]


@pytest.mark.parametrize(
    ("before", "after", "amount"),
    [([row(5)], [row(12)], 7), ([], [row(12)], 12), ([row(5)], [], -5), (None, None, 0), ([], [row(9, "fake")], 0)],
    ids=["grown", "opened", "closed", "no tokens", "another mint"],
)
def test_tokens_of_an_account(before: Any, after: Any, amount: int) -> None:
    """The difference of the account's balances in that mint, also when it was opened or closed."""
    found = transaction(preTokenBalances=before, postTokenBalances=after)
    assert token_amount(found, "tokens", "mint") == amount
    assert token_amount(found, "receiver", "mint") == 0
