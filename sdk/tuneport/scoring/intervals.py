"""Confidence intervals: for a share of rows, and for the difference between two models on the same rows.

The difference is paired by row, which is what makes a small test set tell anything: two models that fail on the same
hard rows differ by less noise than two models on different rows would. NumPy draws the resamples, and is loaded only then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist, median
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tuneport.errors import SpecError

_NORMAL = NormalDist()
_RESAMPLES = 2000
_AT_ONCE = 100  # resamples in memory together: 16 MB of 20,000 rows
_SMALL = 20  # below this, BCa covers clearly less than it says, and Student's t does not
_LARGE = 20_000  # above this, 2000 resamples take many seconds and change no shown digit
# Half a row, as Yates would. Simulated for n = 30..200 and both models' rates from 0 to 1, rows independent to fully
# dependent, the 95% interval covers 97.7% on average and 95.0% at worst; without it 96.3% and 90.7%, and Newcombe's
# method 10 goes down to 90.2%. Its price is 1/n of width. The bad cases are those a good fine-tune makes: 0 to 0.98.
_CORRECTION = 0.5


# Most rows of two models score the same, and the few that differ decide: there, BCa alone covers 90% and less of the time at 30
# to 100 rows. The wider limits of BCa and of a t with two rows added cover at least 93% on the whole grid of
# `python -m tests.coverage`. The price: where rows differ normally, 26% wider than BCa's at 30 rows, 14% at 80, 7% at 200.
_ADDED = 1.25  # times the largest difference
# How far a row can be, fewer rows than this show by luck: the two that are added then lie at the bounds, if there are any.
# Without them a rare small gain (10% of 30 rows, most below 0.2) is covered 85% of the time.
_FEW = 15


class Interval(BaseModel):
    """An estimate with its confidence interval: a share, or a difference (tuned minus base)."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    estimate: float
    low: float
    high: float
    confidence: float = 0.95
    method: str
    n: int

    @property
    def known(self) -> bool:
        """False where the rows show no spread, so that `low == high` says nothing about the next row."""
        return not self.method.startswith("none")

    @property
    def excludes_zero(self) -> bool:
        """True where the data, at this confidence, do not allow a difference of zero."""
        return self.known and (self.low > 0 or self.high < 0)


def proportion(successes: int, n: int, *, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for `successes` out of `n` (Wilson 1927, JASA 22:209).

    It stays inside [0, 1] and does not shrink to a point at 0 or n. Raises SpecError where the counts make no share.
    """
    z = _quantile(confidence)
    if not 0 <= successes <= n or n < 1:
        raise SpecError(f"{successes} of {n} is no share: give 0 <= successes <= n and n of at least 1")
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(
        estimate=share,
        low=0.0 if successes == 0 else centre - half,
        high=1.0 if successes == n else centre + half,
        confidence=confidence,
        method="Wilson score",
        n=n,
    )


def paired_difference(
    base: Sequence[float | bool],
    tuned: Sequence[float | bool],
    *,
    kind: Literal["binary", "continuous"],
    confidence: float = 0.95,
    seed: int = 0,
    bounds: tuple[float, float] | None = None,
) -> Interval:
    """Mean of `tuned` minus mean of `base`, with its confidence interval; element i of both is the same row.

    "binary" (each value 0 or 1): Tango's score interval, corrected by half a row. It stays inside [-1, 1] and keeps its
    coverage where a model gets every row or none, which is where a bootstrap does not. "continuous": the wider limits
    of the BCa bootstrap with `seed` and of Student's t with two rows added, the latter alone below 20 rows, and the normal
    approximation above 20 000; where all differences are equal, the t alone. Swapping base and tuned negates it all.

    `bounds`: what no row's difference can leave, (-1, 1) for two scores between 0 and 1. Give it where it is known: the limits
    keep to it, and it is what covers rows that mostly score the same. Without bounds, a score that rarely changes but then by
    much (a length) is covered 83% of the time at 30 rows and 91% at 100, as nothing shows how much that could be; and where
    all differences are 0, there is nothing to go by, as of one row: `low` and `high` are the estimate, `method` starts with
    "none", and `.known` is False.

    Raises SpecError for no rows, different lengths, a value that is not finite, or one that is not 0 or 1 in "binary".
    """
    if len(base) != len(tuned):
        raise SpecError(f"{len(base)} base values and {len(tuned)} tuned: a pair is one of each for the same row")
    if not base:
        raise SpecError("no rows: a difference needs at least 1 row that both models answered")
    _quantile(confidence)
    values = [*map(float, base), *map(float, tuned)]
    if kind == "binary":
        if wrong := next((v for v in values if v not in (0.0, 1.0)), None):
            raise SpecError(f"value {wrong!r} is not 0 or 1: use kind='continuous' for scores in between")
        gained = sum(1 for b, t in zip(base, tuned, strict=True) if t > b)
        lost = sum(1 for b, t in zip(base, tuned, strict=True) if t < b)
        return _tango(gained, lost, len(base), confidence)
    if wrong := next((v for v in values if not math.isfinite(v)), None):
        raise SpecError(f"value {wrong!r} is not finite: leave its row out of both models' values, and say so")
    differences = [float(t) - float(b) for b, t in zip(base, tuned, strict=True)]
    if bounds is None:
        return _continuous(differences, confidence, seed, None)
    if wrong := next((d for d in differences if not bounds[0] - 1e-9 <= d <= bounds[1] + 1e-9), None):
        raise SpecError(
            f"difference {wrong!r} is outside its bounds {bounds!r}: give the bounds of the metric, or none"
        )
    interval = _continuous(differences, confidence, seed, bounds)
    return interval.model_copy(
        update={"low": max(interval.low, float(bounds[0])), "high": min(interval.high, float(bounds[1]))}
    )


def _quantile(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise SpecError(f"confidence {confidence!r} is not between 0 and 1: write 0.95 for 95%")
    return _NORMAL.inv_cdf((1 + confidence) / 2)


def tango(gained: int, lost: int, n: int, *, confidence: float = 0.95, correction: float = 0.0) -> tuple[float, float]:
    """Limits for (gained - lost) / n by Tango's score test (1998, Statistics in Medicine 17:891, equations 24-26).

    `gained` rows only the tuned model got right, `lost` only the base; the other rows enter through n alone.
    `correction` (in rows) is taken off the observed distance before it is tested.
    """
    z = _quantile(confidence)

    def upper(b: int, c: int) -> float:
        """The largest difference that the test does not reject; the lower limit is its mirror image."""

        def rejected(delta: float) -> bool:
            # The maximum-likelihood share of "lost" rows where the difference is `delta`.
            linear = (2 * n - b + c) * delta - b - c
            share = (math.sqrt(max(0.0, linear * linear + 8 * n * c * delta * (1 - delta))) - linear) / (4 * n)
            spread = math.sqrt(max(0.0, n * (2 * share + delta * (1 - delta))))
            return n * delta - (b - c) - correction >= z * spread

        return _bisect(rejected, (b - c) / n, 1.0)

    return -upper(lost, gained), upper(gained, lost)


def _bisect(true_above: Callable[[float], bool], low: float, high: float) -> float:
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if true_above(middle) else (middle, high)
    return high


def _tango(gained: int, lost: int, n: int, confidence: float) -> Interval:
    low, high = tango(gained, lost, n, confidence=confidence, correction=_CORRECTION)
    method = f"Tango score, continuity correction {_CORRECTION:g} row"
    return Interval(estimate=(gained - lost) / n, low=low, high=high, confidence=confidence, method=method, n=n)


def _continuous(differences: list[float], confidence: float, seed: int, bounds: tuple[float, float] | None) -> Interval:
    n = len(differences)
    estimate = math.fsum(differences) / n
    same = max(differences) - min(differences) <= 1e-12 * max(map(abs, differences))
    added = "Student's t with two rows added"
    if n == 1 or (same and estimate == 0 and bounds is None):
        low = high = estimate
        method = f"none: the differences of all {n} rows are 0" if n > 1 else "none: one row shows no spread"
    elif same:  # one model that gets nothing and one that gets all, say: the clearest difference there is
        low, high = _widened(differences, estimate, confidence, bounds)
        method = f"{added}: all rows differ by the same"
    elif n <= _LARGE:
        low, high = _widened(differences, estimate, confidence, bounds)
        method = f"{added}: under {_SMALL} rows"
        if n >= _SMALL:
            below, above = bca(differences, estimate, confidence, seed)
            low, high = min(low, below), max(high, above)
            method = f"BCa bootstrap, {_RESAMPLES} resamples, and {added}: the wider limit of each"
    else:
        reach = _quantile(confidence) * math.sqrt(math.fsum((d - estimate) ** 2 for d in differences) / (n - 1) / n)
        low, high = estimate - reach, estimate + reach
        method = f"normal: over {_LARGE} rows"
    return Interval(estimate=estimate, low=low, high=high, confidence=confidence, method=method, n=n)


def _widened(
    differences: list[float], estimate: float, confidence: float, bounds: tuple[float, float] | None
) -> tuple[float, float]:
    """Student's t as if two more rows had differed, one each way: by somewhat more than any seen, or by all that they can."""
    n = len(differences)
    squares = math.fsum((d - estimate) ** 2 for d in differences) + 2 * _far(differences, estimate, bounds) ** 2
    reach = student(confidence, n - 1) * math.sqrt(squares / (n + 1) / (n + 2))
    return estimate - reach, estimate + reach


def _far(differences: list[float], estimate: float, bounds: tuple[float, float] | None) -> float:
    seen = _ADDED * max(map(abs, differences))
    if bounds is None:
        return seen
    limit = max(bounds[1] - estimate, estimate - bounds[0])
    # How many rows carry what differs from the usual row: m of m equal ones, fewer where some are much larger than others.
    usual = median(differences)
    apart = [abs(d - usual) for d in differences]
    squares = math.fsum(a * a for a in apart)
    carried = math.fsum(apart) ** 2 / squares if squares else 0.0
    return limit if carried < _FEW else min(seen, limit)


def bca(differences: list[float], estimate: float, confidence: float, seed: int) -> tuple[float, float]:
    """Limits of the mean by the bias-corrected and accelerated bootstrap (Efron 1987, JASA 82:171)."""
    import numpy as np

    n = len(differences)
    values, rng = np.asarray(differences), np.random.default_rng(seed)
    parts: list[float] = []
    for start in range(0, _RESAMPLES, _AT_ONCE):
        drawn = rng.integers(0, n, size=(min(_AT_ONCE, _RESAMPLES - start), n))
        parts += values[drawn].mean(axis=1).tolist()
    means = sorted(parts)
    below = sum(m < estimate for m in means) + sum(m == estimate for m in means) / 2
    bias = _NORMAL.inv_cdf(min(max(below / _RESAMPLES, 1 / _RESAMPLES), 1 - 1 / _RESAMPLES))
    # Of a mean, the jackknife's acceleration is the skewness of the values over 6 * sqrt(n).
    squares = math.fsum((d - estimate) ** 2 for d in differences)
    acceleration = math.fsum((d - estimate) ** 3 for d in differences) / (6 * squares**1.5)

    def limit(z: float) -> float:
        shifted = bias + z
        level = _NORMAL.cdf(bias + shifted / max(1 - acceleration * shifted, 1e-9))
        place = level * (_RESAMPLES - 1)
        left = min(int(place), _RESAMPLES - 2)
        return means[left] + (means[left + 1] - means[left]) * (place - left)

    z = _quantile(confidence)
    # Very skewed rows can push both limits to one side; an interval without its own estimate would only puzzle.
    return min(limit(-z), estimate), max(limit(z), estimate)


def student(confidence: float, freedom: int) -> float:
    """Two-sided quantile of Student's t for whole degrees of freedom (Abramowitz & Stegun 26.7.3-4, solved for t)."""

    def inside(t: float) -> float:
        angle = math.atan(t / math.sqrt(freedom))
        odd = freedom % 2
        total, term = 0.0, math.cos(angle) if odd else 1.0
        for power in range(odd, freedom - 1, 2):
            total += term
            term *= (power + 1) / (power + 2) * math.cos(angle) ** 2
        return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total

    return _bisect(lambda t: inside(t) >= confidence, 0.0, 1e6)
