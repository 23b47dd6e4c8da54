"""Opens a file that a person named, to read it: a pipe that nobody writes to is empty, and nobody waits for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NONBLOCKING = getattr(os, "O_NONBLOCK", 0)
"""0 where there are no named pipes (Windows)."""


def read_at_most(path: Path, size: int) -> bytes:
    """Return the first `size` bytes of a file. Raises OSError for one that cannot be read."""
    with open(path, "rb", opener=_without_waiting) as file:
        return file.read(size)


def _without_waiting(path: str, flags: int) -> int:
    """Open as usual, but for a named pipe: without a writer that would be waited for without end."""
    opened = os.open(path, flags | NONBLOCKING)
    if NONBLOCKING:
        # What has a writer, such as `<(command)`, is read to its end as ever.
        os.set_blocking(opened, True)
    return opened
