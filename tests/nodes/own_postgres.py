"""A PostgreSQL of this machine's own packages, on a port, with TLS: in the place of an operator's."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

from tests.nodes.anvil import free_port
from watcher.store.postmaster import SUPERUSER, Cluster
from watcher.store.system_user import find_or_create_user

PASSWORD = "p@ss w0rd/%"
SETTINGS = {"listen_addresses": "127.0.0.1", "max_connections": "200", "ssl": "on"}


@dataclass(frozen=True)
class OwnPostgres:
    """A running server."""

    cluster: Cluster
    port: int
    root: Path
    """The certificate that its own is signed by."""

    def url(self, database: str = "postgres", *, tls: str = "sslmode=disable", password: str | None = None) -> str:
        secret = quote(password or PASSWORD, safe="")
        return f"postgresql://{SUPERUSER}:{secret}@127.0.0.1:{self.port}/{database}?{tls}"


def find_own_programs() -> Path | None:
    """The newest of Debian's folders, or those on the PATH; None where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if found:
        return found[-1].parent
    there = shutil.which("initdb")
    return Path(there).resolve().parent if there else None


@contextmanager
def run_postgres(
    programs: Path, settings: Mapping[str, str] | None = None, *, parent: Path | None = None
) -> Iterator[OwnPostgres]:
    """A new server, gone afterwards. Its password is asked for on TCP."""
    folder = Path(tempfile.mkdtemp(prefix="topup-own-", dir=parent))
    port = free_port()
    values = {**SETTINGS, "port": str(port), **(settings or {})}
    cluster = Cluster(folder / "postgres", programs, find_or_create_user(), values)
    try:
        folder.chmod(0o755)
        cluster.create()
        _ask_for_passwords(cluster)
        _certify(cluster, folder)
        cluster.start()
        socket = f"postgresql://{SUPERUSER}@/postgres?host={cluster.socket_directory}&port={port}"
        with psycopg.connect(socket, autocommit=True) as conn:
            conn.execute(f"alter user {SUPERUSER} password '{PASSWORD}'".encode())
        yield OwnPostgres(cluster, port, folder / "root.crt")
    finally:
        cluster.stop()
        shutil.rmtree(folder)


def _ask_for_passwords(cluster: Cluster) -> None:
    path = cluster.directory / "pg_hba.conf"
    path.write_text(re.sub(r"(?m)^host .*trust$", "", path.read_text()) + "\nhost all all 127.0.0.1/32 scram-sha-256\n")


def _certify(cluster: Cluster, folder: Path) -> None:
    """A root, and a certificate for 127.0.0.1 that it signed."""
    key, request, made = cluster.directory / "server.key", folder / "server.csr", cluster.directory / "server.crt"
    new_key = ("-newkey", "rsa:2048", "-nodes", "-subj")
    _openssl("req", "-x509", *new_key, "/CN=root", "-keyout", "root.key", "-out", "root.crt", "-days", "2", cwd=folder)
    _openssl("req", *new_key, "/CN=127.0.0.1", "-keyout", str(key), "-out", str(request), cwd=folder)
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    signed = ("-CA", "root.crt", "-CAkey", "root.key", "-CAcreateserial", "-extfile", "names", "-days", "2")
    _openssl("x509", "-req", "-in", str(request), *signed, "-out", str(made), cwd=folder)
    for path in (key, made):
        path.chmod(0o600)
        if cluster.user:
            os.chown(path, cluster.user.uid, cluster.user.gid)


def _openssl(*words: str, cwd: Path) -> None:
    subprocess.run(["openssl", *words], cwd=cwd, check=True, capture_output=True, timeout=30)
