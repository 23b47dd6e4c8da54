"""How long the samples are: the distribution that padding and the sequence length come from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from statistics import NormalDist
from typing import TYPE_CHECKING

from providers.basis import Basis

if TYPE_CHECKING:
    from collections.abc import Mapping

GRID_POINTS = 200
"""Points of a quantile grid; smaller sets are kept whole."""

ASSUMED_VARIATION = 0.5
"""Standard deviation over mean of sample lengths where only the mean was said: an assumption, and disclosed as one.
Instruction data sets are that uneven or more; rows all of one length would make padding free, which it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthDistribution:
    """Token lengths of the samples as an equal-probability quantile grid (ascending, in tokens).

    `count` sequences have the mean length `mean`. For preference data (`pairs` > 0) every pair is two sequences,
    prompt with chosen and prompt with rejected response, and `prompt_mean` is the mean length of the prompts.
    `basis` is measured with the model's tokenizer, assumed without.
    """

    quantiles: tuple[int, ...]
    count: int
    mean: float
    basis: str
    pairs: int = 0
    prompt_mean: float = 0.0

    def __post_init__(self) -> None:
        if not self.quantiles or self.count < 1:
            raise ValueError("a length distribution holds at least one sample")
        if self.quantiles[0] < 1:
            raise ValueError(f"length {self.quantiles[0]} is not at least 1 token")
        if any(low > high for low, high in zip(self.quantiles, self.quantiles[1:], strict=False)):
            raise ValueError("quantiles are not in ascending order")

    @property
    def total_tokens(self) -> int:
        """Tokens of all sequences together, none cut off."""
        return round(self.mean * self.count)

    def percentile(self, fraction: float) -> int:
        """Return the length in tokens below which `fraction` (0 to 1) of the samples lie, by nearest rank.

        Raises ValueError outside 0 to 1.
        """
        if not 0.0 <= fraction <= 1.0:
            raise ValueError(f"fraction {fraction} is not within 0 to 1")
        # The small term keeps 0.07 * 100 = 7.000000000000001 at rank 7.
        rank = math.ceil(fraction * len(self.quantiles) - 1e-9)
        return self.quantiles[max(rank, 1) - 1]

    def truncated_mean(self, seq_len: int) -> float:
        """Return the mean length in tokens when everything beyond `seq_len` is cut off."""
        _check_at_least_one("seq_len", seq_len)
        if self.quantiles[-1] <= seq_len:
            return self.mean
        kept = sum(min(length, seq_len) for length in self.quantiles)
        return min(self.mean * kept / sum(self.quantiles), float(seq_len))

    def padding_factor(self, micro_batch: int, seq_len: int) -> float:
        """Return processed tokens per real token (>= 1) when `micro_batch` random rows are padded to the longest.

        It is E[max of b lengths] / E[length], lengths cut off at `seq_len`. On a grid of n equally likely values in
        ascending order the longest of b independent draws is the i-th with probability (i/n)^b - ((i-1)/n)^b
        (order statistics: David and Nagaraja 2003, section 2.1), so the figure is exact for the grid.
        """
        _check_at_least_one("micro_batch", micro_batch)
        _check_at_least_one("seq_len", seq_len)
        if micro_batch == 1:
            return 1.0
        lengths = [min(length, seq_len) for length in self.quantiles]
        n = len(lengths)
        below = [(i / n) ** micro_batch for i in range(n + 1)]
        longest = sum(length * (below[i + 1] - below[i]) for i, length in enumerate(lengths))
        return max(1.0, longest * n / sum(lengths))


def from_histogram(
    counts: Mapping[int, int], *, basis: str, pairs: int = 0, prompt_mean: float = 0.0
) -> LengthDistribution:
    """Return the distribution of lengths given as length in tokens -> number of sequences.

    Up to GRID_POINTS sequences are kept one by one; more are read off at the probabilities (i + 1/2) / GRID_POINTS.
    Raises ValueError when there is none.
    """
    lengths = sorted(counts)
    running = list(accumulate(counts[length] for length in lengths))
    count = running[-1] if running else 0
    points = min(count, GRID_POINTS)
    quantiles, position = [], 0
    for i in range(points):
        # Zero-based rank of the (i + 1/2)/points quantile; the i-th sequence itself when all are kept.
        rank = (2 * i + 1) * count // (2 * points)
        while running[position] <= rank:
            position += 1
        quantiles.append(lengths[position])
    total = sum(length * number for length, number in counts.items())
    return LengthDistribution(
        quantiles=tuple(quantiles),
        count=count,
        mean=total / count if count else 0.0,
        basis=basis,
        pairs=pairs,
        prompt_mean=prompt_mean,
    )


def spread_around(mean: int, *, count: int, seq_len: int) -> LengthDistribution:
    """Return lognormal lengths of the given mean (tokens), none beyond `seq_len`: assumed where only a mean is said.

    The quantiles are scaled until their mean after cutting is `mean` again, so that no token appears or vanishes.
    Raises ValueError unless 1 <= mean <= seq_len.
    """
    if not 1 <= mean <= seq_len:
        raise ValueError(f"mean {mean} is not within 1 to {seq_len}")
    sigma = math.sqrt(math.log1p(ASSUMED_VARIATION**2))
    normal = NormalDist(0.0, sigma)
    shape = [math.exp(normal.inv_cdf((i + 0.5) / GRID_POINTS)) for i in range(GRID_POINTS)]
    low, high = 0.0, float(seq_len) / shape[0]
    for _ in range(60):
        scale = (low + high) / 2
        short = sum(min(scale * value, seq_len) for value in shape) < mean * GRID_POINTS
        low, high = (scale, high) if short else (low, scale)
    lengths = tuple(max(1, min(round(high * value), seq_len)) for value in shape)
    return LengthDistribution(quantiles=lengths, count=count, mean=float(mean), basis=Basis.ASSUMED.value)


def _check_at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} {value} is not at least 1")
