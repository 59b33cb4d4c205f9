"""Configurations to break, one change at a time."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from config.errors import ConfigError
from config.load import load_settings
from config.model import Settings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

SOUND: dict[str, Any] = {
    "networks": {"ethereum": {"http": ["https://rpc.example/KEY"], "ws": ["wss://rpc.example/KEY"]}},
    "policies": {
        "default": {
            "networks": ["ethereum"],
            "funding": [{"when": "low", "network": "ethereum", "asset": "USDC", "trigger": "20", "target": "50"}],
        }
    },
    "tenants": {
        "default": {
            "stripe_secret_key": "sk_live_KEY",
            "endpoints": [{"id": "main", "url": "https://backend.example/hooks", "secret": SECRET}],
        }
    },
}
"""A sound configuration of one real network."""

Change = Callable[[dict[str, Any]], object]


def sound(change: Change | None = None) -> dict[str, Any]:
    """A copy of it, changed."""
    content = copy.deepcopy(SOUND)
    if change is not None:
        change(content)
    return content


def write(folder: Path, content: dict[str, Any]) -> Path:
    """The content as a TOML file."""
    path = folder / "watcher.toml"
    path.write_text("".join(f"{json.dumps(key)} = {_toml(value)}\n" for key, value in content.items()))
    return path


def load(folder: Path, change: Change | None = None) -> Settings:
    """The settings of a changed configuration."""
    return load_settings(write(folder, sound(change)))


def faults(folder: Path, change: Change | None = None) -> set[tuple[str, str]]:
    """Field and code of every fault of a changed configuration."""
    try:
        load(folder, change)
    except ConfigError as error:
        return {(e.field, e.code) for e in error.errors}
    return set()


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return json.dumps(value)
