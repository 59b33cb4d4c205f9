"""Needs and holdings as hypothesis draws them: amounts small enough to meet each other, and to be told apart."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import strategies as st

from chains.amounts import round_up
from chains.model import BlockRef, Holding
from config.model import NetworkAsset
from tests.unit.watcher.factories import ADDRESS, NETWORK, NOW, USDC, make_asset, make_position, make_requirement
from tests.unit.watcher.factories import make_terms as make_level_terms
from watcher.asks.cover import allocate
from watcher.asks.model import Mode, Need, NeedKey, State
from watcher.model import BillLine, NeedKind, OpenTopUp, Requirement, TopUpStatus
from watcher.planning import Facts, Plan
from watcher.policy import plan_change

HOLDING = Holding(NETWORK, USDC, ADDRESS)
AT = BlockRef(812, "0x" + "ab" * 32)
UNITS = st.integers(0, 400)
SOME = st.integers(1, 400)


@st.composite
def need_lists(draw: st.DrawFn, most: int = 5, modes: tuple[Mode, ...] = tuple(Mode)) -> tuple[Need, ...]:
    """Living needs of one holding, not yet held against a balance."""
    return tuple(draw(_needs(i, modes)) for i in range(draw(st.integers(0, most))))


@st.composite
def _needs(draw: st.DrawFn, number: int, modes: tuple[Mode, ...]) -> Need:
    mode = draw(st.sampled_from(modes))
    lines: list[BillLine] = []
    if mode is not Mode.RISE:
        amount = draw(SOME)
        lines.append(BillLine("required", amount))
        if mode is Mode.RECEIVED and amount > 1 and draw(st.booleans()):
            lines.append(BillLine("received", -draw(st.integers(1, amount - 1))))
    gas = mode is Mode.BALANCE and draw(st.booleans())
    if gas:
        lines.append(BillLine("gas", draw(UNITS), {"limit": 7}))
    closed = draw(st.integers(0, 4)) == 0
    kind = draw(st.sampled_from([NeedKind.TRANSACTION, NeedKind.CHECKOUT]))
    return Need(
        key=NeedKey("default", kind, f"n-{number}", HOLDING),
        wallet="user-42",
        mode=mode,
        lines=tuple(lines),
        gas_limit=7 if gas else None,
        state=State.COVERED if closed else State.UNKNOWN,
        refusal=None if closed else draw(st.sampled_from([None, None, None, "given_up"])),
        closed_at=NOW if closed else None,
        expires_at=NOW + timedelta(days=1),
        created_at=NOW - timedelta(hours=draw(st.integers(0, 3))),
    )


@st.composite
def assets(draw: st.DrawFn) -> NetworkAsset:
    """Sold in steps, from a minimum on, perhaps up to a maximum."""
    asset = make_asset(minimum=draw(st.sampled_from([0, 0, 50, 130])))
    assert asset.onramp is not None
    step = draw(st.sampled_from([6, 5, 4]))
    low = round_up(asset.minimum, 6, to=step)
    maximum = draw(st.one_of(st.none(), st.integers(low + 1, 900)))
    return replace(asset, onramp=replace(asset.onramp, decimals=step), maximum=maximum)


@st.composite
def facts_of_holdings(draw: st.DrawFn, *, standing: bool = True, levels: bool = True) -> Facts:
    """A holding with what is needed there, what is asked for already, and what is on its way."""
    needs = draw(need_lists())
    keys = [n.key for n in needs]
    whom = st.sets(st.sampled_from(keys)) if keys else st.just(set[NeedKey]())
    top_ups = [
        OpenTopUp(f"tu_{i}", TopUpStatus.SETTLING, draw(SOME), for_funding=draw(st.booleans()), awaited=frozenset(w))
        for i, w in enumerate(draw(st.lists(whom, max_size=2)))
    ]
    if standing and draw(st.booleans()):
        asked = draw(st.one_of(st.none(), SOME)) if not levels else draw(SOME)
        ended = draw(st.booleans())
        awaited = frozenset(draw(whom))
        top_ups.append(OpenTopUp("tu_open", TopUpStatus.OPEN, asked, for_funding=False, awaited=awaited, ended=ended))
    return make_facts(
        needs,
        draw(st.integers(0, 900)),
        asset=draw(assets()),
        top_ups=tuple(top_ups),
        buffer=draw(st.sampled_from([0, 0, 17, 200])),
        level=draw(st.one_of(st.none(), requirements())) if levels else None,
    )


@st.composite
def requirements(draw: st.DrawFn) -> Requirement:
    """Levels."""
    trigger = draw(SOME)
    return make_requirement(trigger=trigger, target=trigger + draw(SOME))


def make_facts(
    needs: tuple[Need, ...],
    balance: int,
    *,
    asset: NetworkAsset,
    top_ups: tuple[OpenTopUp, ...],
    buffer: int = 0,
    level: Requirement | None = None,
) -> Facts:
    """As they are judged: each need with how it stands, and what the levels say."""
    states = allocate(needs, balance)
    change = None
    if level is not None:
        position = make_position(requirement=level, balance=balance, top_ups=top_ups)
        change = plan_change(position, make_level_terms(asset=asset), now=NOW)
    held = tuple(replace(n, state=states[n.key]) for n in needs)
    return Facts(asset, AT, balance, change, held, top_ups, buffer)


def carry_out(facts: Facts, plan: Plan, *, level: Requirement | None = None) -> Facts:
    """The same holding once the plan is written down."""
    top_ups = list(facts.top_ups)
    if plan.open is not None:
        top_ups = [t for t in top_ups if t.id != plan.replaces]
        opened = OpenTopUp("tu_new", TopUpStatus.OPEN, plan.open.asked, for_funding=plan.funding, awaited=plan.needs)
        top_ups.append(opened)
    if plan.joins is not None:
        joined = next(t for t in top_ups if t.id == plan.joins)
        top_ups.remove(joined)
        wider = replace(joined, awaited=joined.awaited | plan.needs, for_funding=joined.for_funding or plan.funding)
        top_ups.append(wider)
    there = tuple(top_ups)
    return make_facts(facts.needs, facts.balance, asset=facts.asset, top_ups=there, buffer=facts.buffer, level=level)
