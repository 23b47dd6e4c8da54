"""`tunefare portfolio` as people type it: text, JSON and CSV, exit codes, bad input."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from optimizer.cli.main import main

MARKET = str(Path(__file__).parents[2] / "fixtures" / "market.csv")
JOBS = """
[defaults]
model = "llama-3.1-8b"
tokens = 14_000_000
method = ["lora", "qlora"]
deadline = "24h"
[[job]]
name = "ner"
team = "nlp"
[[job]]
name = "=cmd"
team = "tools"
priority = 2
[[quota]]
provider = "Nimbus"
gpus = 2
[budget]
total = "500"
"""


@pytest.fixture
def run(tmp_path, capsys):
    def call(text, *flags):
        file = tmp_path / "jobs.toml"
        file.write_text(text, encoding="utf-8")
        words = ["portfolio", str(file), "--offers", MARKET, "--only-offers", "--now", "2031-05-06T09:00Z", *flags]
        code = main(words)
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def test_json_holds_plans_totals_quotas_and_the_proof_and_is_the_same_twice(run):
    code, out, _ = run(JOBS, "--json")
    document = json.loads(out)
    assert code == 0
    assert document["schema"] == "tunefare.portfolio/v1"
    assert [job["name"] for job in document["jobs"]] == ["ner", "=cmd"]
    ner = document["jobs"][0]
    assert ner["choice"]["provider"] in {"nimbus", "cirrus"} or ner["choice"]["provider"]
    assert ner["cost_usd_micro"]["expected"] == sum(item["usd_micro"] for item in ner["components"])
    total = document["total_cost_usd_micro"]
    assert total["expected"] == sum(job["cost_usd_micro"]["expected"] for job in document["jobs"])
    assert total["low"] <= total["expected"] <= total["high"]
    assert document["solver"]["status"] == "optimal"
    assert document["solver"]["bound_usd_micro"] <= total["expected"]
    assert document["quota_use"][0]["provider"] == "nimbus"
    assert document["quota_use"][0]["used"] <= 2
    assert run(JOBS, "--json")[1] == out


def test_the_cost_of_one_job_is_that_of_plan(run, capsys):
    one = JOBS.partition('[[job]]\nname = "=cmd"')[0]
    _, out, _ = run(one, "--json")
    flags = ["--model", "llama-3.1-8b", "--tokens", "14M", "--method", "lora", "--method", "qlora", "--deadline", "24h"]
    main(["plan", *flags, "--offers", MARKET, "--only-offers", "--now", "2031-05-06T09:00Z", "--json"])
    alone = json.loads(capsys.readouterr().out)
    (job,) = json.loads(out)["jobs"]
    for key in ("choice", "memory", "throughput", "duration_s", "cost_usd_micro", "components", "slacks"):
        assert job[key] == alone[key]


def test_csv_has_a_row_a_job_and_no_formula(run, tmp_path):
    target = tmp_path / "out.csv"
    code, out, err = run(JOBS, "--format", "csv", "--output", str(target))
    assert (code, out) == (0, "")
    assert "wrote" in err
    rows = list(csv.DictReader(io.StringIO(target.read_text(encoding="utf-8"))))
    assert [row["job"] for row in rows] == ["ner", "'=cmd"]
    assert float(rows[0]["cost_usd"]) > 0
    assert run(JOBS, "--format", "csv")[1] == target.read_text(encoding="utf-8")


def test_a_job_that_cannot_be_placed_is_exit_7_and_named_with_the_reason(run):
    text = JOBS.replace("gpus = 2", "gpus = 0") + '[[quota]]\npricing_model = "on_demand"\ngpus = 1\n'
    code, out, _ = run(text)
    assert code == 7
    assert "1 placed, 1 not" in out
    assert "=cmd (priority 2): crowded out" in out
    code, out, _ = run(text, "--json")
    document = json.loads(out)
    assert code == 7
    assert document["status"] == "partial"
    assert document["jobs"][1]["choice"] is None
    assert document["unplaced"][0]["reason"] == "crowded_out"
    assert document["quota_prices"][0]["places_jobs_ppm_per_gpu"] > 900_000


def test_a_time_limit_of_zero_answers_with_a_gap(run):
    code, out, _ = run(JOBS, "--json", "--time-limit", "0")
    document = json.loads(out)
    assert code == 0
    assert document["solver"]["iterations"] == 0
    assert document["solver"]["bound_usd_micro"] <= document["total_cost_usd_micro"]["expected"]


def test_what_steers_a_terminal_is_taken_out_of_names(run):
    code, out, _ = run(JOBS.replace('"ner"', '"ner\\u001b[31m\\u0007"'))
    assert code == 0
    assert "\x1b" not in out
    assert "\x07" not in out


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--time-limit", "soon"], "--time-limit"),
        (["--time-limit", "-5s"], "--time-limit"),
        (["--format", "xml"], "table, json, csv"),
        (["--format", "csv", "--json"], "--json is given too"),
        (["--output", "/nowhere/at/all.json"], "/nowhere/at/all.json"),
    ],
)
def test_a_wrong_flag_is_exit_2_in_one_line(run, flags, expected):
    code, out, err = run(JOBS, *flags)
    assert (code, out) == (2, "")
    assert expected in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"=cmd"', '"ner"', "job 2: name = 'ner'"),
        ('"llama-3.1-8b"', '"llama-3.1-8x"', "ner"),
        ("14_000_000", "-1", "tokens"),
        ('"Nimbus"', '"nimbs"', "did you mean nimbus?"),
        ("gpus = 2", 'gpus = 2\ngpu = "A1000"', "A1000"),
        ('deadline = "24h"', 'deadline = "yesterday"', "deadline"),
        ("[budget]", '[[slot]]\nname = "s"\nstart = "2030-01-01T00:00Z"\n[budget]', "or later"),
        ("[budget]", '[[slot]]\nname = "s"\nstart = "noon"\n[budget]', "slot 's': start"),
        ("[budget]", '[[slot]]\nname="s"\nstart="1h"\n[[slot]]\nname="t"\nstart="60m"\n[budget]', "starts then too"),
        ("[budget]", "[budget]\nnpl = 3", "did you mean nlp?"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_exit_2_in_one_line_that_names_it(run, old, new, expected):
    code, out, err = run(JOBS.replace(old, new, 1), "--json")
    assert (code, out) == (2, "")
    assert expected in err
    assert err.count("\n") == 1


def test_a_file_that_is_not_there_is_exit_2(capsys):
    assert main(["portfolio", "no-such-file.toml"]) == 2
    assert "no-such-file.toml" in capsys.readouterr().err
