"""What the public function `portfolio` returns: the typed answer, and the forms that people ask it for."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING

from optimizer.report.csv_portfolio import portfolio_csv
from optimizer.report.json_portfolio import portfolio_document, portfolio_text
from optimizer.report.style import Style
from optimizer.report.text_portfolio import format_portfolio

if TYPE_CHECKING:
    import pandas as pd

    from optimizer.report.json_text import JsonObject
    from optimizer.search.portfolio.results import PlacedJob, Portfolio, UnplacedJob

MICRO = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class PortfolioResult:
    """Many jobs placed. Shows itself as a table when printed; `answer` holds everything."""

    answer: Portfolio

    @property
    def complete(self) -> bool:
        """Whether every job is placed."""
        return not self.answer.unplaced

    @property
    def placed(self) -> dict[str, PlacedJob]:
        """The jobs that are placed, by name."""
        return {one.job.name: one for one in self.answer.placed}

    @property
    def unplaced(self) -> dict[str, UnplacedJob]:
        """The jobs that are not, by name, each with its reason."""
        return {one.job.name: one for one in self.answer.unplaced}

    @property
    def cost_usd(self) -> Decimal:
        """Expected dollars of all jobs that are placed, exact."""
        return self.answer.total.expected_usd_micro / MICRO

    def to_dict(self) -> JsonObject:
        """Return the document `tunefare.portfolio/v1` (docs/portfolio.md)."""
        return portfolio_document(self.answer)

    def to_json(self) -> str:
        """Return the same document as the text that `tunefare portfolio --json` prints."""
        return portfolio_text(self.answer)

    def to_csv(self) -> str:
        """Return a row for every candidate of a job, as text."""
        return portfolio_csv(self.answer)

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows of `to_csv` as a frame. Raises ImportError where pandas is missing."""
        import io

        import pandas as pd

        return pd.read_csv(io.StringIO(self.to_csv()))

    def __str__(self) -> str:
        return format_portfolio(self.answer, Style(width=120))

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"
