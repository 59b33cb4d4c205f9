"""The commented example configuration that `topup-watcher init` writes."""

from importlib.resources import files
from pathlib import Path

from config.errors import ConfigError, FieldError


def write_example(path: Path) -> None:
    """Write it to `path`, readable by this user alone. Raises `ConfigError` rather than overwrite anything."""
    text = (files("config") / "watcher.example.toml").read_text()
    try:
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(text)
    except FileExistsError:
        raise ConfigError(str(path), [FieldError("/", "exists", "is there already, and was not touched")]) from None
    except OSError as error:
        raise ConfigError(str(path), [FieldError("/", "unwritable", f"can't be written: {error.strerror}")]) from None
