"""How often 95% intervals hold the truth, over a grid of made-up comparisons: `python -m tests.coverage [trials]`.

Binary: two models' rates from 0 to 1, rows as opposed as can be to fully dependent. Continuous: differences that are normal,
skewed, bounded, mostly zero, at a ceiling, or nearly all gained; scores between 0 and 1 with their bounds, the others without.
Every trial counts. Below the grid: what no interval holds, where nothing bounds a score that rarely changes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tuneport.scoring.intervals import paired_difference

SIZES = (30, 50, 100, 300)
RATES = (0.0, 0.02, 0.1, 0.5, 0.9, 0.98, 1.0)
DEPENDENCE = (-1.0, 0.0, 0.5, 1.0)
ASKED = 0.93
Values = Callable[[Generator, int], "NDArray[np.float64]"]


@dataclass(frozen=True)
class Draw:
    """Differences of rows, their true mean, and whether they are of scores between 0 and 1."""

    values: Values
    mean: float
    bounded: bool = True


def _rarely(share: float, values: Values, mean: float, *, bounded: bool = True) -> Draw:
    return Draw(lambda rng, n: np.where(rng.random(n) < share, values(rng, n), 0.0), share * mean, bounded)


CONTINUOUS: dict[str, Draw] = {
    "normal": Draw(lambda rng, n: rng.normal(0.1, 1, n), 0.1, bounded=False),
    "skewed": Draw(lambda rng, n: rng.lognormal(0, 1, n) - 1, float(np.exp(0.5)) - 1, bounded=False),
    "skewed, scores": Draw(lambda rng, n: rng.beta(0.2, 3, n), 0.2 / 3.2),
    "bounded": Draw(lambda rng, n: rng.beta(0.5, 0.5, n) - rng.beta(0.3, 0.7, n), 0.2),
    "mostly the same": _rarely(0.1, lambda rng, n: rng.uniform(0, 1, n), 0.5),
    "nearly always the same": _rarely(0.03, lambda rng, n: rng.uniform(0, 1, n), 0.5),
    "rarely, by little": _rarely(0.1, lambda rng, n: rng.beta(0.5, 2, n), 0.2),
    "rarely, by all": _rarely(0.05, lambda rng, n: np.ones(n), 1.0),
    "mostly the same, both ways": _rarely(0.1, lambda rng, n: rng.uniform(-1, 1, n), 0.0),
    "at the ceiling": _rarely(0.03, lambda rng, n: rng.uniform(-1, 0, n), -0.5),
    "nearly all gained": Draw(lambda rng, n: 1 - np.where(rng.random(n) < 0.03, rng.random(n), 0.0), 0.985),
}
BEYOND = {
    "rarely, by much, without a bound": _rarely(
        0.1, lambda rng, n: rng.lognormal(0, 1, n), float(np.exp(0.5)), bounded=False
    )
}


def covered(draw: Draw, n: int, trials: int, rng: Generator) -> float:
    """The share of trials whose interval holds the mean. One that says that it knows nothing holds nothing."""
    hits = 0
    for trial in range(trials):
        gaps = draw.values(rng, n).tolist()
        bounds = (-1.0, 1.0) if draw.bounded else None
        interval = paired_difference([0.0] * n, gaps, kind="continuous", seed=trial, bounds=bounds)
        hits += interval.low <= draw.mean <= interval.high
    return hits / trials


def binary(n: int, before: float, after: float, dependence: float, trials: int, rng: Generator) -> float:
    alone, most, least = before * after, min(before, after), max(0.0, before + after - 1)
    both = alone + dependence * (most - alone if dependence > 0 else alone - least)
    cells = np.clip([both, after - both, before - both, 1 - before - after + both], 0.0, 1.0)
    counts = rng.multinomial(n, cells / cells.sum(), trials)
    kinds, times = np.unique(counts[:, 1:3], axis=0, return_counts=True)
    hits = 0
    for (gained, lost), many in zip(kinds.tolist(), times.tolist(), strict=True):
        same = n - gained - lost
        interval = paired_difference(
            [0.0] * gained + [1.0] * lost + [0.0] * same, [1.0] * gained + [0.0] * (lost + same), kind="binary"
        )
        hits += many * (interval.low - 1e-9 <= after - before <= interval.high + 1e-9)
    return hits / trials


def main(trials: int) -> int:
    seed = int(np.random.default_rng().integers(2**32))
    rng = np.random.default_rng(seed)

    def line(name: str, shares: list[float]) -> None:
        print(f"  {name:<40}" + "".join(f"{share:>8.3f}" for share in shares), flush=True)  # noqa: T201

    print(f"seed {seed}; {trials:,} comparisons in each cell; 95% intervals")  # noqa: T201
    pairs = len(RATES) ** 2 * len(DEPENDENCE)
    print(f"\n{f'yes or no, {pairs} pairs of models':<42}" + "".join(f"{n:>8}" for n in SIZES))  # noqa: T201
    cells = [[binary(n, b, a, d, 4 * trials, rng) for b in RATES for a in RATES for d in DEPENDENCE] for n in SIZES]
    line("lowest", [min(cell) for cell in cells])
    line("mean", [sum(cell) / len(cell) for cell in cells])
    worst = min(min(cell) for cell in cells)
    print(f"\n{'numbers':<42}" + "".join(f"{n:>8}" for n in SIZES))  # noqa: T201
    for name, draw in CONTINUOUS.items():
        shares = [covered(draw, n, trials, rng) for n in SIZES]
        worst = min(worst, *shares)
        line(name, shares)
    print(f"\nlowest of all: {worst:.3f} (asked: {ASKED})\n\nbeyond the grid")  # noqa: T201
    for name, draw in BEYOND.items():
        line(name, [covered(draw, n, trials, rng) for n in SIZES])
    return 0 if worst >= ASKED - 3 * (ASKED * (1 - ASKED) / trials) ** 0.5 else 1  # three standard errors


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
