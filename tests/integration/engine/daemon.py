"""A process that owns an embedded PostgreSQL until it is killed. `python -m … DATA_DIR`."""

import asyncio
import sys
from pathlib import Path

from watcher.store.embedded import EmbeddedPostgres


async def main(data_dir: Path) -> None:
    """Say the server's process id, then wait."""
    async with EmbeddedPostgres(data_dir, daemon=True) as server:
        sys.stdout.write(f"{server.find_pid()}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
