"""Lists: newest first, filters, the window, and cursors in both directions."""

import pytest

from tests.integration.sandbox.conftest import SOLANA, StripeClient

SOL = {
    "wallet_addresses[solana]": SOLANA,
    "destination_networks[0]": "solana",
    "destination_network": "solana",
    "destination_currency": "sol",
    "destination_currencies[0]": "sol",
}


async def make(stripe: StripeClient, count: int) -> list[str]:
    """Ids, newest first."""
    return [(await stripe.session())["id"] for _ in range(count)][::-1]


async def ids(stripe: StripeClient, **params: str) -> tuple[list[str], bool]:
    status, body, _ = await stripe.get(**params)
    assert status == 200, body
    assert (body["object"], body["url"]) == ("list", "/v1/crypto/onramp_sessions")
    return [s["id"] for s in body["data"]], body["has_more"]


async def test_ten_at_a_time_newest_first(stripe: StripeClient) -> None:
    """The default limit is 10."""
    made = await make(stripe, 12)
    assert await ids(stripe) == (made[:10], True)


async def test_walk_to_the_end_and_back(stripe: StripeClient) -> None:
    """Following starting_after sees each once; ending_before gives the page next to its cursor."""
    made = await make(stripe, 7)
    seen: list[str] = []
    more = True
    while more:
        page, more = await ids(stripe, limit="3", **({"starting_after": seen[-1]} if seen else {}))
        seen += page
    assert seen == made
    assert await ids(stripe, limit="2", ending_before=made[4]) == (made[2:4], True)
    assert await ids(stripe, limit="100", ending_before=made[0]) == ([], False)


async def test_filters(stripe: StripeClient) -> None:
    """Status, network and currency, alone and with a cursor that the filter itself leaves out."""
    eth = await stripe.session()
    status, sol, _ = await stripe.create(SOL)
    assert status == 200, sol
    await stripe.pay(eth["id"], then="reject")

    assert await ids(stripe, status="rejected") == ([eth["id"]], False)
    assert await ids(stripe, status="initialized") == ([sol["id"]], False)
    assert await ids(stripe, destination_network="solana") == ([sol["id"]], False)
    assert await ids(stripe, destination_currency="eth") == ([eth["id"]], False)
    assert await ids(stripe, status="rejected", starting_after=sol["id"]) == ([eth["id"]], False)


async def test_window(stripe: StripeClient) -> None:
    """`created` takes a second, or bounds that include or exclude it."""
    session = await stripe.session()
    at, this = session["created"], ([session["id"]], False)
    assert await ids(stripe, created=str(at)) == this
    assert await ids(stripe, **{"created[gte]": str(at), "created[lte]": str(at)}) == this
    assert await ids(stripe, **{"created[gt]": str(at)}) == ([], False)
    assert await ids(stripe, **{"created[lt]": str(at)}) == ([], False)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"limit": "0"}, "parameter_invalid_integer"),
        ({"limit": "101"}, "parameter_invalid_integer"),
        ({"limit": "ten"}, "parameter_invalid_integer"),
        ({"status": "paid"}, "parameter_invalid"),
        ({"destination_network": "base_network"}, "parameter_invalid"),
        ({"created[since]": "1"}, "parameter_unknown"),
        ({"created[gt]": "yesterday"}, "parameter_invalid_integer"),
        ({"metadata[top_up]": "tu_1"}, "parameter_unknown"),
        ({"starting_after": "cos_unknown"}, "resource_missing"),
    ],
)
async def test_refused(stripe: StripeClient, params: dict[str, str], code: str) -> None:
    """A filter that Stripe does not have is refused, also when there is nothing to list."""
    status, body, _ = await stripe.get(**params)
    assert (status, body["error"]["code"]) == (400, code)
