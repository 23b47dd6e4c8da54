"""What the public functions return: the typed answer, and the forms that people ask it for."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from optimizer.report.json_estimate import estimate_document, estimate_text
from optimizer.report.json_plan import plan_document, plan_text
from optimizer.report.style import Style
from optimizer.report.text_estimate import format_estimate
from optimizer.report.text_plan import format_plan

from .frames import estimate_frame, estimate_row, plan_rows, to_frame

if TYPE_CHECKING:
    import pandas as pd

    from optimizer.report.answers import EstimateAnswer
    from optimizer.report.json_text import JsonObject
    from optimizer.search.results import Candidate, NearMiss, Plan, Quote
    from providers.basis import Estimate

    from .frames import Row

Figure = TypeVar("Figure", Decimal, float)


class Range(NamedTuple, Generic[Figure]):
    """10 % quantile, median, 90 % quantile."""

    low: Figure
    expected: Figure
    high: Figure


@dataclass(frozen=True, slots=True)
class PlanResult:
    """The answer to a job. `plan` holds everything; the properties are what one asks first.

    Shows itself as a table in a notebook and as text when printed.
    """

    plan: Plan

    @property
    def status(self) -> str:
        """optimal | infeasible | time_limit."""
        return self.plan.status.value

    @property
    def feasible(self) -> bool:
        """Whether there is a choice."""
        return bool(self.plan.choices)

    @property
    def choice(self) -> Candidate | None:
        """What to rent and how to train; None if nothing fits. A sweep over several places has them in `choices`."""
        return self.plan.choices[0] if self.plan.choices else None

    @property
    def choices(self) -> tuple[Candidate, ...]:
        """Every place used; more than one only in a sweep."""
        return self.plan.choices

    @property
    def runners_up(self) -> tuple[Candidate, ...]:
        """The next best."""
        return self.plan.runners_up

    @property
    def near_misses(self) -> tuple[NearMiss, ...]:
        """If nothing fits: for each limit the cheapest that breaks only this one."""
        return self.plan.near_misses

    @property
    def cost_usd(self) -> Range[Decimal] | None:
        """Dollars for all runs, exact; None if nothing fits."""
        if not self.plan.choices:
            return None
        weighted = [(candidate.quote, candidate.runs) for candidate in self.plan.choices]
        return Range(
            low=Decimal(sum(quote.low_usd_micro * runs for quote, runs in weighted)) / 1_000_000,
            expected=Decimal(sum(quote.expected_usd_micro * runs for quote, runs in weighted)) / 1_000_000,
            high=Decimal(sum(quote.high_usd_micro * runs for quote, runs in weighted)) / 1_000_000,
        )

    @property
    def hours(self) -> Range[float] | None:
        """Hours until the slowest run ends; None if nothing fits."""
        if not self.plan.choices:
            return None
        return _hours(max((one.duration_s for one in self.plan.choices), key=lambda span: span.expected))

    def to_dict(self) -> JsonObject:
        """Return the document `tunefare.plan/v1` (docs/json.md)."""
        return plan_document(self.plan)

    def to_json(self) -> str:
        """Return the same document as the text that `tunefare plan --json` prints."""
        return plan_text(self.plan)

    def to_pandas(self) -> pd.DataFrame:
        """Return choices, runners-up and near misses as a frame. Raises ImportError where pandas is missing."""
        return to_frame(self.plan)

    def __str__(self) -> str:
        return format_plan(self.plan, Style(width=100))

    def _repr_html_(self) -> str:
        hidden = {"limit"} if self.feasible else set()
        rows = [{key: value for key, value in row.items() if key not in hidden} for row in plan_rows(self.plan)]
        return _html_table(f"{self.plan.job.name}: {self.status}", rows)


@dataclass(frozen=True, slots=True)
class EstimateResult:
    """One recipe on one machine. `answer` holds everything; the properties are what one asks first."""

    answer: EstimateAnswer

    @property
    def fits(self) -> bool:
        """Whether the high end of what is needed fits in usable memory."""
        return self.answer.fits

    @property
    def cost_usd(self) -> Range[Decimal] | None:
        """Dollars, exact; None where no price is known."""
        return None if self.answer.quote is None else _dollars(self.answer.quote)

    @property
    def hours(self) -> Range[float]:
        """Hours from the start of the bill to the end of the run."""
        return _hours(self.answer.duration_s)

    @property
    def memory_gib(self) -> Range[float]:
        """GiB that one GPU needs, in training or in loading, whichever is more."""
        needed = self.answer.memory.needed
        return Range(low=needed.low / 2**30, expected=needed.expected / 2**30, high=needed.high / 2**30)

    @property
    def tokens_per_s(self) -> Range[float]:
        """Real tokens per second of the whole job."""
        speed = self.answer.speed.tokens_per_s
        return Range(low=speed.low, expected=speed.expected, high=speed.high)

    def to_dict(self) -> JsonObject:
        """Return the document `tunefare.estimate/v1` (docs/json.md)."""
        return estimate_document(self.answer)

    def to_json(self) -> str:
        """Return the same document as the text that `tunefare estimate --json` prints."""
        return estimate_text(self.answer)

    def to_pandas(self) -> pd.DataFrame:
        """Return a frame of one row. Raises ImportError where pandas is missing."""
        return estimate_frame(self.answer)

    def __str__(self) -> str:
        return format_estimate(self.answer, Style(width=100))

    def _repr_html_(self) -> str:
        return _html_table(f"{self.answer.job.name} on {self.answer.gpu.id}", [estimate_row(self.answer)])


def _dollars(quote: Quote) -> Range[Decimal]:
    return Range(
        low=Decimal(quote.low_usd_micro) / 1_000_000,
        expected=Decimal(quote.expected_usd_micro) / 1_000_000,
        high=Decimal(quote.high_usd_micro) / 1_000_000,
    )


def _hours(duration_s: Estimate) -> Range[float]:
    return Range(low=duration_s.low / 3600, expected=duration_s.expected / 3600, high=duration_s.high / 3600)


def _html_table(caption: str, rows: list[Row]) -> str:
    """Return an HTML table; every value is escaped, because names come from price lists and job files."""
    head = "".join(f"<th>{escape(key.replace('_', ' '))}</th>" for key in (rows[0] if rows else ()))
    body = "".join(f"<tr>{''.join(f'<td>{escape(_shown(value))}</td>' for value in row.values())}</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:.2f}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
