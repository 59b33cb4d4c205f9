"""`[rates]`: taken whole, or refused with each fault at its place."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from config.example import write_example
from config.load import load_settings
from config.model import HttpRateUrl, Rates
from tests.unit.config.files import Change, faults, load

URL = "https://rates.example/{asset}/{fiat}?key=CANARY"
SOUND: dict[str, Any] = {
    "peg": {"USDC": "usd"},
    "table": {"ETH/usd": "2500.00", "ETH/eur": "2300"},
    "http": [{"url": URL, "value": "/data/price", "time": "/data/at", "fresh_seconds": 30}],
}


def with_rates(**changes: Any) -> Change:
    """The configuration with these rates."""
    return lambda c: c.update(rates={**SOUND, **changes})


def with_url(**changes: Any) -> Change:
    """The configuration with one URL of rates."""
    return with_rates(http=[{**SOUND["http"][0], **changes}])


def test_rates_are_read_exactly(tmp_path: Path) -> None:
    """Pegs, the table and the URLs, with what is not said by default."""
    rates = load(tmp_path, with_rates()).rates
    assert rates.peg == {"USDC": "usd"}
    assert rates.table == {("ETH", "usd"): Decimal("2500.00"), ("ETH", "eur"): Decimal(2300)}
    assert rates.http == (HttpRateUrl(URL, "/data/price", "/data/at", fresh_seconds=30, stale_seconds=300),)
    assert load(tmp_path).rates == Rates()


def test_a_url_is_shown_nowhere(tmp_path: Path) -> None:
    """It may hold a key: no repr has it, and no fault."""
    assert "CANARY" not in repr(load(tmp_path, with_rates()))


def test_the_example_is_right_as_it_stands(tmp_path: Path) -> None:
    """The commented part, with a token of that name, becomes rates."""
    write_example(tmp_path / "watcher.toml")
    lines = (tmp_path / "watcher.toml").read_text().splitlines()
    begins = ("# [rates]", "# [rates.table]", "# [[rates.http]]", "# [[networks.local-evm.assets]]")
    shown = False
    for i, line in enumerate(lines):
        shown = line in begins or (shown and " = " in line)
        lines[i] = line.removeprefix("# ") if shown else line
    (tmp_path / "full.toml").write_text("\n".join(lines))
    rates = load_settings(tmp_path / "full.toml").rates
    assert rates.peg == {"USDC": "usd"}
    assert rates.table == {("ETH", "usd"): Decimal("2500.00")}
    assert [url.value for url in rates.http] == ["/data/price"]


CASES: dict[str, tuple[Change, tuple[str, str]]] = {
    "a peg of an unknown asset": (with_rates(peg={"DOGE": "usd"}), ("/rates/peg/DOGE", "unknown_asset")),
    "a peg to no currency": (with_rates(peg={"USDC": "USD"}), ("/rates/peg/USDC", "bad_currency")),
    "a peg to a number": (with_rates(peg={"USDC": 1}), ("/rates/peg/USDC", "bad_currency")),
    "a rate of an unknown asset": (with_rates(table={"SOL/usd": "1"}), ("/rates/table/SOL~1usd", "unknown_asset")),
    "a rate in no currency": (with_rates(table={"ETH/dollar": "1"}), ("/rates/table/ETH~1dollar", "bad_currency")),
    "a rate as a number": (with_rates(table={"ETH/usd": 2500}), ("/rates/table/ETH~1usd", "not_a_decimal")),
    "a negative rate": (with_rates(table={"ETH/usd": "-1"}), ("/rates/table/ETH~1usd", "not_a_decimal")),
    "a rate of nothing": (with_rates(table={"ETH/usd": "0"}), ("/rates/table/ETH~1usd", "out_of_range")),
    "an absurd rate": (with_rates(table={"ETH/usd": "1" + "0" * 13}), ("/rates/table/ETH~1usd", "out_of_range")),
    "a pair pegged and fixed": (with_rates(table={"USDC/usd": "1.01"}), ("/rates/table/USDC~1usd", "repeated")),
    "a URL of another kind": (with_url(url="ftp://x.example/{asset}/{fiat}"), ("/rates/http/0/url", "bad_url")),
    "a URL at no host": (with_url(url="https:///{asset}/{fiat}"), ("/rates/http/0/url", "bad_url")),
    "a URL in clear": (with_url(url="http://x.example/{asset}/{fiat}"), ("/rates/http/0/url", "not_encrypted")),
    "a URL for one asset": (with_url(url="https://x.example/eth/{fiat}"), ("/rates/http/0/url", "bad_template")),
    "a URL for one currency": (with_url(url="https://x.example/{asset}/usd"), ("/rates/http/0/url", "bad_template")),
    "a place that is unknown": (
        with_url(url="https://x.example/{asset}/{fiat}/{Asset}"),
        ("/rates/http/0/url", "bad_template"),
    ),
    "half a place": (with_url(url="https://x.example/{asset}/{fiat}/{"), ("/rates/http/0/url", "bad_template")),
    "a place in the host": (with_url(url="https://{asset}.example/{fiat}"), ("/rates/http/0/url", "bad_template")),
    "a value that is no pointer": (with_url(value="data.price"), ("/rates/http/0/value", "bad_pointer")),
    "a time that is no pointer": (with_url(time="at"), ("/rates/http/0/time", "bad_pointer")),
    "stale before fresh": (with_url(stale_seconds=29), ("/rates/http/0/stale_seconds", "out_of_range")),
    "no seconds at all": (with_url(fresh_seconds=0), ("/rates/http/0/fresh_seconds", "greater_than_equal")),
    "an unknown key": (with_url(header="x"), ("/rates/http/0/header", "extra_forbidden")),
    "an unknown table": (with_rates(fixed={}), ("/rates/fixed", "extra_forbidden")),
    "a URL without a value": (with_rates(http=[{"url": URL}]), ("/rates/http/0/value", "missing")),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_refused_at_its_place(tmp_path: Path, name: str) -> None:
    """Each mistake is found, named by its field, and the only thing complained of."""
    change, fault = CASES[name]
    assert faults(tmp_path, change) == {fault}


def test_http_on_this_machine_is_taken(tmp_path: Path) -> None:
    """A source beside the daemon needs no encryption, even with a live key."""
    assert load(tmp_path, with_url(url="http://127.0.0.1:9000/{asset}/{FIAT}")).rates.http
