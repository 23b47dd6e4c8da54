"""How long the samples are: the distribution that padding and the sequence length come from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthDistribution:
    """Token lengths of the samples as an equal-probability quantile grid (ascending, in tokens)."""

    quantiles: tuple[int, ...]
    count: int
    mean: float
    basis: str

    def percentile(self, fraction: float) -> int:
        """Return the length in tokens below which `fraction` of the samples lie."""
        raise NotImplementedError

    def padding_factor(self, micro_batch: int, seq_len: int) -> float:
        """Return processed tokens per real token (>= 1) when `micro_batch` random rows are padded to the longest."""
        raise NotImplementedError
