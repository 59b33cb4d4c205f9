"""What is known of a place, and when too little is known to judge it."""

from datetime import timedelta
from pathlib import Path

import pytest

from chains.model import NATIVE, Balance, BlockRef, Fee, Holding
from tests.fakes.settings import EVM, make_network, make_settings
from tests.unit.watcher.factories import ADDRESS, NOW
from watcher.asks.model import Need, NeedKey, State
from watcher.judge import Judged, Rules, judge
from watcher.model import BillLine, NeedKind
from watcher.store.places import Place

AT = Holding(EVM, NATIVE, ADDRESS)
REQUIRED = BillLine("required", 5)
GAS = BillLine("gas", 7, {"limit": 7})


def judge_need(tmp_path: Path, *lines: BillLine, fee: Fee | None) -> Judged | None:
    """A need of coins with room for gas, and none there."""
    settings = make_settings(tmp_path, network=make_network())
    need = Need(
        key=NeedKey("default", NeedKind.TRANSACTION, "tx-1", AT),
        wallet="w-1",
        lines=lines,
        gas_limit=7,
        expires_at=NOW + timedelta(days=1),
        created_at=NOW,
    )
    words = {"tenant": "default", "policy": "default", "country": None, "asks_paused_until": None}
    place = Place("default", "w-1", AT, words, None, (need,))
    rules = Rules(settings.networks[EVM], settings.tenants, settings.networks)
    balance = Balance(AT, 0, BlockRef(3, "0x03"))
    return judge(rules, place, balance, (), (), fee=fee, now=NOW)


def test_a_need_whose_fee_is_not_read_yet_is_not_judged(tmp_path: Path) -> None:
    """It was written since the fee was asked for: without its gas, what is asked for would not last a step."""
    assert judge_need(tmp_path, REQUIRED, fee=None) is None


@pytest.mark.parametrize("fee", [None, Fee(1)])
def test_a_need_whose_gas_is_known_is_judged_without_a_fee(tmp_path: Path, fee: Fee | None) -> None:
    """As it was counted before."""
    judged = judge_need(tmp_path, REQUIRED, GAS, fee=fee)
    assert judged is not None
    assert [(n.amount, n.state, n.since) for n in judged.facts.needs] == [(12, State.SHORT, 3)]
