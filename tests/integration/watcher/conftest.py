"""Every flow of these tests tells its events as they are described."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.watcher.world import check_recorded
from watcher.store.database import Database


@pytest.fixture(autouse=True)
async def events_are_described(database: Database) -> AsyncIterator[None]:
    """Whatever a test brought about, each event of it is as its type is described."""
    yield
    await check_recorded(database)
