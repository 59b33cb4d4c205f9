"""The image, really built and really started, on a base that has Python and nothing of ours."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.nodes.anvil import free_port
from tests.nodes.image import BUILD_SECONDS, Builder, need_builder
from tests.nodes.processes import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(2 * BUILD_SECONDS)]

TAG = "localhost/topup-watcher-test"
USER = 10001
CONFIG = """\
console = true
[networks.local-evm]
http = ["http://127.0.0.1:9"]
[policies.default]
networks = ["local-evm"]
[tenants.default]
"""


@dataclass(frozen=True)
class Image:
    builder: Builder
    description: dict[str, Any]
    container: str


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    builder = need_builder(tmp_path_factory.mktemp("image"))
    description = builder.build("Dockerfile", TAG)
    with builder.container(TAG) as container:
        yield Image(builder, description, container)


def test_it_holds_the_daemon_and_nothing_to_build_with(image: Image) -> None:
    """The command runs; there is no compiler, no pip in its environment, and nothing that only development needs."""
    assert "sandbox" in image.builder.run(image.container, "/venv/bin/topup-watcher", "--help")
    look = "for p in gcc cc c++ clang ld make; do command -v $p; done; ls /venv/lib/python3*/site-packages"
    found = set(image.builder.run(image.container, "/bin/sh", "-c", look + "; true").split())
    assert {"watcher", "aiohttp", "psycopg"} <= found
    assert found & {"pip", "pytest", "mypy", "hatchling", "playwright", "schemathesis", "tests"} == set()
    assert not {name for name in found if name.startswith("/")}


def test_it_runs_as_nobody_who_can_change_it(image: Image) -> None:
    """A user without a name on the host, who may write its data folder alone; no file with the setuid bit is ours."""
    assert image.builder.run(image.container, "id", "-u").strip() == str(USER)
    write = "for d in / /etc /usr /venv /venv/bin /opt /data; do test -w $d && echo $d; done; true"
    assert image.builder.run(image.container, "/bin/sh", "-c", write).split() == ["/data"]


async def test_it_starts_is_healthy_and_ends_in_order(image: Image, tmp_path: Path) -> None:
    """Its own entrypoint and health check, on its own database; SIGTERM ends it with 0; nothing else is written."""
    config, data, log, port = tmp_path / "watcher.toml", tmp_path / "data", tmp_path / "log", free_port()
    config.write_text(CONFIG)
    config.chmod(0o644)
    data.mkdir()
    os.chown(data, USER, USER)
    described = image.description["Config"]
    words = [*described["Entrypoint"], *described["Cmd"]]
    shell = ["/bin/sh", "-c", 'touch /tmp/began; echo $$ > /data/pid; exec "$@"', "sh", *words]
    volumes = (f"{data}:/data", f"{config}:{described['Cmd'][-1]}:ro")
    process = image.builder.start(
        image.container, shell, volumes=volumes, env=[f"TOPUP_LISTEN=127.0.0.1:{port}"], log=log
    )
    try:
        await wait_until_ready(f"http://127.0.0.1:{port}/readyz", process, log)
        kind, *check = image.description["HealthCheck" if "HealthCheck" in image.description else "Healthcheck"]["Test"]
        assert kind == "CMD"
        check = [re.sub(r":8080\b", f":{port}", word) for word in check]
        assert image.builder.run(image.container, *check) == ""
        os.kill(int((data / "pid").read_text()), signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
    finally:
        process.kill()
    with pytest.raises(RuntimeError, match="refused"):
        image.builder.run(image.container, *check)
    changed = "find / -xdev -newer /tmp/began -type f -not -path '/proc/*' 2>/dev/null; true"
    found = image.builder.run(image.container, "/bin/sh", "-c", changed).split()
    outside = [path for path in found if not path.startswith(("/tmp/", "/data/", "/etc/", "/run/"))]  # noqa: S108
    assert outside == []


async def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Ends at once when the process does."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:

        async def answers() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"the container ended; see {log}")
            try:
                async with http.get(url) as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        await until(answers, seconds=60, what="readiness")
