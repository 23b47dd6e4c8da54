"""The root of the error tree. Every expected error prints one line and ends with a documented exit code."""

from __future__ import annotations

from typing import ClassVar

LONGEST_SHOWN = 240
"""Characters of a wrong value that a message repeats: a long path fits, a pasted file does not."""


class TunefareError(Exception):
    """An expected failure: one line with cause and next step, no traceback.

    `exit_code` is the process exit code that the command line returns for it (house.md, section 8).
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
        shown = repr(value) if len(repr(value)) <= LONGEST_SHOWN else repr(value)[: LONGEST_SHOWN - 3] + "..."
        super().__init__(f"{where}: {key} = {shown}: {allowed}")


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


class ResponseChanged(ProviderError):
    """The source answered in a shape that the parser does not know: never retried, a raw sample is kept."""


class SolverFailed(TunefareError):
    """The solver ended without an answer that survives the re-check: a bug, or numbers out of range."""

    exit_code: ClassVar[int] = 1


class ApprovalError(TunefareError):
    """A plan or an approval is invalid."""

    exit_code: ClassVar[int] = 8
