"""The SVG file: well-formed, self-contained, safe with any name, and true to the history."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest

from optimizer.report.record_answers import PricePoint
from optimizer.report.svg_steps import svg_history
from tests.golden.records import DAY, GONE, HISTORY, MOVING, NOW, point

SVG = "{http://www.w3.org/2000/svg}"


def tree(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - our own file


def words(text: str) -> list[str]:
    return ["".join(one.itertext()) for one in tree(text).iter(f"{SVG}text")]


def test_axes_have_prices_dates_and_names() -> None:
    found = words(svg_history(HISTORY))
    assert "Price history, as of 2031-05-06 07:08 UTC" in found
    assert {"$15.00", "$20.00", "$25.00", "$30.00"} <= set(found)
    assert "USD per instance-hour" in found
    assert "EUR per instance-hour" in found
    assert "date (UTC)" in found
    assert any(re.fullmatch(r"2031-0\d-\d\d", one) for one in found)
    assert "1,200 more offers are not shown" in found
    assert "<cirrus> & co/venus/gamma/on_demand/-/host-7" in found


def test_it_is_alone_and_for_light_and_dark() -> None:
    text = svg_history(HISTORY)
    assert "prefers-color-scheme:dark" in text
    assert re.findall(r"(?:href|src|url\(|@import|<script|<foreignObject)", text) == []
    assert re.findall(r"https?://\S+?\"", text) == ['http://www.w3.org/2000/svg"']
    root = tree(text)
    assert (root.get("role"), root.find(f"{SVG}title") is not None) == ("img", True)


HOSTILE = "</text><script>alert(1)</script>\x00\x1b\ud800\ufffe]]>&\"'" + "x" * 300


def test_any_name_is_text() -> None:
    hostile = replace(MOVING, provider=HOSTILE, gpu_name=HOSTILE, gpu=None, currency='"><x>')
    text = svg_history(replace(HISTORY, series=(hostile,)))
    assert "<script" not in text
    text.encode("utf-8")
    assert not list(tree(text).iter(f"{SVG}script"))


def path_of(*points: PricePoint, last_seen_days: float = 0.0) -> str:
    series = replace(MOVING, points=points, last_seen_at=NOW - last_seen_days * DAY)
    text = svg_history(replace(HISTORY, series=(series,), matching=1))
    return next(one.get("d", "") for one in tree(text).iter(f"{SVG}path"))


def test_a_line_holds_until_it_changes() -> None:
    path = path_of(point(10, 1.0), point(5, 2.0))
    assert re.fullmatch(r"M104\.0 \d+\.\dH460\.0V\d+\.\dH816\.0", path)


def test_a_gap_stands_for_what_is_gone() -> None:
    path = path_of(point(10, 1.0), point(5, None), point(2.5, 1.0))
    assert re.fullmatch(r"M104\.0 (\d+\.\d)H460\.0M638\.0 \1H816\.0", path)
    assert path_of(point(10, 1.0), point(5, None)) == path[: path.index("M638")]


def test_a_line_ends_where_nobody_looked_any_more() -> None:
    assert path_of(point(10, 1.0), last_seen_days=5).endswith("H460.0")


def test_equal_histories_are_equal_bytes() -> None:
    assert svg_history(HISTORY) == svg_history(replace(HISTORY, series=tuple(HISTORY.series)))
    assert all(len(number) <= 6 for number in re.findall(r"\.(\d+)", svg_history(HISTORY)))


@pytest.mark.parametrize("span", [timedelta(0), timedelta(minutes=1), timedelta(days=4_000)])
def test_any_span_is_drawn(span: timedelta) -> None:
    series = replace(GONE, points=(PricePoint(at=NOW - span, price_nano=1),), last_seen_at=NOW)
    tree(svg_history(replace(HISTORY, series=(series,))))
