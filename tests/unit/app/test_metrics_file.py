"""The metrics file, read back as Prometheus reads it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from optimizer.app.metrics_file import METRICS, SourceFigures, format_metrics, write_metrics
from providers.errors import JobError

if TYPE_CHECKING:
    from pathlib import Path

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?\d+(?:\.\d+)?)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')


def parse_exposition(text: str) -> Samples:
    """Return the samples of the text exposition format, version 0.0.4, by name and labels.

    Raises AssertionError for what `promtool check metrics` would refuse: a sample before its HELP and TYPE, a metric
    whose samples do not stand together, one sample twice, a bad name or label, no newline at the end.
    """
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    samples: Samples = {}
    helped: set[str] = set()
    typed: set[str] = set()
    current = ""
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            current, words = line.removeprefix("# HELP ").split(" ", 1)
            assert words
            assert current not in helped, f"{current} stands in two places"
            helped.add(current)
        elif line.startswith("# TYPE "):
            name, kind = line.removeprefix("# TYPE ").split(" ")
            assert (name, kind) == (current, "gauge")
            typed.add(name)
        else:
            found = _SAMPLE.fullmatch(line)
            assert found, line
            name, labels, value = found.groups()
            assert name == current
            assert name in typed
            key = _labels(labels or "")
            assert key not in samples.setdefault(name, {}), line
            samples[name][key] = float(value)
    assert set(samples) == helped == typed
    return samples


def _labels(text: str) -> tuple[tuple[str, str], ...]:
    if not text:
        return ()
    found = list(_LABEL.finditer(text))
    assert ",".join(one[0] for one in found) == text
    unescaped = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
    return tuple((one[1], re.sub(r"\\.", lambda escape: unescaped[escape[0]], one[2])) for one in found)


def figures(provider: str = "nimbus", **changes: object) -> SourceFigures:
    values: dict[str, object] = {
        "provider": provider, "up": True, "attempt_at": 1_795_489_200, "success_at": 1_795_402_800,
        "duration_ms": 12_034, "offers": 1234, "quarantined": 7,
    }  # fmt: skip
    return SourceFigures(**{**values, **changes})  # type: ignore[arg-type]


def test_every_figure_of_every_source() -> None:
    text = format_metrics([figures(), figures("cirrus", up=False, offers=0, duration_ms=7)], exit_code=9)
    found = parse_exposition(text)
    assert found["tunefare_prices_refresh_exit_code"] == {(): 9}
    nimbus, cirrus = (("provider", "nimbus"),), (("provider", "cirrus"),)
    assert {name: values[nimbus] for name, values in found.items() if nimbus in values} == {
        "tunefare_prices_last_success_timestamp_seconds": 1_795_402_800,
        "tunefare_prices_last_attempt_timestamp_seconds": 1_795_489_200,
        "tunefare_prices_refresh_duration_seconds": 12.034,
        "tunefare_prices_offers": 1234,
        "tunefare_prices_quarantined": 7,
        "tunefare_prices_up": 1,
    }
    assert found["tunefare_prices_up"][cirrus] == 0
    assert found["tunefare_prices_refresh_duration_seconds"][cirrus] == 0.007


def test_a_source_that_never_succeeded_has_no_moment_of_success() -> None:
    found = parse_exposition(format_metrics([figures(success_at=None), figures("cirrus")], exit_code=0))
    assert list(found["tunefare_prices_last_success_timestamp_seconds"]) == [(("provider", "cirrus"),)]
    # No HELP without a sample.
    alone = format_metrics([figures(success_at=None)], exit_code=0)
    assert "last_success" not in alone
    assert len(parse_exposition(alone)) == len(METRICS)


def test_without_a_source_the_exit_code_is_left() -> None:
    assert parse_exposition(format_metrics([], exit_code=10)) == {"tunefare_prices_refresh_exit_code": {(): 10.0}}


def test_labels_are_escaped() -> None:
    name = 'a "quoted"\\name\nover lines'
    found = parse_exposition(format_metrics([figures(name)], exit_code=0))
    assert list(found["tunefare_prices_up"]) == [(("provider", name),)]


def test_the_file_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "tunefare.prom"
    target.write_text("old")
    write_metrics(target, [figures()], exit_code=0)
    assert parse_exposition(target.read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["tunefare.prom"]
    assert target.stat().st_mode & 0o444 == 0o444
    with pytest.raises(JobError, match="metrics_textfile"):
        write_metrics(tmp_path / "no" / "where", [figures()], exit_code=0)
