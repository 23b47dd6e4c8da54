"""What the public function `study` returns: the typed answer, and the forms that people ask it for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from optimizer.report.json_study import study_document, study_text
from optimizer.report.style import Style
from optimizer.report.text_study import format_study

if TYPE_CHECKING:
    from optimizer.report.json_text import JsonObject
    from optimizer.search.scenario_results import Outcome, Study


@dataclass(frozen=True, slots=True)
class StudyResult:
    """How a plan fares over many scenarios. `study` holds everything; shows itself as text when printed."""

    study: Study

    @property
    def feasible(self) -> bool:
        """Whether the job has a plan to study."""
        return self.study.feasible

    @property
    def base(self) -> Outcome | None:
        """How the choice of the plan fares; None if nothing fits."""
        return self.study.base

    @property
    def alternatives(self) -> tuple[Outcome, ...]:
        """What else was the cheapest in some scenario, what won most often first."""
        return self.study.alternatives

    def to_dict(self) -> JsonObject:
        """Return the document `tunefare.study/v1` (docs/json.md)."""
        return study_document(self.study)

    def to_json(self) -> str:
        """Return the same document as the text that `tunefare study --json` prints."""
        return study_text(self.study)

    def __str__(self) -> str:
        return format_study(self.study, Style(width=100))
