"""What is known of one place at one block, and what its levels say of it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from chains.model import NATIVE, Balance, Fee, NetworkId
from config.model import Network, Policy, Tenant
from watcher.asks.cover import allocate, price_gas
from watcher.asks.model import GIVEN_UP, Link, Need, State
from watcher.levels import find_requirement
from watcher.model import HoldingStatus, OpenTopUp, Position, TopUp, TopUpStatus
from watcher.planning import Facts
from watcher.policy import Terms, Why, find_refusal, plan_change, resolve_level
from watcher.store.asks import COUNTED
from watcher.store.places import Place

SKEW: Final = timedelta(seconds=15)
"""How far the clocks of two machines may be apart, and how long a look at a head may take."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator declared, as far as one network's decisions need it."""

    network: Network
    tenants: Mapping[str, Tenant]
    networks: Mapping[NetworkId, Network] = field(default_factory=dict)
    """All of them: where else an asset may be bought."""

    def policy(self, words: Mapping[str, Any]) -> Policy:
        """The policy that a wallet or requirement names; one without rules when the config has dropped it since."""
        tenant = self.tenants.get(words["tenant"])
        found = tenant.policies.get(words["policy"]) if tenant else None
        return found or Policy(name=words["policy"], version=words.get("policy_version", ""), networks=())


def leave_news(place: Place, looked_at: datetime | None) -> Place:
    """The place without what was written since the head was asked for: that head may be from before it.

    A clock that is further ahead than `SKEW` is wrong, and nothing is left for it.
    """
    if looked_at is None:
        return place

    def is_news(written: datetime | None) -> bool:
        return written is not None and looked_at < written <= looked_at + SKEW

    row = None if place.row is not None and is_news(place.row["changed_at"]) else place.row
    return replace(place, row=row, needs=tuple(n for n in place.needs if not is_news(n.created_at)))


@dataclass(frozen=True, slots=True)
class Judged:
    """One place at one block: what was known, and what its levels say."""

    place: Place
    tenant: Tenant | None
    policy: Policy
    facts: Facts
    position: Position | None
    """Of its levels; None where it has none."""


def judge(
    rules: Rules,
    place: Place,
    balance: Balance,
    active: Sequence[TopUp],
    links: Sequence[Link],
    *,
    fee: Fee | None,
    now: datetime,
) -> Judged | None:
    """What is known of one place; None for what can't be judged: nothing wanted, unknown fee, unknown asset."""
    asset, policy = rules.network.find_asset(place.holding.asset), rules.policy({**place.words, **(place.row or {})})
    if asset is None or (fee is None and any(_awaits_fee(n) for n in place.needs)):
        return None
    tenant = rules.tenants.get(place.tenant)
    terms = Terms(
        asset=asset,
        country=place.words["country"],
        onramp=tenant is not None and tenant.stripe_secret_key is not None,
        cooldown=timedelta(seconds=policy.cooldown_seconds),
    )
    cost = None if fee is None else fee.cost(rules.network.typical_gas)
    top_ups = tuple(_reaching(place, balance, active, links))
    position = _find_position(place, balance, policy, top_ups, cost)
    if position is None and not place.needs:
        return None
    buffer = resolve_level(policy.gas_buffer, cost) if place.holding.asset == NATIVE else 0
    facts = Facts(
        asset=asset,
        at=balance.at,
        balance=balance.amount,
        change=None if position is None else plan_change(position, terms, now=now),
        needs=_weigh_needs(place, balance, fee, terms),
        top_ups=top_ups,
        buffer=buffer or 0,
    )
    return Judged(place, tenant, policy, facts, position)


def _awaits_fee(need: Need) -> bool:
    """Written since the fee was asked for: the next step has it, and what is asked for meanwhile would not last."""
    return need.closed_at is None and need.gas_limit is not None and all(line.what != "gas" for line in need.lines)


def _find_position(
    place: Place, balance: Balance, policy: Policy, top_ups: tuple[OpenTopUp, ...], cost: int | None
) -> Position | None:
    row = place.row
    requirement = None if row is None or row["watch_only"] else find_requirement(row, policy, cost)
    if row is None or requirement is None:
        return None
    return Position(
        requirement=requirement,
        balance=balance.amount,
        at=balance.at,
        status=HoldingStatus(row["status"]),
        waiting=row["waiting"],
        paused_until=place.words["asks_paused_until"],
        ended_at=row["ended_at"],
        top_ups=top_ups,
    )


def _weigh_needs(place: Place, balance: Balance, fee: Fee | None, terms: Terms) -> tuple[Need, ...]:
    """Each need at the fee and the balance of the block, with why it can't be bought, if it can't."""
    needs = [price_gas(n, fee) for n in place.needs]
    states = allocate(needs, balance.amount)
    refusal = Why.NO_ONRAMP if not terms.onramp else find_refusal(terms.asset, terms.country)
    return tuple(
        replace(
            n,
            state=states[n.key],
            refusal=_find_refusal(n, states[n.key], refusal),
            since=balance.at.number if n.since is None else n.since,
        )
        for n in needs
    )


def _find_refusal(need: Need, state: State, refusal: Why | None) -> str | None:
    """What was given up stays so, whatever becomes of the balance."""
    if need.refusal == GIVEN_UP:
        return GIVEN_UP
    return refusal.value if refusal is not None and state is State.SHORT else None


def _reaching(place: Place, balance: Balance, active: Sequence[TopUp], links: Sequence[Link]) -> list[OpenTopUp]:
    return [
        OpenTopUp(
            id=t.id,
            status=t.status,
            asked=t.asked,
            whole_wallet=len(t.destinations) > 1 or t.scope == "wallet",
            late=t.late,
            for_funding=any(x.top_up == t.id and x.need.kind not in COUNTED and x.state.living for x in links),
            awaited=frozenset(x.need for x in links if x.top_up == t.id),
            ended=any(x.top_up == t.id and not x.state.living for x in links),
            arrived=_may_have_arrived(t, balance),
            needed=t.needed,
        )
        for t in active
        if (t.tenant, t.wallet) == (place.tenant, place.wallet)
        and any(d.holding == place.holding for d in t.destinations)
    ]


def _may_have_arrived(top_up: TopUp, balance: Balance) -> bool:
    if top_up.status is not TopUpStatus.SETTLING:
        return False
    baseline = next((d.baseline for d in top_up.destinations if d.holding == balance.holding), None)
    return baseline is None or balance.amount > baseline
