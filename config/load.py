"""Reading the configuration: a TOML file, `TOPUP_…` environment variables over it, secret files beside it."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config.build import build_settings
from config.errors import ConfigError, FieldError
from config.model import Settings
from config.schema import File

ENV_PREFIX = "TOPUP_"


def load_settings(path: Path) -> Settings:
    """The configuration in `path`, with `TOPUP_TENANTS__DEFAULT__STRIPE_SECRET_KEY` and the like over it.

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
    """The file's shape. Unknown keys are faults, and left out so that the rest can be judged in the same run."""
    try:
        return _Sources(**raw)
    except ValidationError as error:
        faults = error.errors()
    errors += [_translate(fault) for fault in faults]
    if any(fault["type"] != "extra_forbidden" for fault in faults):
        return None
    for fault in faults:
        _drop(raw, fault["loc"])
    try:
        return _Sources(**raw)
    except ValidationError:
        return None


def _drop(raw: Any, loc: tuple[int | str, ...]) -> None:
    for part in loc[:-1]:
        if isinstance(raw, list) and isinstance(part, int):
            raw = raw[part]
        elif isinstance(raw, dict):
            raw = raw.get(part)
    if isinstance(raw, dict):
        raw.pop(loc[-1], None)


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
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


def _translate(fault: Any) -> FieldError:
    """Pydantic's words as ours, without the value: it may be a secret."""
    pointer = "/" + "/".join(str(part) for part in fault["loc"])
    message = {
        "extra_forbidden": "is not a known key",
        "missing": "is missing",
    }.get(fault["type"], fault["msg"][0].lower() + fault["msg"][1:])
    return FieldError(pointer, fault["type"], message)
