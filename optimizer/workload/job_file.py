"""Reads a job file: TOML with the job flags as keys."""

from __future__ import annotations

import tomllib
from pathlib import Path

from providers.errors import JobError

from .job_input import JobInput
from .model_config import is_model_path

PATH_KEYS: tuple[str, ...] = ("dataset", "tokenizer", "offers")
"""Keys that name files: relative to the job file, so that a job can be read from anywhere."""

PATHS_KEYS: tuple[str, ...] = ("calibrate_with",)
"""Keys that name one file or several: likewise."""

MODEL_KEYS: tuple[str, ...] = ("model", "reward_model")


def read_job_file(path: str | Path) -> JobInput:
    """Return the job that a TOML file describes; paths in it are taken relative to the file.

    Raises JobError naming the file and the key for a file that is missing, not TOML or not UTF-8, and for an unknown
    key or a value of the wrong kind or range.
    """
    file = Path(path)
    values = read_toml(file)
    for key in (*PATH_KEYS, *MODEL_KEYS):
        value = values.get(key)
        if isinstance(value, str) and (key in PATH_KEYS or is_model_path(value, folder=file.parent)):
            values[key] = str(file.parent / Path(value).expanduser())
    for key in PATHS_KEYS:
        if key in values:
            values[key] = relative_to_file(values[key], file.parent)
    return JobInput.from_mapping(values, where=str(file))


def relative_to_file(value: object, folder: Path) -> object:
    """Return a path, or several, relative to `folder`; anything else is the job's to refuse."""
    several = [value] if isinstance(value, str) else value
    if not isinstance(several, list) or not all(isinstance(one, str) for one in several):
        return value
    return [str(folder / Path(part.strip()).expanduser()) for one in several for part in one.split(",")]


def read_toml(file: Path) -> dict[str, object]:
    """Return what a TOML file holds. Raises JobError where it cannot be read or is no TOML."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as err:
        raise JobError(where=str(file), key="encoding", value="not UTF-8", allowed="a TOML file in UTF-8") from err
    except (OSError, ValueError) as err:
        reason = getattr(err, "strerror", None) or str(err)
        allowed = f"a readable TOML file ({reason})"
        raise JobError(where="job file", key="path", value=str(file), allowed=allowed) from err
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as err:
        raise JobError(where=str(file), key="syntax", value=str(err), allowed="a TOML file: key = value") from err
