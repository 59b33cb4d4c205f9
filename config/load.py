"""Reading the configuration: a TOML file, `TOPUP_…` environment variables over it, secret files beside it."""

import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from config.build import build_settings
from config.errors import ConfigError, FieldError
from config.model import Settings
from config.schema import File

ENV_PREFIX = "TOPUP_"
_CONTAINERS = frozenset({"networks", "assets", "policies", "tenants", "funding", "endpoints", "sources", "limits"})
"""What other parts refer to: without them, the rest can't be judged."""


def load_settings(path: Path) -> Settings:
    """The configuration in `path`, with `TOPUP_TENANTS__DEFAULT__STRIPE_SECRET_KEY` and the like over it.

    In a variable's name a network's hyphen may be an underscore, which every shell can write: `LOCAL_EVM`.
    Raises `ConfigError` that holds every fault found, each with its place.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        message = "there is no such file; topup-watcher init writes an example"
        raise ConfigError(str(path), [FieldError("/", "missing", message)]) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(str(path), [FieldError("/", "unreadable", f"is not TOML: {error}")]) from None
    errors: list[FieldError] = []
    file = _read(raw, errors)
    settings = None if file is None else build_settings(file, path.absolute().parent, errors)
    if settings is None or errors:
        raise ConfigError(str(path), errors)
    return settings


def _read(raw: dict[str, Any], errors: list[FieldError]) -> File | None:
    """The file's shape. Faulty values are left out once told, so that the rest can be judged in the same run."""
    errors += [FieldError(name, "extra_forbidden", "is not a known setting") for name in _find_strangers(os.environ)]
    reserved = [key for key in raw if key.startswith("_")]
    errors += [FieldError(f"/{key}", "extra_forbidden", "is not a known key") for key in reserved]
    for key in reserved:
        del raw[key]
    try:
        return _Sources(**raw)
    except SettingsError as error:
        errors.append(FieldError("environment", "unreadable", f"{error}; lists and tables are written as JSON"))
        return None
    except ValidationError as error:
        faults = error.errors()
    errors += [_translate(fault) for fault in faults]
    if any(fault["type"] == "missing" or fault["loc"][-1] in _CONTAINERS for fault in faults):
        return None
    for fault in faults:
        _drop(raw, fault["loc"])
    try:
        return _Sources(**raw)
    except ValidationError:
        return None


def _find_strangers(names: Iterable[str]) -> list[str]:
    """Variables with our prefix that set nothing: more likely a slip than meant."""
    known = {ENV_PREFIX + field.upper() for field in File.model_fields}
    ours = (name for name in names if name.upper().startswith(ENV_PREFIX))
    return sorted(name for name in ours if name.upper().partition("__")[0] not in known)


def _drop(raw: Any, loc: tuple[int | str, ...]) -> None:
    for part in loc[:-1]:
        if isinstance(raw, list) and isinstance(part, int):
            raw = raw[part]
        elif isinstance(raw, dict):
            raw = raw.get(part)
    if isinstance(raw, dict):
        raw.pop(loc[-1], None)


class _Environment(EnvSettingsSource):
    """The environment, with network names as the catalogue writes them."""

    def __call__(self) -> dict[str, Any]:
        data = super().__call__()
        if isinstance(data.get("networks"), dict):
            data["networks"] = {name.replace("_", "-"): entry for name, entry in data["networks"].items()}
        return data


class _Sources(File, BaseSettings):
    """The file's shape, filled from the environment first and the file second."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The arguments are the file's content; `.env` files and secret folders are not read behind anybody's back."""
        del env_settings, dotenv_settings, file_secret_settings
        return _Environment(settings_cls), init_settings


def _translate(fault: Any) -> FieldError:
    """Pydantic's words as ours, without the value: it may be a secret."""
    pointer = "/" + "/".join(str(part) for part in fault["loc"])
    message = {
        "extra_forbidden": "is not a known key",
        "missing": "is missing",
    }.get(fault["type"], fault["msg"][0].lower() + fault["msg"][1:])
    return FieldError(pointer, fault["type"], message)
