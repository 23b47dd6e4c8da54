"""The help pages, word for word: every flag of the command line is a promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from optimizer.cli.main import COMMANDS, main

if TYPE_CHECKING:
    from collections.abc import Callable

PAGES = [
    [],
    *([name] for name in COMMANDS),
    *(["prices", name] for name in ("list", "history", "export", "import", "quarantine")),
    *(["budget", name] for name in ("list", "show", "set")),
    *(["ledger", name] for name in ("list", "export")),
    *(["audit", name] for name in ("verify", "anchor")),
    *(["prices", "quarantine", name] for name in ("list", "release", "reject")),
]


@pytest.mark.parametrize("words", PAGES, ids=lambda words: "-".join(words) or "root")
def test_help_is_as_written_down(
    words: list[str], golden: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--help"]) == 0
    page = capsys.readouterr().out
    assert max(len(line) for line in page.splitlines()) <= 80
    golden(f"help-{'-'.join(words) or 'root'}.txt", page)
