"""What the public function `price_history` returns: the typed answer, and the forms that people ask it for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optimizer.report.json_history import history_document, history_text
from optimizer.report.style import Style
from optimizer.report.svg_steps import svg_history
from optimizer.report.text_history import format_history

from .frames import history_frame

if TYPE_CHECKING:
    import pandas as pd

    from optimizer.report.json_text import JsonObject
    from optimizer.report.record_answers import PriceHistoryAnswer, PriceSeries


@dataclass(frozen=True, slots=True)
class PriceHistoryResult:
    """Histories of prices. Shows itself as step charts in a notebook and as text when printed."""

    answer: PriceHistoryAnswer

    @property
    def series(self) -> tuple[PriceSeries, ...]:
        """The offers, those that changed last first, each with every change of its price."""
        return self.answer.series

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a change. Raises ImportError naming the extra to install."""
        return history_frame(self.answer)

    def to_dict(self) -> JsonObject:
        """Return the document that `tunefare prices history --json` prints."""
        return history_document(self.answer)

    def to_json(self) -> str:
        """Return that document as text."""
        return history_text(self.answer)

    def to_svg(self) -> str:
        """Return the step charts as the text of an SVG file."""
        return svg_history(self.answer)

    def _repr_html_(self) -> str:
        return self.to_svg()

    def __str__(self) -> str:
        return format_history(self.answer, Style())
