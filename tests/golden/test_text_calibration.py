"""A calibration as text and as JSON, word for word; every figure is invented, no fitted constant can move it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from optimizer.measure.calibration import Calibration, Compared, ReadingError, StackCalibration, UsedRun
from optimizer.measure.memory_calibration import FailedRun
from optimizer.measure.run_rows import Skipped
from optimizer.measure.speed_calibration import ConstantChange
from optimizer.report.json_calibration import calibration_text
from optimizer.report.style import Style
from optimizer.report.text_calibration import format_calibration
from optimizer.search.calibrated import KINDS, CardCalibration, MeasuredRange

if TYPE_CHECKING:
    from collections.abc import Callable


def measured() -> MeasuredRange:
    kinds = {name: kind.words[:1] for name, kind in KINDS.items()}
    return MeasuredRange(
        kinds={**kinds, "method": ("lora-16bit", "lora-4bit"), "kernels": ("fused",)},
        spans={
            "micro_step_tokens": (2048.0, 16384.0), "row_tokens": (512.0, 2048.0), "model_params": (1.24e9, 8.03e9),
            "gpus": (1.0, 1.0), "nodes": (1.0, 1.0),
        },
    )  # fmt: skip


def used(at: int, *readings: Compared, status: str = "ok") -> UsedRun:
    return UsedRun(
        digest=f"{at:02d}" * 32, source="probe", made_at="2031-05-06T07:08:09Z", status=status, stack="hf",
        gpu="ZETA-9-64GB", gpus=1, model="invented/Testmodel-1B", method="lora-16bit", micro_batch=4, seq_len=512 * at,
        readings=readings,
    )  # fmt: skip


@pytest.fixture
def invented() -> Calibration:
    """Two cards of one stack, one of them measured in memory alone, a run that failed and one that was skipped."""
    gib = 2.0**30
    return Calibration(
        stacks=(
            StackCalibration(
                stack="hf",
                speed=(
                    ConstantChange(name="elementwise_bytes.hf", before=180.0, after=203.4, sigma_before=0.15,
                                   sigma_after=0.12),
                    ConstantChange(name="launch_s.hf", before=0.004, after=0.004001, sigma_before=0.25,
                                   sigma_after=0.2),
                ),
                memory=(
                    ConstantChange(name="logits.standard_vocab", before=14.0, after=12.6, sigma_before=0.15,
                                   sigma_after=0.05),
                ),
                cards=(
                    CardCalibration(stack="hf", gpu="OMEGA-2-24GB", factor=1.0, sigma=None, speed_rows=0,
                                    memory_rows=1, speed=None, memory=measured()),
                    CardCalibration(stack="hf", gpu="ZETA-9-64GB", factor=0.873, sigma=0.09, speed_rows=2,
                                    memory_rows=1, speed=measured(), memory=measured(),
                                    warnings=("Runs of the same recipe (hf on ZETA-9-64GB) differ by a factor of 2.",)),
                ),
                errors=(
                    ReadingError(reading="tokens_per_s", rows=2, median_before=0.147, worst_before=0.2,
                                 median_after=0.021, worst_after=0.034),
                    ReadingError(reading="allocated_bytes", rows=1, median_before=0.08, worst_before=0.08,
                                 median_after=0.012, worst_after=0.012),
                ),
                memory_spread=(0.02, 0.045),
            ),
        ),
        runs=(
            used(1, Compared(reading="tokens_per_s", measured=3210.0, before=3700.0, after=3180.0),
                 Compared(reading="allocated_bytes", measured=20 * gib, before=21.6 * gib, after=20.2 * gib)),
            used(2, Compared(reading="tokens_per_s", measured=3000.0, before=3600.0, after=3100.0)),
            used(16, status="oom"),
        ),
        skipped=(Skipped(where="runs/late.json", reason="the run failed: killed"),),
        failed=(
            FailedRun(where="runs/big.json", digest="16" * 32, needed_expected=70 * gib, needed_high=75 * gib,
                      usable_bytes=60 * gib),
            FailedRun(where="runs/odd.json", digest="17" * 32, needed_expected=50 * gib, needed_high=55 * gib,
                      usable_bytes=60 * gib),
        ),
        model_sha256="ab" * 32,
        tool_version="9.9.9",
    )  # fmt: skip


def test_the_calibration_is_as_written_down(golden: Callable[[str, str], None], invented: Calibration) -> None:
    golden("calibration.txt", format_calibration(invented, Style(width=80), file="calibration.json"))


def test_the_calibration_in_ascii(golden: Callable[[str, str], None], invented: Calibration) -> None:
    text = format_calibration(invented, Style(width=80, unicode=False))
    assert text.isascii()
    golden("calibration-ascii.txt", text)


def test_the_document_is_as_written_down(golden: Callable[[str, str], None], invented: Calibration) -> None:
    golden("calibration.json", calibration_text(invented))
