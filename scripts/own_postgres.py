"""Run a command with a PostgreSQL of this machine's own: `python -m scripts.own_postgres pytest -m "not acceptance"`.

The server is new, has TLS, and is gone afterwards; the tests find it by TEST_DATABASE_URL.
"""

import os
import subprocess
import sys

from tests.nodes.own_postgres import find_own_programs, run_postgres

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def main(command: list[str]) -> int:
    """Gives the command's exit status; 1 where PostgreSQL is not installed."""
    programs = find_own_programs()
    if programs is None:
        print("no PostgreSQL here: apt-get install postgresql", file=sys.stderr)
        return 1
    with run_postgres(programs, FAST) as server:
        environment = {**os.environ, "TEST_DATABASE_URL": server.url(tls="sslmode=require")}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
