"""Traces: three shapes are read, and every defect is one line that names it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from optimizer.app import trace_csv, trace_file
from optimizer.app.trace_file import read_trace
from providers.errors import JobError
from tests.fixtures.spot_world import trace_document

if TYPE_CHECKING:
    from pathlib import Path


def written(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_windows_with_prices_are_read(tmp_path: Path) -> None:
    found = read_trace(written(tmp_path / "t.json", trace_document([1, 0, 1], prices=[0.5, 0.25, 1])))
    (window,) = found.trace.windows
    assert (found.trace.zone, found.trace.instance, found.notes) == ("mars-1a", "zeta.2x", ())
    assert window.available.tolist() == [True, False, True]
    assert window.spot_micro_per_h is not None
    assert window.spot_micro_per_h.tolist() == [500_000, 250_000, 1_000_000]
    assert (window.step_s, window.span_s) == (600.0, 1800.0)


def test_a_window_that_repeats_another_is_left_out_and_told(tmp_path: Path) -> None:
    document: dict[str, Any] = trace_document([1, 0, 1])
    document["windows"] *= 2
    found = read_trace(written(tmp_path / "t.json", document))
    assert len(found.trace.windows) == 1
    assert "1 of 2 windows repeats another" in found.notes[0]


def test_one_series_needs_to_be_told_what_1_means(tmp_path: Path) -> None:
    file = written(tmp_path / "s.json", {"metadata": {"gap_seconds": 300}, "data": [1, 0, 0]})
    with pytest.raises(JobError, match="--ones available or --ones lost"):
        read_trace(file)
    assert read_trace(file, ones="lost").trace.windows[0].available.tolist() == [False, True, True]
    assert read_trace(file, ones="available").trace.windows[0].available.tolist() == [True, False, False]
    with pytest.raises(JobError, match="ones"):
        read_trace(file, ones="maybe")


def test_csv_is_read_with_and_without_prices(tmp_path: Path) -> None:
    text = (
        "time,available,spot_usd_per_hour\n2031-05-01T00:00:00Z,1,0.5\n2031-05-01T00:10:00,0,0.6\n1935360001200,1,1\n"
    )
    lines = text.replace("1935360001200", "2031-05-01T02:20:00+02:00")
    (window,) = read_trace(written(tmp_path / "mars.csv", lines)).trace.windows
    assert window.available.tolist() == [True, False, True]
    assert window.spot_micro_per_h is not None
    assert window.spot_micro_per_h.tolist() == [500_000, 600_000, 1_000_000]
    seconds = read_trace(written(tmp_path / "s.csv", "time,available\n0,1\n60,0\n120,1\n")).trace
    assert (seconds.zone, seconds.windows[0].step_s, seconds.windows[0].spot_micro_per_h) == ("s", 60.0, None)


def test_missing_samples_split_a_csv_trace_and_are_told(tmp_path: Path) -> None:
    rows = "\n".join(f"{at * 60},{at % 2}" for at in (0, 1, 2, 5, 6))
    found = read_trace(written(tmp_path / "gap.csv", f"time,available\n{rows}\n"))
    assert [one.available.shape[0] for one in found.trace.windows] == [3, 2]
    assert "2 samples are missing; the trace is split there into 2 windows" in found.notes[0]


def with_window(**changes: object) -> dict[str, Any]:
    document: dict[str, Any] = trace_document([1, 0, 1])
    document["windows"][0].update(changes)
    return document


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("", "file"),
        ("[1]", "document"),
        ("{", "file"),
        ('{"windows": [], "windows": []}', "file"),
        ('{"windows": NaN}', "file"),
        ("[" * 100_000, "file"),
        ({"zone": "a"}, "document"),
        ({"windows": []}, "windows"),
        ({"windows": [3]}, "windows[0]"),
        (with_window(available=[]), "windows[0].available"),
        (with_window(available="111"), "windows[0].available"),
        (with_window(available=[1, 2, 1]), "windows[0].available[1]"),
        (with_window(available=[1, 0.0, 1]), "windows[0].available[1]"),
        (with_window(available=[1, None, 1]), "windows[0].available[1]"),
        (with_window(gap_seconds=0), "windows[0].gap_seconds"),
        (with_window(gap_seconds="600"), "windows[0].gap_seconds"),
        (with_window(start_time="yesterday"), "windows[0].start_time"),
        (with_window(start_time=3), "windows[0].start_time"),
        (with_window(start_time="0001-01-01T00:00:00+23:00"), "windows[0].start_time"),
        (with_window(start_time="9999-12-31T23:59:59-23:00"), "windows[0].start_time"),
        (with_window(gap_seconds=10**400), "windows[0].gap_seconds"),
        (with_window(spot_usd_per_hour=[1, 10**400, 1]), "windows[0].spot_usd_per_hour[1]"),
        (with_window(spot_usd_per_hour=[1.0, 1.0]), "windows[0].spot_usd_per_hour"),
        (with_window(spot_usd_per_hour=[1.0, 0.0, 1.0]), "windows[0].spot_usd_per_hour[1]"),
        (with_window(spot_usd_per_hour=[1.0, -1, 1.0]), "windows[0].spot_usd_per_hour[1]"),
        (with_window(spot_usd_per_hour=[1.0, "1", 1.0]), "windows[0].spot_usd_per_hour[1]"),
        ({**trace_document([1]), "zone": "a\x1b[2J"}, "zone"),
        ("time,up\n0,1\n", "header"),
        ("time,available\n0,1\n", "lines"),
        ("time,available\n0,1\n60,0.5\n", "line 3.available"),
        ("time,available\n0,1\n60,1,1\n", "line 3.columns"),
        ("time,available\n0,1\n60,1\n60,1\n", "line 4.time"),
        ("time,available\n0,1\n60,1\n20,1\n", "line 4.time"),
        ("time,available\n0,1\n60,1\n120,1\n210,1\n", "line 5.time"),
        ("time,available\n0,1\n1000,1\n2000,1\n2001,1\n3000,1\n4000,1\n", "line 5.time"),
        ("time,available\n0,1\nsoon,1\n", "line 3.time"),
        ("time,available\n0,1\nnan,1\n", "line 3.time"),
        ("time,available\n0,1\n1e300,1\n", "line 3.time"),
        ("time,available,spot_usd_per_hour\n0,1,nan\n60,1,1\n", "line 2.spot_usd_per_hour"),
        ("time,available,spot_usd_per_hour\n0,1,-1\n60,1,1\n", "line 2.spot_usd_per_hour"),
    ],
)  # fmt: skip
def test_every_defect_is_one_line_that_names_it(content: object, key: str, tmp_path: Path) -> None:
    file = written(tmp_path / "t.json", content)
    with pytest.raises(JobError) as caught:
        read_trace(file)
    assert (caught.value.where, caught.value.key) == (str(file), key)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_file_that_is_not_there_or_too_large_or_no_text_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(JobError, match="No such file"):
        read_trace(tmp_path / "missing.json")
    with pytest.raises(JobError, match="directory"):
        read_trace(tmp_path)
    (tmp_path / "latin.csv").write_bytes(b"time,available\xff\n")
    with pytest.raises(JobError, match="UTF-8"):
        read_trace(tmp_path / "latin.csv")
    monkeypatch.setattr(trace_file, "LARGEST_BYTES", 10)
    with pytest.raises(JobError, match="at most"):
        read_trace(written(tmp_path / "t.json", trace_document([1])))


def test_a_csv_trace_of_gaps_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_csv, "MOST_WINDOWS", 3)
    rows = "\n".join(f"{at},1" for at in (0, 60, 120, 180, 300, 420, 540))
    with pytest.raises(JobError, match="windows = 4: at most 3 windows"):
        read_trace(written(tmp_path / "gaps.csv", f"time,available\n{rows}\n"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_read_where_it_has_a_writer_and_empty_where_not(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(JobError, match="the file is empty"):
        read_trace(pipe)
    reader, writer = os.pipe()
    os.write(writer, b"time,available\n0,1\n60,0\n")
    os.close(writer)
    try:
        assert read_trace(f"/dev/fd/{reader}").trace.windows[0].available.tolist() == [True, False]
    finally:
        os.close(reader)


def test_reading_random_samples_gives_them_back(tmp_path: Path) -> None:
    flags = np.random.default_rng(1).integers(0, 2, 500).tolist()
    found = read_trace(written(tmp_path / "t.json", trace_document(flags)))
    assert found.trace.windows[0].available.astype(int).tolist() == flags
