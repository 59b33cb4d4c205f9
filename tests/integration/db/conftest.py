"""A store with something of everything in it."""

from pathlib import Path

import pytest
from sqlalchemy import insert

from tests.fakes.settings import ETH, make_settings
from tests.integration.watcher.world import ETH_HOLDING, World
from watcher.closing import LOOK_TASK
from watcher.jobs.defer import defer
from watcher.store.database import Database
from watcher.store.tables import inbox

ODD = 'a\\b\tc\nd "ü" \\N'
"""What a text format must bring through: its own escapes, line breaks, and what is not ASCII."""


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> World:
    """A wallet that ran low: a top-up, events, a holding, a cursor; a job, and a webhook with odd words in it."""
    made = World(database, make_settings(tmp_path))
    await made.start()
    await made.register(label=ODD)
    await made.step({ETH_HOLDING: ETH - 1})
    (asked,) = await made.top_ups()
    async with database.begin() as conn:
        await defer(conn, LOOK_TASK, top_up=asked.id)
        row = {"tenant": "default", "source": "stripe", "id": ODD, "digest": b"\x00\xff\n", "payload": {"odd": ODD}}
        await conn.execute(insert(inbox).values(**row, received_at=made.clock.now()))
    return made
