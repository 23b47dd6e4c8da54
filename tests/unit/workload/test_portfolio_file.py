"""Files of many jobs: what is read, and what is refused with file, key, value and what is allowed."""

from __future__ import annotations

from decimal import Decimal

import pytest

from optimizer.workload.portfolio_file import parse_portfolio, read_portfolio_file
from providers.errors import JobError

JOB = '[[job]]\nname = "a"\nmodel = "toy"\ntokens = 1000\n'


def read(tmp_path, text):
    file = tmp_path / "jobs.toml"
    file.write_text(text, encoding="utf-8")
    return read_portfolio_file(file)


def test_defaults_are_merged_into_every_job_and_a_job_wins(tmp_path):
    found = read(
        tmp_path,
        '[defaults]\nmodel = "toy"\nsamples = 10\ntokens_per_sample = 5\nepochs = 2\nteam = "x"\npriority = 4\n'
        '[[job]]\nname = "a"\n[[job]]\nname = "b"\ntokens = 99\nteam = "y"\nslots = "night"\n'
        '[[slot]]\nname = "night"\nstart = "6h"\n[[slot.quota]]\nprovider = "nimbus"\ngpus = 3\n'
        '[budget]\ntotal = "5000.25"\nx = 20\ny = 1.5\n',
    )
    first, second = found.jobs
    assert (first.team, first.priority, first.said.samples, first.said.epochs) == ("x", 4, 10, 2)
    assert (second.team, second.said.tokens, second.said.samples, second.slots) == ("y", 99, None, ("night",))
    assert found.budget.total == Decimal("5000.25")
    assert found.budget.teams == {"x": Decimal(20), "y": Decimal("1.5")}
    assert found.slots[0].quotas[0].gpus == 3


def test_paths_are_relative_to_the_file(tmp_path):
    found = read(tmp_path, '[defaults]\noffers = "own.csv"\n' + JOB + 'tokenizer = "d.jsonl"\n')
    assert found.jobs[0].said.offers == str(tmp_path / "own.csv")
    assert found.jobs[0].said.tokenizer == str(tmp_path / "d.jsonl")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "from 1 to 20000 tables"),
        ("job = 3\n", "tables: [[job]]"),
        ('model = "toy"\ntokens = 5\n', "`tunefare plan`"),
        ("[[jobs]]\n" + JOB.partition("\n")[2], "did you mean job?"),
        ("[[job]]\nmodel = 'toy'\n", "job 1: name = not given"),
        ("[[job]]\nname = ' '\nmodel = 'toy'\n", "a name of 1 to 200 characters"),
        (JOB + JOB, "job 2: name = 'a': a name of its own: job 1 has the same"),
        (JOB + "tokenz = 5\n", "job 'a': tokenz = 5: unknown key; did you mean tokens?"),
        (JOB + "priority = 0\n", "a whole number from 1 (goes first)"),
        (JOB + "priority = true\n", "a whole number from 1 (goes first)"),
        (JOB + "priority = 1.5\n", "a whole number from 1 (goes first)"),
        (JOB + 'team = "total"\n', "the budget of all teams"),
        (JOB + "team = 3\n", "a name of 1 to 200 characters"),
        (JOB + 'slots = ["x"]\n', "nothing: there is no [[slot]]"),
        (JOB + "slots = 3\n", "names of [[slot]] tables"),
        (JOB + "now = '2031-01-01T00:00Z'\n", "say it once"),
        (JOB + "top = 3\n", "no runners-up"),
        (JOB + "robust = true\n", "for one job"),
        (JOB + "[[job.quota]]\ngpus = 3\n", "hold for all of them"),
        (JOB + "usd_per_gpu_hour = 3\n", "tunefare estimate"),
        (JOB + "budget = 0\n", "dollars above 0"),
        ("[defaults]\nname = 'x'\n" + JOB, "each job has its own"),
        ("defaults = 3\n" + JOB, "a table: [defaults]"),
        (JOB + "[[quota]]\nprovider = 'x'\n", "quota 1: gpus = not given: required"),
        (JOB + "[[quota]]\nprovider = 'x'\ngpus = -1\n", "from 0 to 1000000"),
        (JOB + "[[quota]]\nprovider = 'x'\ngpus = true\n", "from 0 to 1000000"),
        (JOB + "[[quota]]\nprovider = 'x'\ngpus = '8'\n", "from 0 to 1000000"),
        (JOB + "[[quota]]\ngpus = 8\n", "at least one of provider"),
        (JOB + "[[quota]]\nprovider = 'x'\ngpu_count = 8\n", "unknown key"),
        (JOB + "[[quota]]\nprovider = 'x'\npricing_model = 'hourly'\ngpus = 8\n", "one of on_demand, spot"),
        (JOB + "[[quota]]\nprovider = 'x'\ngpus = 8\n[[quota]]\nprovider = 'X'\ngpus = 9\n", "appears twice"),
        (JOB + "[quota]\nprovider = 'x'\ngpus = 8\n", "tables: [[quota]]"),
        (JOB + "[budget]\ntotal = -1\n", "budget.total = -1: dollars from 0"),
        (JOB + "[budget]\ntotal = 'much'\n", "dollars from 0"),
        (JOB + "[budget]\ntotal = nan\n", "dollars from 0"),
        (JOB + "[budget]\ntotal = true\n", "dollars from 0"),
        ("budget = 5\n" + JOB, "a table: [budget]"),
        (JOB + "[[slot]]\nname = 'n'\n", "slot 1: start = not given"),
        (JOB + "[[slot]]\nstart = 'now'\n", "slot 1: name"),
        (JOB + "[[slot]]\nname='n'\nstart='now'\n[[slot]]\nname='n'\nstart='1h'\n", "slot 1 has the same"),
        (JOB + "x = [[1]\n", "a TOML file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_file_key_and_what_is_allowed(tmp_path, text, expected):
    with pytest.raises(JobError) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert expected in message
    assert "jobs.toml" in message
    assert "\n" not in message


def test_a_thousand_alike_jobs_share_their_input(tmp_path):
    tables = {"job": [{"name": f"j{at}", "model": "toy", "tokens": 5} for at in range(1000)]}
    found = parse_portfolio(tables, where="made", folder=tmp_path)
    assert len({id(job.said) for job in found.jobs}) == 1
