"""Webhooks with revisions may come in any order and any number of times: the wallet ends the same."""

import json
from itertools import count
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.api.backend import apply, post, say
from tests.integration.api.conftest import Api, Caller
from tests.integration.watcher.world import ADDRESS

KINDS = ("wallet.created", "wallet.updated", "wallet.removed")
STATES = st.fixed_dictionaries(
    {
        "label": st.sampled_from([None, "a", "b"]),
        "notify": st.booleans(),
        "initial": st.sampled_from(["ask", "wait_for_drop"]),
    }
)
LIVES = st.lists(st.tuples(st.sampled_from(KINDS), STATES), min_size=1, max_size=6)
NUMBERS = count(1)


def write(life: list[tuple[str, dict[str, Any]]], wallet: str) -> list[bytes]:
    """A wallet's life as webhooks that each tell the whole of it, with revisions in the order of the telling."""
    return [
        say(kind, id=wallet, revision=revision)
        if kind == "wallet.removed"
        else say(kind, id=wallet, revision=revision, addresses={"local-evm": ADDRESS}, **state)
        for revision, (kind, state) in enumerate(life)
    ]


async def show(call: Caller, wallet: str) -> str:
    """The wallet as it stands, without what tells when and how often it was written."""
    status, shown = await call("GET", f"/v1/wallets/{wallet}")
    changing = ("id", "version", "created_at", "updated_at", "request_id")
    return f"{status} {json.dumps({k: v for k, v in shown.items() if k not in changing})}"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(life=LIVES, data=st.data())
async def test_any_order_and_any_repetition_end_the_same(
    api: Api, call: Caller, life: list[tuple[str, dict[str, Any]]], data: st.DataObject
) -> None:
    """As if each had come once and in its turn, whether a repetition has the old webhook-id or a new one."""
    number = next(NUMBERS)
    once, anyhow = f"once-{number}", f"any-{number}"
    for place, body in enumerate(write(life, once)):
        await post(api, body, webhook_id=f"{once}:{place}")
        await apply(api)
    told = write(life, anyhow)
    again = data.draw(st.lists(st.tuples(st.sampled_from(range(len(told))), st.booleans()), max_size=4))
    order = data.draw(st.permutations([*((place, False) for place in range(len(told))), *again]))
    for turn, (place, anew) in enumerate(order):
        webhook_id = f"{anyhow}:{place}" + (f":{turn}" if anew else "")
        assert (await post(api, told[place], webhook_id=webhook_id))[0] == 202
        if data.draw(st.booleans()):
            await apply(api)
    await apply(api)
    assert await show(call, anyhow) == await show(call, once)
