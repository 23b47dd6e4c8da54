"""What the engines of a study may fail with, beside input that is wrong."""

from __future__ import annotations

from typing import ClassVar

from providers.errors import TunefareError


class WorkersFailed(TunefareError):
    """Workers ended before their work was done: killed, out of memory, out of reach. Trying again may help."""

    exit_code: ClassVar[int] = 10
