"""Who watches a refresh cannot harm it, and is told nothing once it is over."""

from __future__ import annotations

import pytest

from optimizer.app.watching import Watchers


class Heard:
    def __init__(self, error: Exception | None = None) -> None:
        self.lines: list[str] = []
        self.error = error

    def _hear(self, line: str) -> None:
        if self.error:
            raise self.error
        self.lines.append(line)

    def started(self, provider: str, parts: int) -> None:
        self._hear(f"{provider} {parts}")

    def progress(self, provider: str, line: str) -> None:
        self._hear(line)

    def part_done(self, provider: str, part: str, error: str) -> None:
        self._hear(f"{part} {error}")

    def finished(self, provider: str, error: str) -> None:
        self._hear(f"finished {error}")


def tell(team: Watchers) -> None:
    team.started("nimbus", 2)
    team.progress("nimbus", "page 3")
    team.part_done("nimbus", "north", "down")
    team.finished("nimbus", "down")


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("I/O operation on closed file")])
def test_one_that_fails_harms_no_other(error: Exception) -> None:
    heard = Heard()
    tell(Watchers(Heard(error), heard))
    assert heard.lines == ["nimbus 2", "page 3", "north down", "finished down"]


def test_nobody_is_told_what_happens_after_the_end() -> None:
    heard = Heard()
    team = Watchers(heard)
    team.close()
    tell(team)
    assert heard.lines == []
