"""Every job by its task's name."""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence

from notifier.channel import Channel
from notifier.model import Endpoint
from watcher.adopting import LostSessions
from watcher.alarm import NOTICE_TASK, OperatorTeller, Way
from watcher.api.webhooks_stripe import STRIPE_EVENT_TASK
from watcher.apply import CREATE_SESSION_TASK
from watcher.asks.beforehand import Sources
from watcher.asks.looking import Looker
from watcher.braking import Braker
from watcher.clock import SystemClock, make_new_id
from watcher.closing import LOOK_TASK
from watcher.deliver import Deliverer
from watcher.dispatch import Dispatcher
from watcher.inbound.apply import INBOUND_TASK, Inbound
from watcher.jobs.engine import Handler
from watcher.look import Follower
from watcher.replacing import Replacer
from watcher.session_request import Onramps
from watcher.store.events import DELIVER_TASK
from watcher.sweeps import Sweeper
from watcher.withholding import WITHHOLD_TASK, Withholder


def make_handlers(
    sources: Sources,
    onramps: Onramps,
    channels: Mapping[str, Channel],
    endpoints: Mapping[tuple[str, str], Endpoint],
    *,
    lost: LostSessions | None,
    ways: Sequence[Way] = (),
    step_aside: Callable[[], Awaitable[None]],
) -> dict[str, Handler]:
    """Every job by its task's name. `step_aside`: what is to be awaited before work that can wait."""
    clock = SystemClock()
    new_id = make_new_id(clock, secrets.randbits)
    database = sources.database
    looker = Looker(sources, clock=clock, new_id=new_id)
    dispatcher = Dispatcher(database, onramps, clock=clock, new_id=new_id, may_send=looker.may_send, lost=lost)
    follower = Follower(database, onramps, clock=clock, new_id=new_id)
    inbound = Inbound(sources, clock=clock, new_id=new_id, step_aside=step_aside)
    sweeper = Sweeper(database, onramps.settings.networks, clock=clock, new_id=new_id)
    deliverer = Deliverer(database, channels, endpoints, clock=clock, jitter=lambda n: secrets.randbelow(n + 1))
    replacer = Replacer(database, onramps.settings, clock=clock, new_id=new_id)
    braker = Braker(database, onramps.settings, clock=clock, new_id=new_id)
    sweeps = (
        braker.look_at_brakes,
        replacer.replace_addresses,
        looker.look_again,
        sweeper.look_at_due_sessions,
        sweeper.expire_top_ups,
        sweeper.expire_asks,
        sweeper.tell_overdue_top_ups,
        sweeper.nudge_settling,
        sweeper.prune,
    )
    return {
        CREATE_SESSION_TASK: dispatcher.create_session,
        LOOK_TASK: follower.look_at_session,
        STRIPE_EVENT_TASK: follower.handle_stripe_event,
        INBOUND_TASK: inbound.apply_inbound,
        DELIVER_TASK: deliverer.send,
        NOTICE_TASK: OperatorTeller(database, ways, clock=clock).tell,
        WITHHOLD_TASK: Withholder(database, clock=clock).withhold,
        **{sweep.__name__: sweep for sweep in sweeps},
    }
