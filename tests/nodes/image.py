"""Images really built and really started where no container engine runs: podman and buildah in a plain chroot."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
BASE: Final = "localhost/topup-watcher-test-base"
BUILD_SECONDS: Final = 900
_LIMITS: Final = '[containers]\ndefault_ulimits = ["nofile=1000:1000", "nproc=1000:1000"]\n'
_CERTIFICATES: Final = Path("/etc/ssl/certs")


def find_reason_to_skip() -> str | None:
    """Why no image can be built here; None where one can."""
    missing = [name for name in ("podman", "buildah") if shutil.which(name) is None]
    if missing:
        return f"no {' and no '.join(missing)} on PATH"
    if os.geteuid() != 0:
        return "a chroot needs root"
    if "TEST_BASE_IMAGE" not in os.environ and shutil.which("mmdebstrap") is None:
        return "neither TEST_BASE_IMAGE nor mmdebstrap to make a base image with"
    return None


class Builder:
    """podman and buildah as they work without a daemon, cgroups or user namespaces."""

    def __init__(self, folder: Path) -> None:
        limits = folder / "containers.conf"
        limits.write_text(_LIMITS)
        self._folder = folder
        self._env = {**os.environ, "CONTAINERS_CONF": str(limits)}

    def call(self, *words: str, seconds: int = 60) -> str:
        """What a command prints. Raises RuntimeError with what it complained of."""
        ran = subprocess.run(
            words, cwd=ROOT, env=self._env, capture_output=True, text=True, timeout=seconds, check=False
        )
        if ran.returncode:
            raise RuntimeError(
                f"{words[0]} {words[1]} ended with {ran.returncode}: {(ran.stdout + ran.stderr)[-2000:]}"
            )
        return ran.stdout

    def find_base(self) -> str:
        """TEST_BASE_IMAGE, or a small Debian with Python made here once."""
        if named := os.environ.get("TEST_BASE_IMAGE"):
            return named
        with contextlib.suppress(RuntimeError):
            self.call("podman", "image", "exists", BASE)
            return BASE
        archive = self._folder / "base.tar"
        packages = "--include=python3-minimal,python3-venv,ca-certificates"
        self.call("mmdebstrap", "--variant=minbase", packages, "bookworm", str(archive), seconds=BUILD_SECONDS)
        self.call("podman", "import", str(archive), BASE, seconds=120)
        archive.unlink()
        return BASE

    def build(self, dockerfile: str, tag: str) -> dict[str, Any]:
        """The image's description. pip finds its index as it does here."""
        options = ["--isolation=chroot", "--network=host", "--format=docker", f"--build-arg=BASE={self.find_base()}"]
        if _CERTIFICATES.is_dir():
            options.append(f"--volume={_CERTIFICATES}:{_CERTIFICATES}:ro")
        if Path("/etc/pip.conf").is_file():
            options.append("--secret=id=pip,src=/etc/pip.conf")
        self.call("podman", "build", *options, f"--tag={tag}", f"--file={dockerfile}", ".", seconds=BUILD_SECONDS)
        found: list[dict[str, Any]] = json.loads(self.call("podman", "image", "inspect", tag))
        return found[0]

    @contextlib.contextmanager
    def container(self, tag: str) -> Iterator[str]:
        """A working container of an image, deleted at the end."""
        name = self.call("buildah", "from", "--pull-never", tag).strip()
        try:
            yield name
        finally:
            self.call("buildah", "rm", name)

    def run(self, name: str, *words: str) -> str:
        """What a command prints in a container."""
        return self.call("buildah", "run", "--isolation=chroot", name, "--", *words)

    def start(self, name: str, words: Sequence[str], *, volumes: Sequence[str], env: Sequence[str], log: Path) -> Any:
        """A command that stays, on the host's network. Its output goes to `log`."""
        options = [f"--volume={volume}" for volume in volumes] + [f"--env={pair}" for pair in env]
        command = ["buildah", "run", "--isolation=chroot", *options, name, "--", *words]
        with log.open("ab") as output:
            return subprocess.Popen(command, env=self._env, stdout=output, stderr=output, start_new_session=True)


def need_builder(folder: Path) -> Builder:
    """A builder, or the test is skipped with the reason."""
    if reason := find_reason_to_skip():
        pytest.skip(reason)
    return Builder(folder)
