"""Invented portfolios of realistic shape for `benchmarks/portfolio.py`: GPU classes, clouds, regions, quotas, jobs."""

from __future__ import annotations

import numpy as np

from optimizer.search.portfolio.instance import Instance

# Dollars per GPU-hour and relative speed in training by class, as on-demand lists of 2025 and 2026 have them, rounded.
GPUS = {
    "T4": (0.45, 0.10), "A10": (0.95, 0.28), "L4": (0.75, 0.26), "L40S": (1.60, 0.75), "V100": (1.90, 0.32),
    "A100-40": (2.40, 0.85), "A100-80": (3.10, 1.00), "H100": (5.60, 2.30), "H200": (6.80, 2.60),
    "MI300X": (5.20, 1.90),
}  # fmt: skip
CLOUDS, REGIONS = 6, 9
COUNTS = (1, 2, 4, 8)
SCARCE = ("A100-80", "H100", "H200")
TEAMS = 5
RECIPES = 6


def invented(jobs: int, seed: int, *, columns_a_job: int = 1_500, tightness: float = 0.2) -> Instance:
    """Return a portfolio of `jobs` jobs with about `columns_a_job` columns each before their deadline prunes some.

    Quotas stand on provider x GPU in all regions and, on the scarce GPUs, on provider x region x GPU: a machine may
    count against both. They are cut to a share of what the jobs would take at their cheapest, so that about a third of
    them bind. Five teams have budgets, checked against the high end; two of them bind.
    """
    rng = np.random.default_rng(seed)
    place, patterns = _places(rng)
    parts = [_columns_of(rng, place, columns_a_job) for _ in range(jobs)]
    sizes = np.array([part[0].size for part in parts])
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    cost, high, gpus, pattern = (np.concatenate([part[at] for part in parts]) for at in range(4))
    cheapest = start[:-1]
    wanted = (patterns[pattern[cheapest]] * gpus[cheapest][:, None]).sum(axis=0)
    room = np.where(wanted > 0, tightness * wanted * rng.uniform(0.6, 1.4, wanted.size), jobs / 5)
    team = rng.integers(0, TEAMS, jobs)
    charged = team[None, :] == np.arange(TEAMS)[:, None]
    spent = charged @ high[cheapest]
    return Instance(
        start=start,
        cost_micro=cost,
        high_micro=high,
        gpus=gpus,
        pattern=pattern,
        patterns=patterns,
        capacity=np.maximum(4, np.rint(room / 4) * 4).astype(np.int64),
        budgets=np.rint(spent * np.array([1.02, 1.04, 1.5, 1.5, 2.0])),
        charged=charged,
        units=np.ones(jobs, dtype=np.int64),
        lump=np.ones(jobs, dtype=np.int64),
        most_gpus=np.full(jobs, np.inf),
        own_budget=np.full(jobs, np.inf),
        rank=np.zeros(jobs, dtype=np.int64),
    )


def _places(rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return offers as columns (price per GPU-hour, speed of a GPU, GPUs, pattern), and the patterns of quota rows."""
    rows: dict[tuple[object, ...], int] = {}
    offers: list[tuple[float, float, int, tuple[int, ...]]] = []
    for cloud in range(CLOUDS):
        level = rng.lognormal(0.0, 0.12)
        for region in range(REGIONS):
            dear = level * rng.lognormal(0.0, 0.08)
            for name, (usd, rate) in GPUS.items():
                if rng.random() < 0.35:
                    continue
                keys = [(cloud, name)] if cloud < 4 else []
                keys += [(cloud, region, name)] if cloud < 4 and name in SCARCE and region < 2 else []
                covered = tuple(rows.setdefault(key, len(rows)) for key in keys)
                # Clouds without a quota rent to whoever has a card, and are dearer.
                markup = 1.0 if covered else 1.45
                offers += [(usd * dear * markup * rng.lognormal(0.0, 0.05), rate, count, covered) for count in COUNTS]
    sets = sorted({covered for *_, covered in offers})
    patterns = np.zeros((len(sets), len(rows)), dtype=np.bool_)
    for at, covered in enumerate(sets):
        patterns[at, list(covered)] = True
    place = {
        "price": np.array([price for price, *_ in offers]),
        "speed": np.array([rate for _, rate, *_ in offers]),
        "gpus": np.array([count for _, _, count, _ in offers], dtype=np.int64),
        "pattern": np.array([sets.index(covered) for *_, covered in offers], dtype=np.int64),
    }
    return place, patterns


def _columns_of(
    rng: np.random.Generator, place: dict[str, np.ndarray], wanted: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return one job's columns: cost, high end, GPUs, pattern; those after the deadline are pruned."""
    work_h = float(rng.lognormal(3.0, 1.0))  # hours on one A100
    at = rng.integers(0, place["price"].size, wanted)
    recipe = rng.integers(0, RECIPES, wanted)
    suits = rng.lognormal(0.0, 0.18, (len(set(place["speed"])), RECIPES))
    kinds = np.unique(place["speed"], return_inverse=True)[1][at]
    gpus = place["gpus"][at]
    hours = 0.2 + work_h / (place["speed"][at] * suits[kinds, recipe] * gpus**0.93)
    cost = np.rint(1e6 * np.ceil(hours * 60) / 60 * place["price"][at] * gpus)
    high = np.rint(cost * np.exp(1.2816 * rng.uniform(0.08, 0.25, wanted)))
    in_time = hours <= work_h * float(rng.uniform(0.4, 2.5)) + 0.5
    if not in_time.any():
        in_time[np.argmin(hours)] = True
    order = np.flatnonzero(in_time)[np.argsort(cost[in_time], kind="stable")]
    return cost[order], high[order], gpus[order], place["pattern"][at][order]
