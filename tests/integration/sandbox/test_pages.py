"""The hosted page: a GET changes nothing, names are escaped, and a real browser without scripts can pay on it."""

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from notifier.sandbox.server import SandboxOptions, open_sandbox
from tests.integration.sandbox.conftest import EVM, SOLANA, StripeClient
from tests.nodes.anvil import COIN, Anvil, free_port
from tests.nodes.browser import open_page


async def text_of(stripe: StripeClient, url: str) -> tuple[int, str, str]:
    async with stripe.http.get(url) as answer:
        return answer.status, await answer.text(), answer.headers["Content-Security-Policy"]


async def test_links_begin_where_people_reach_it() -> None:
    """In a container it listens on an address that no browser can open."""
    options = SandboxOptions("127.0.0.1", free_port(), public_url="http://pay.example:8010")
    async with open_sandbox(options), aiohttp.ClientSession() as http:
        session = await StripeClient(f"http://127.0.0.1:{options.port}", http).session()
    assert session["redirect_url"].startswith("http://pay.example:8010/pay/")


async def test_looking_changes_nothing(stripe: StripeClient) -> None:
    """Mail scanners open links: any number of GET and HEAD leaves the session as it was."""
    session = await stripe.session()
    for _ in range(3):
        status, text, policy = await text_of(stripe, session["redirect_url"])
        assert status == 200
        async with stripe.http.head(session["redirect_url"]) as answer:
            assert answer.status == 200
    assert "SANDBOX" in text
    assert EVM in text
    assert session["client_secret"] not in text
    assert "<script" not in text
    assert policy.startswith("default-src 'none'")
    _, again, _ = await stripe.get("/" + session["id"])
    assert again == session


@pytest.mark.parametrize("path", ["/", "/pay/nothing", "/pay/%C3%A9"])
async def test_every_page_says_sandbox(stripe: StripeClient, path: str) -> None:
    """Also the list, and a link that is cut off."""
    _, text, _ = await text_of(stripe, stripe.url + path)
    assert "SANDBOX" in text


async def test_names_are_escaped(stripe: StripeClient) -> None:
    """What a client sends is text on the page, not markup."""
    fields = {
        "wallet_addresses[stellar]": "<b>AAAAAAAAAAAAAAAAAAAAAA</b>",
        "destination_networks[0]": "stellar",
        "destination_network": "stellar",
        "destination_currency": "xlm",
    }
    status, session, _ = await stripe.create(fields)
    assert status == 200
    _, text, _ = await text_of(stripe, session["redirect_url"])
    assert "&lt;b&gt;" in text
    assert "<b>A" not in text


async def test_several_assets_offer_a_choice(stripe: StripeClient) -> None:
    """A session over two networks without an amount lets the person choose, and pays what was chosen."""
    fields = {
        "wallet_addresses[ethereum]": EVM,
        "wallet_addresses[solana]": SOLANA,
        "lock_wallet_address": "true",
        "destination_networks[0]": "ethereum",
        "destination_networks[1]": "solana",
    }
    status, session, _ = await stripe.create(fields)
    assert status == 200
    _, text, _ = await text_of(stripe, session["redirect_url"])
    assert text.count("<select") == 1
    assert f"{EVM}</dd>" in text
    assert f"{SOLANA}</dd>" in text
    form = {"asset": "sol/solana", "deliver": "0", "then": "complete"}
    async with stripe.http.post(session["redirect_url"], data=form) as answer:
        assert answer.status == 200
    _, paid, _ = await stripe.get("/" + session["id"])
    assert paid["status"] == "fulfillment_complete"
    assert paid["transaction_details"]["destination_network"] == "solana"
    _, text, _ = await text_of(stripe, session["redirect_url"])
    assert f"{SOLANA}</dd>" in text
    assert EVM not in text


OPTION = re.compile(r'<option value="([^"]+)"')
LISTS = [
    {"destination_networks[0]": "ethereum", "destination_networks[1]": "solana"},
    {
        "destination_networks[0]": "solana",
        "destination_networks[1]": "ethereum",
        "destination_currencies[0]": "sol",
        "destination_currencies[1]": "eth",
    },
    {"destination_networks[0]": "ethereum", "destination_networks[1]": "solana", "destination_currencies[0]": "usdc"},
]


@pytest.mark.parametrize("lists", LISTS)
async def test_whatever_is_offered_can_be_paid(stripe: StripeClient, lists: dict[str, str]) -> None:
    """Each choice of the menu is sold and within the session's locks."""
    fields = {"wallet_addresses[ethereum]": EVM, "wallet_addresses[solana]": SOLANA, **lists}
    session = (await stripe.create(fields))[1]
    offered = OPTION.findall((await text_of(stripe, session["redirect_url"]))[1])
    assert len(offered) == len(set(offered)) >= 2
    for asset in offered:
        _, session, _ = await stripe.create(fields)
        form = {"asset": asset, "deliver": "0", "then": "complete"}
        async with stripe.http.post(session["redirect_url"], data=form) as answer:
            assert answer.status == 200, (asset, await answer.text())
        paid = (await stripe.get("/" + session["id"]))[1]["transaction_details"]
        assert f"{paid['destination_currency']}/{paid['destination_network']}" == asset


async def test_a_choice_once_made_is_left_alone(stripe: StripeClient) -> None:
    """A session that is paid but not delivered offers no other asset than the one that was paid for."""
    fields = {"wallet_addresses[ethereum]": EVM, "wallet_addresses[solana]": SOLANA, **LISTS[0]}
    session = (await stripe.create(fields))[1]
    assert (await stripe.pay(session["id"], then="processing", deliver="0", currency="sol", network="solana"))[0] == 200
    _, text, _ = await text_of(stripe, session["redirect_url"])
    assert "<select" not in text
    assert EVM not in text


async def test_problem_is_shown(stripe: StripeClient) -> None:
    """What can't be paid says why, on the page."""
    session = await stripe.session()
    async with stripe.http.post(session["redirect_url"], data={"deliver": "1", "then": "complete"}) as answer:
        assert answer.status == 409
        assert "no local chain" in await answer.text()


@pytest.fixture
async def paying(http: aiohttp.ClientSession) -> AsyncIterator[tuple[StripeClient, Anvil]]:
    async with Anvil() as anvil, open_sandbox(SandboxOptions("127.0.0.1", 0, evm_rpc=anvil.http)) as url:
        yield StripeClient(url, http), anvil


@pytest.mark.browser
@pytest.mark.evm
@pytest.mark.parametrize("width", [1100, 380])
async def test_pay_in_a_browser(paying: tuple[StripeClient, Anvil], tmp_path: Path, width: int) -> None:
    """With scripts switched off, a person edits the amount, pays, and the coins are on chain. Wide and narrow."""
    stripe, anvil = paying
    session = await stripe.session()
    shots = Path(os.environ.get("SCREENSHOTS", tmp_path))
    async with open_page(width=width) as (page, complaints):
        await page.goto(session["redirect_url"])
        await page.screenshot(path=shots / f"pay-{width}.png")
        await page.get_by_label("Amount to deliver").fill("0.25")
        await page.get_by_role("button", name="Pay (sandbox)").click()
        await page.get_by_text("Paid and delivered").wait_for(timeout=20_000)
        await page.screenshot(path=shots / f"paid-{width}.png")
        await page.goto(stripe.url)
        await page.screenshot(path=shots / f"index-{width}.png")
    assert complaints == []
    assert await anvil.balance(EVM) == COIN // 4
