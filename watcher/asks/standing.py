"""How an ask stands: by its needs, and by what was found out about its transaction. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from chains.model import NetworkId
from config.model import Network
from watcher.asks.analysis import Analysis
from watcher.asks.cover import find_status
from watcher.asks.model import Need, State
from watcher.asks.reasons import find_allowance, find_hindrance, make_reason

Standing = tuple[State, Mapping[str, Any] | None]
"""The status, and the reason where there is one."""


def find_standing(
    analysis: Analysis | None, needs: Sequence[Need], network: Network, networks: Mapping[NetworkId, Network]
) -> Standing:
    """By living needs. `unknown` while the network has not said what the transaction needs, or they are not read.

    An approval that is missing stands beside the money that is; it is in the way alone once the money is there.
    """
    if analysis is not None and not analysis.found:
        return State.UNKNOWN, None
    hindrance = None if analysis is None else find_hindrance(analysis)
    if hindrance is not None:
        return State.NOT_FUNDS, hindrance
    refused = next((n for n in needs if n.unsold), None)
    status = find_status([n.state for n in needs], refused=refused is not None)
    if analysis is not None and not needs:
        status = State.COVERED  # it takes nothing
    if status is State.NOT_FUNDS:
        return status, make_reason(refused, network, networks)
    allowance = None if status is State.UNKNOWN else find_allowance(analysis)
    return State.NOT_FUNDS if allowance and status is State.COVERED else status, allowance
