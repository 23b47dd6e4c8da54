"""Files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from providers.errors import JobError


def write_file(path: Path | str, text: str, *, key: str = "output", mode: int = 0o644) -> Path:
    """Write `text` (UTF-8, no newline translation) to `path` and return it; `key` is the flag that named the path.

    A temporary file in the same directory is written, synced and renamed over the target: a reader sees the old file
    or the new one, and an interruption leaves nothing half-written. A symbolic link is followed, and an existing
    file keeps its permissions; a new one gets `mode` within the umask. Raises JobError (exit 2) naming the path when
    it cannot be written.
    """
    return write_bytes(path, text.encode("utf-8"), key=key, mode=mode)


def write_bytes(path: Path | str, data: bytes, *, key: str = "output", mode: int = 0o644) -> Path:
    """Write `data` to `path` as `write_file` writes text."""
    target = Path(path)
    try:
        return _write(target, data, mode)
    except OSError as err:
        raise JobError(where="command line", key=key, value=str(path), allowed=_advice(target, err)) from err


def check_writable(path: Path | str, *, key: str = "output") -> None:
    """Raise JobError, as `write_file` would, where `path` cannot be written; nothing is changed or left behind.

    For what takes long to make: better now than when it is there.
    """
    target = Path(path)
    try:
        resolved = _resolved(target)
        if resolved.exists() and not resolved.is_file():
            return
        with tempfile.NamedTemporaryFile(prefix=f".{resolved.name}.", suffix=".tmp", dir=resolved.parent):
            pass
    except OSError as err:
        raise JobError(where="command line", key=key, value=str(path), allowed=_advice(target, err)) from err


def _resolved(target: Path) -> Path:
    """Return where a path leads. Raises OSError for a folder, and for what this user may not write."""
    resolved = target.resolve()
    if resolved.is_dir():
        raise IsADirectoryError(21, "Is a directory", str(target))
    if resolved.exists() and not os.access(resolved, os.W_OK):
        # A rename needs only the directory's permission: a file made read-only on purpose would be replaced silently.
        raise PermissionError(13, "Permission denied", str(target))
    return resolved


def _write(target: Path, data: bytes, mode: int) -> Path:
    resolved = _resolved(target)
    if resolved.exists() and not resolved.is_file():
        # A pipe or a device (/dev/stdout, /dev/null): a rename would replace it by a plain file.
        resolved.write_bytes(data)
        return target
    handle, name = tempfile.mkstemp(prefix=f".{resolved.name}.", suffix=".tmp", dir=resolved.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(_mode(resolved, mode))
        Path(name).replace(resolved)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    return target


def _mode(target: Path, mode: int) -> int:
    """Return the permissions of an existing target, otherwise `mode` within the umask."""
    if target.exists():
        return target.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return mode & ~umask


def _advice(target: Path, err: OSError) -> str:
    reason = err.strerror or type(err).__name__
    if isinstance(err, FileNotFoundError) and target.is_symlink():
        return f"cannot be written ({reason}): it links to {target.readlink()}, whose directory does not exist"
    if isinstance(err, FileNotFoundError):
        return f"cannot be written ({reason}): the directory {target.parent} must exist"
    if isinstance(err, IsADirectoryError):
        return f"cannot be written ({reason}): name a file"
    return f"cannot be written ({reason}): a path that this user may write"
