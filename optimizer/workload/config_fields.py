"""A `config.json` opened for reading: every look-up names file and key when it fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from providers.errors import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping

WHOLE_MAX = 10**9
"""No width, count or vocabulary of a model comes near; a larger figure is a typing error."""


class ConfigFields:
    """The keys of one config.json, or of the text part inside it."""

    def __init__(self, values: Mapping[str, object], file: str) -> None:
        self._values = values
        self.file = file

    def error(self, key: str, allowed: str) -> JobError:
        """Return the error that names the file, `key`, what it holds and what is allowed."""
        return JobError(where=self.file, key=key, value=self._values.get(key), allowed=allowed)

    def whole(self, *keys: str, default: int | None = None, least: int = 1, usual: str | None = None) -> int:
        """Return the first of `keys` that is there (null counts as absent), else `default`.

        `usual` is the key that an error names when none is there (default: the first).

        Raises JobError when none is there and there is no default, and for anything but a whole number >= `least`.
        """
        for key in keys:
            value = self._values.get(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= WHOLE_MAX:
                raise self.error(key, f"a whole number from {least} to {WHOLE_MAX}")
            return value
        if default is None:
            raise self.error(usual or keys[0], f"required: a whole number (or one of the keys {', '.join(keys)})")
        return default

    def flag(self, key: str, *, default: bool) -> bool:
        """Return a boolean key, `default` when absent. Raises JobError for anything else."""
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.error(key, "true or false")
        return value

    def text(self, key: str, *, default: str) -> str:
        """Return a text key, `default` when absent. Raises JobError for anything else."""
        value = self._values.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.error(key, "a text")
        return value

    def length(self, key: str) -> int:
        """Return how many entries a list key holds, 0 when absent. Raises JobError for anything but a list."""
        value = self._values.get(key)
        if value is None:
            return 0
        if not isinstance(value, list):
            raise self.error(key, "a list")
        return len(value)

    def inner(self, key: str) -> ConfigFields | None:
        """Return the object under `key`, None when absent. Raises JobError for anything but an object."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.error(key, "an object")
        return ConfigFields(value, self.file)

    def has(self, key: str) -> bool:
        """Return whether `key` is there and not null."""
        return self._values.get(key) is not None


def open_config(path: str | Path) -> ConfigFields:
    """Return the keys of a config.json, or of the one in a folder.

    Raises JobError for a file that is missing, not UTF-8, or not a JSON object.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        file = file / "config.json"
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except OSError as err:
        reason = err.strerror or type(err).__name__
        allowed = f"a readable config.json ({reason})"
        raise JobError(where="model", key="path", value=str(path), allowed=allowed) from err
    except (ValueError, RecursionError) as err:
        raise JobError(where=str(file), key="syntax", value=str(err), allowed="a JSON object in UTF-8") from err
    if not isinstance(values, dict):
        raise JobError(where=str(file), key="syntax", value=type(values).__name__, allowed="a JSON object in UTF-8")
    return ConfigFields(values, str(file))
