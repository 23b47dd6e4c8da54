"""The public function `portfolio`, and portfolios whose jobs see different prices."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

import optimizer
from optimizer.app.portfolio import plan_jobs
from optimizer.workload.portfolio_file import parse_portfolio
from providers.errors import JobError

MARKET = Path(__file__).parents[2] / "fixtures" / "market.csv"
NOW = "2031-05-06T09:00Z"
SHARED = {"model": "llama-3.1-8b", "tokens": 14_000_000, "offers": str(MARKET), "only_offers": True, "method": "lora"}


def solve(*jobs, **tables):
    asked = parse_portfolio({"job": list(jobs), "defaults": SHARED, **tables}, where="made", folder=Path())
    return plan_jobs(asked, now=NOW)


def test_the_result_has_every_form(tmp_path):
    file = tmp_path / "jobs.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in SHARED.items()]
    file.write_text(
        "[defaults]\n" + "\n".join(lines) + '\n[[job]]\nname = "<b>"\n[[job]]\nname = "late"\ndeadline = "5m"\n'
    )
    found = optimizer.portfolio(file, now=NOW)
    assert not found.complete
    assert list(found.placed) == ["<b>"]
    assert found.unplaced["late"].reason == "limits"
    assert found.cost_usd == Decimal(found.to_dict()["total_cost_usd_micro"]["expected"]) / 1_000_000
    assert json.loads(found.to_json()) == found.to_dict()
    assert list(found.to_pandas()["status"]) == ["placed", "unplaced"]
    assert "1 placed, 1 not" in str(found)
    assert "&lt;b&gt;" in found._repr_html_()


def test_anything_but_a_path_is_refused():
    with pytest.raises(JobError, match="the path of a file"):
        optimizer.portfolio({"job": []})


def test_jobs_may_see_prices_of_their_own(tmp_path):
    own = tmp_path / "own.csv"
    own.write_text(
        "provider,region,instance_type,gpu,gpu_count,price_usd_per_hour\ncellar,here,box,A100-SXM-80GB,1,0.01\n"
    )
    answer = solve({"name": "a"}, {"name": "b", "offers": str(own)}, quota=[{"provider": "cellar", "gpus": 1}])
    by_name = {job.job.name: job for job in answer.placed}
    assert by_name["b"].choices[0].offer.provider == "cellar"
    assert by_name["a"].choices[0].offer.provider != "cellar"
    assert answer.quotas[0].used == 1


def test_a_budget_of_a_team_without_jobs_is_noted_and_idle_quotas_are_named():
    answer = solve(
        {"name": "a", "team": "red"}, budget={"violet": 5}, quota=[{"provider": "nowhere-at-all", "gpus": 1}]
    )
    assert any("the team of the budget violet" in note for note in answer.notes)
    assert any("nowhere-at-all" in note for note in answer.notes)


def test_names_of_places_may_be_written_in_any_case():
    answer = solve({"name": "a"}, quota=[{"provider": "NIMBUS", "region": "Mars-1", "gpus": 0}])
    assert all((one.offer.provider, one.offer.region) != ("nimbus", "mars-1") for one in answer.placed[0].choices)
