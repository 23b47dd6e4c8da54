"""Which ledger is in force, how it is opened, and who writes in it."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from optimizer.approval.principals import os_user_principal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from optimizer.approval.ledger import Ledger
    from optimizer.approval.records import Principal

    from .settings import Settings

FILE_NAME = "ledger.db"


def ledger_url(settings: Settings, environment: Mapping[str, str] | None = None) -> str:
    """Return where the ledger is: as configured, else `$XDG_STATE_HOME/tunefare/ledger.db`."""
    if settings.ledger_url:
        return settings.ledger_url
    variables = os.environ if environment is None else environment
    stated = variables.get("XDG_STATE_HOME", "")
    # The XDG specification says that a relative path is to be ignored.
    base = Path(stated) if stated and Path(stated).is_absolute() else Path.home() / ".local" / "state"
    return str(base / "tunefare" / FILE_NAME)


@contextmanager
def opened_ledger(
    settings: Settings, *, ledger_id: str | None = None, create: bool = False, given: Ledger | None = None
) -> Iterator[Ledger]:
    """Yield `given` (left open), or the ledger in force, closed at the end.

    Raises LedgerMissing (exit 10) where there is none and for another id than `ledger_id`, StoreBusy and LedgerUnusable
    (exit 10) for one out of reach.
    """
    if given is not None:
        yield given
        return
    from optimizer.approval.ledger import open_ledger

    with open_ledger(ledger_url(settings), create=create, ledger_id=ledger_id) as ledger:
        yield ledger


def this_user() -> Principal:
    """Return who runs this process, as the system knows them: no variable of the environment is asked."""
    if os.name == "nt":
        return os_user_principal(name=os.getlogin(), uid=0, host=socket.gethostname())
    import pwd

    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:  # a container may run under a number that has no name
        name = f"uid-{uid}"
    return os_user_principal(name=name, uid=uid, host=socket.gethostname())
