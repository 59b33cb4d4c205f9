"""docker-compose.yml as a composition without an engine: interpolated as the Compose specification says, then read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]  # ships no type information

ROOT: Final = Path(__file__).resolve().parents[1]
FILE: Final = ROOT / "docker-compose.yml"
_VARIABLE: Final = re.compile(r"\$(?:\$|\{(\w+)(?::-([^}]*))?\})")


@dataclass(frozen=True, slots=True)
class Service:
    """One service, in the forms that this file uses."""

    name: str
    raw: Mapping[str, Any]

    @property
    def profiles(self) -> tuple[str, ...]:
        return tuple(self.raw.get("profiles", ()))

    @property
    def image(self) -> str:
        return str(self.raw["image"])

    @property
    def words(self) -> list[str]:
        """What follows the image's own entrypoint, or the whole command where there is another."""
        return [*self.raw.get("entrypoint", ()), *self.raw.get("command", ())]

    @property
    def environment(self) -> dict[str, str]:
        return {name: str(value) for name, value in self.raw.get("environment", {}).items()}

    @property
    def health(self) -> list[str]:
        """The words of its health check; none where it has none."""
        return list(self.raw.get("healthcheck", {}).get("test", ()))

    @property
    def published(self) -> list[tuple[str, int]]:
        """Where the host listens, and the port inside."""
        pairs = [str(port).rpartition(":") for port in self.raw.get("ports", ())]
        return [(outside, int(inside)) for outside, _, inside in pairs]

    @property
    def mounts(self) -> list[list[str]]:
        """Source, target and mode of each."""
        return [str(volume).split(":") for volume in self.raw.get("volumes", ())]

    @property
    def waits_for(self) -> dict[str, str]:
        """The condition by the service."""
        return {name: entry["condition"] for name, entry in self.raw.get("depends_on", {}).items()}


def read_composition(environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The whole file, with its variables replaced."""
    text = FILE.read_text(encoding="utf-8")
    given = environment or {}

    def replace(found: re.Match[str]) -> str:
        name, default = found.groups()
        if name is None:
            return "$"
        value = given.get(name) or default
        if value is None:
            raise KeyError(name)
        return value

    loaded: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(replace, text))
    return loaded


def read_services() -> dict[str, Service]:
    """By name, as without an environment."""
    return {name: Service(name, raw) for name, raw in read_composition()["services"].items()}
