"""What can be wrong with the store itself."""

from __future__ import annotations

from typing import ClassVar

from providers.errors import TunefareError


class StoreBusy(TunefareError):
    """Another process refreshes, or the database is out of reach: trying again may help."""

    exit_code: ClassVar[int] = 10


class StoreDamaged(TunefareError):
    """The database cannot be read, or was written by a newer version. Deleting the price cache is always safe."""

    exit_code: ClassVar[int] = 9
