"""Axes, labels and the charts of frontier and sensitivity: well-formed, self-contained, safe with any name."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from optimizer.report.chart_axis import Axis, axis_around, money_label, money_ticks, span_ticks
from optimizer.report.chart_labels import Boxes, LabelBox
from optimizer.report.svg_frontier import svg_frontier
from optimizer.report.svg_sensitivity import svg_sensitivity
from tests.golden.what_if import invented_frontier, invented_sensitivity

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</text><script>alert(1)</script>\x00\x1b\ud800]]>&\"'" + "x" * 300


def words(text):
    root = ET.fromstring(text)  # noqa: S314 - our own file
    return ["".join(one.itertext()) for one in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("ends", [(1.0, 1.0), (0.0, 0.0), (0.0, 9.9e7), (1.0, 1e13), (5e5, 6e5), (3e6, 2.9e7), (7, 8)])
def test_ticks_lie_on_the_axis_and_are_few(ends):
    axis = axis_around([*map(float, ends)], start=0.0, end=100.0)
    assert axis.low < axis.high
    for ticks in (money_ticks(axis), span_ticks(axis)):
        assert len(ticks) <= 9
        assert ticks == sorted(set(ticks))
        assert all(axis.low <= tick <= axis.high * (1 + 1e-9) for tick in ticks)
        places = [axis.place(tick) for tick in ticks]
        assert places == sorted(places)


def test_an_axis_is_logarithmic_where_its_ends_are_far_apart():
    assert axis_around([1.0, 100.0], start=0, end=1).log
    assert not axis_around([50.0, 100.0], start=0, end=1).log
    log = Axis(low=1.0, high=100.0, start=0.0, end=10.0, log=True)
    assert log.place(10.0) == pytest.approx(5.0)
    assert (log.place(0.0), log.place(1e9)) == (0.0, 10.0)


def test_amounts_on_an_axis_are_short():
    assert [money_label(one * 1e6) for one in (0, 0.05, 0.5, 1, 1.5, 20, 1500, 2e6)] == [
        "$0", "$0.05", "$0.50", "$1", "$1.50", "$20", "$1,500", "$2M",
    ]  # fmt: skip


def test_labels_cover_nothing_and_stay_inside():
    boxes = Boxes(left=0.0, right=200.0, top=0.0, bottom=100.0)
    placed = [boxes.place(100.0, 50.0, "label") for _ in range(9)]
    assert sum(one is not None for one in placed) == 4  # four corners of the point
    for at, one in enumerate(boxes.taken):
        assert not any(one.meets(other) for other in boxes.taken[at + 1 :])
    assert boxes.place(100.0, 50.0, "far too long a label for a chart that is this small") is None
    assert LabelBox(0, 0, 2, 2).meets(LabelBox(1, 1, 3, 3))


def test_a_frontier_has_axes_series_the_choice_and_its_limits():
    text = svg_frontier(invented_frontier())
    found = words(text)
    assert {"deadline", "budget (against the high end of a cost)", "medium", "med-high"} <= set(found)
    assert any(one.startswith("the choice: 2×ZETA-9-64GB") for one in found)
    assert "hollow: breaks a limit of the job" in found
    assert text.count("<circle") >= len(invented_frontier().points)
    assert 'class="ring"' in text
    free = replace(invented_frontier(), job=replace(invented_frontier().job, deadline_at=None, budget_usd=None))
    assert "deadline" not in words(svg_frontier(free))


def test_a_tornado_has_a_bar_for_each_end_that_moves_the_cost():
    answer = invented_sensitivity()
    text = svg_sensitivity(answer)
    found = words(text)
    assert {"sequence length", "throughput", "no effect on the cost"} <= set(found)
    assert "1,024 tokens (does not fit, over budget)" in found
    assert 'class="dearer broken"' in text


@pytest.mark.parametrize("draw", ["frontier", "sensitivity"])
def test_charts_are_alone_for_light_and_dark_and_any_name_is_text(draw):
    if draw == "frontier":
        answer = invented_frontier()
        named = [
            replace(
                one,
                candidate=replace(
                    one.candidate,
                    offer=replace(one.candidate.offer, provider=HOSTILE, region=HOSTILE),
                    gpu=replace(one.candidate.gpu, id=HOSTILE),
                ),
            )
            for one in answer.points
        ]
        job = replace(answer.job, model=replace(answer.job.model, name=HOSTILE))
        text = svg_frontier(replace(answer, points=tuple(named), job=job))
    else:
        answer = invented_sensitivity()
        choice = replace(answer.choice, offer=replace(answer.choice.offer, provider=HOSTILE))
        text = svg_sensitivity(replace(answer, choice=choice))
    assert "<script" not in text
    text.encode("utf-8")
    root = ET.fromstring(text)  # noqa: S314 - our own file
    assert not list(root.iter(f"{SVG}script"))
    assert "prefers-color-scheme:dark" in text
    assert re.findall(r"(?:href|src|url\(|@import|<foreignObject)", text) == []
    assert (root.get("role"), root.find(f"{SVG}title") is not None) == ("img", True)
