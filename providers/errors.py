"""The root of the error tree. Every expected error prints one line and ends with a documented exit code."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import ClassVar

LONGEST_SHOWN = 240
"""Characters of a wrong value that a message repeats: a long path fits, a pasted file does not."""


LONGEST_SAMPLE = 2000
"""Characters of an answer that was not understood, kept for whoever mends the parser."""


class TunefareError(Exception):
    """An expected failure: one line with cause and next step, no traceback.

    `exit_code` is the process exit code that the command line returns for it (README, exit codes).
    """

    exit_code: ClassVar[int] = 1


class JobError(TunefareError):
    """Input that a person wrote is wrong: says where it stands, what it holds and what is allowed."""

    exit_code: ClassVar[int] = 2

    def __init__(self, *, where: str, key: str, value: object, allowed: str) -> None:
        """`where` is a file name or "command line"; `key` the flag or key; `allowed` what would be accepted."""
        self.where = where
        self.key = key
        self.value = value
        self.allowed = allowed
        shown = _plain(value)
        if len(shown) > LONGEST_SHOWN:
            shown = shown[: LONGEST_SHOWN - 3] + "..."
        super().__init__(f"{where}: {key} = {shown}: {allowed}")


def one_line(text: str) -> str:
    """Return `text` in one line, without what would steer a terminal: it may come from outside."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _plain(value: object) -> str:
    """Return a value as a person would write it: text in quotes, numbers and dates bare, lists in brackets."""
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}" if value.is_finite() and abs(value.adjusted()) <= LONGEST_SHOWN else str(value)
    if isinstance(value, date):  # datetimes too
        return value.isoformat()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_plain, value))}]"
    return repr(value)


class OutputFailed(TunefareError):
    """The answer is there, and what it should be written to does not take it: a full disk, a closed file."""

    exit_code: ClassVar[int] = 2


class KnowledgeMissing(TunefareError):
    """A GPU, model or throughput that the tables do not know."""

    exit_code: ClassVar[int] = 2


class PricesUnavailable(TunefareError):
    """No price data answers the question."""

    exit_code: ClassVar[int] = 9


class ProviderError(TunefareError):
    """A price source could not be used."""

    exit_code: ClassVar[int] = 9


class CredentialsMissing(ProviderError):
    """The source needs credentials that are not there: skipped in a refresh, and listed."""


class ProviderUnavailable(ProviderError):
    """The source did not answer within the bounded retries."""


class CredentialsRefused(ProviderError):
    """The source does not accept the credentials, or they do not permit what was asked: never retried."""


class ResponseChanged(ProviderError):
    """The source answered in a shape that the parser does not know: never retried, a raw sample is kept."""

    def __init__(self, message: str, *, sample: str = "") -> None:
        """`sample` is the beginning of what the source said; whoever stores it takes out secrets first."""
        super().__init__(message)
        self.sample = sample[:LONGEST_SAMPLE]


class Interrupted(TunefareError):
    """The user wants to stop: raised between two requests, so that nothing half done is kept."""

    exit_code: ClassVar[int] = 130


class SolverFailed(TunefareError):
    """The solver ended without an answer that survives the re-check: a bug, or numbers out of range."""

    exit_code: ClassVar[int] = 1


class ApprovalError(TunefareError):
    """A plan or an approval is invalid."""

    exit_code: ClassVar[int] = 8
