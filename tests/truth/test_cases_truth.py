"""`estimate --cases` against every published row at hand, where a larger collection of them lies beside the project.

The collection is no part of the project: `TUNEFARE_MEASUREMENTS` names its folder of CSV files (default: a folder
`shared/data/measurements` beside the checkout), and without it these tests are skipped. What ships are the tables in
`optimizer/measure/data`, on which the other truth tests run everywhere.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from optimizer.app.case_errors import SPEED, CaseComparison, as_compared, compare_cases
from optimizer.app.cases import predict_cases
from optimizer.app.tables import load_tables
from optimizer.measure.errors import HEAD, errors, line, over_sources

BESIDE = Path(__file__).parents[3] / "shared" / "data" / "measurements"
FOLDER = Path(os.environ.get("TUNEFARE_MEASUREMENTS") or BESIDE)

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no larger collection of measurements beside the project")

Found = tuple[list[dict[str, str]], list[dict[str, str]], list[CaseComparison]]


@pytest.fixture(scope="module")
def found() -> Found:
    rows: list[dict[str, str]] = []
    for path in sorted(FOLDER.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows += list(csv.DictReader(file))
    predictions = predict_cases(rows, tables=load_tables())
    return rows, predictions, compare_cases(rows, predictions)


def table(title: str, chosen: list[CaseComparison]) -> tuple[float, float]:
    """Print the errors by source and return the medians over the sources."""
    print(f"\n{title}\n{HEAD}")
    by_source = as_compared(chosen).by_group()
    for source, rows in by_source.items():
        print(line(source, errors(rows)))
    median, p90 = over_sources(by_source)
    print(f"{'median over the sources':34}{len(chosen):5d}{median:8.1%}{p90:8.1%}")
    return median, p90


def memory(found: Found, *, several: bool, known: bool = True) -> list[CaseComparison]:
    return [
        row
        for row in found[2]
        if row.reading != SPEED and (1 < row.gpus <= 8) == several and (several or row.gpus == 1)
        and row.recipe_known == known
    ]  # fmt: skip


def test_every_row_is_estimated_or_says_why_not(found: Found) -> None:
    rows, predictions, _ = found
    for prediction in predictions:
        assert prediction.get("pred_required_gib") or prediction.get("pred_error")
    refused = [prediction["pred_error"] for prediction in predictions if prediction.get("pred_error")]
    unsaid = [reason for reason in refused if "not modelled" not in reason and "is not in the table" not in reason]
    print(f"\n{len(rows)} rows, {len(refused)} refused, {len(unsaid)} of them for their own cells")
    assert len(unsaid) <= 0.01 * len(rows)


def test_memory_on_one_gpu(found: Found) -> None:
    rows = memory(found, several=False)
    allocated = [row for row in rows if row.reading == "allocated"]
    median, p90 = table("allocated memory, one GPU, recipe known", allocated)
    assert (median, p90) <= (0.03, 0.10)
    assert p90 <= 0.10
    median, p90 = table("memory, one GPU, recipe known", rows)
    assert median <= 0.06
    assert p90 <= 0.18
    table("memory, one GPU, something assumed", memory(found, several=False, known=False))


def test_memory_on_two_to_eight_gpus(found: Found) -> None:
    median, p90 = table("memory, 2 to 8 GPUs, recipe known", memory(found, several=True))
    assert median <= 0.08
    assert p90 <= 0.20
    table("memory, 2 to 8 GPUs, something assumed", memory(found, several=True, known=False))


def test_speed(found: Found) -> None:
    speeds = [row for row in found[2] if row.reading == SPEED]
    median, p90 = table("tokens/s, one GPU", [row for row in speeds if row.gpus == 1])
    assert median <= 0.12
    assert p90 <= 0.40
    median, p90 = table("tokens/s, 2 to 8 GPUs", [row for row in speeds if 1 < row.gpus <= 8])
    assert median <= 0.18
    assert p90 <= 0.40
    table("tokens/s, more than 8 GPUs", [row for row in speeds if row.gpus > 8])


def test_what_ran_and_what_did_not(found: Found) -> None:
    """Judged on `required`; a run said to fit at the unfavourable end never was one that ran out of memory."""
    rows, predictions, _ = found
    judged = [(row, said) for row, said in zip(rows, predictions, strict=True) if said.get("pred_fits")]
    right = total = 0
    print(f"\n{'source':34}{'ran':>6}{'fits':>6}{'high':>6}{'failed':>8}{'fits':>6}{'high':>6}")
    for source in sorted({row["source"] for row, _ in judged}):
        chosen = [(row, said) for row, said in judged if row["source"] == source]
        failed = [said for row, said in chosen if "oom" in row["status"].lower()]
        ran = [said for row, said in chosen if "oom" not in row["status"].lower()]
        counts = [
            (len(some), *(sum(one[key] == "yes" for one in some) for key in ("pred_fits_expected", "pred_fits")))
            for some in (ran, failed)
        ]
        print(f"{source:34}{counts[0][0]:6d}{counts[0][1]:6d}{counts[0][2]:6d}"
              f"{counts[1][0]:8d}{counts[1][1]:6d}{counts[1][2]:6d}")  # fmt: skip
        assert counts[1][2] == 0, source
        right += counts[0][1] + counts[1][0] - counts[1][1]
        total += len(chosen)
    print(f"right {right} of {total}: {right / total:.1%}")
    assert right >= 0.95 * total
