"""Confidence intervals: for a share of rows, and for the difference between two models on the same rows.

The difference is paired by row, which is what makes a small test set tell anything: two models that fail on the same
hard rows differ by less noise than two models on different rows would. NumPy draws the resamples, and is loaded only then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
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


# Most rows of two models score the same, and the few that differ decide: there, BCa alone covers 84% and Student's t 87% of
# the time at 30 to 100 rows. The wider limits of BCa and of a t with two rows added cover at least 93% on the whole grid of
# `python -m tests.coverage`; without such rows they are about a tenth wider than BCa's.
_ADDED = 1.25  # times the largest difference


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
) -> Interval:
    """Mean of `tuned` minus mean of `base`, with its confidence interval; element i of both is the same row.

    "binary" (each value 0 or 1): Tango's score interval, corrected by half a row. It stays inside [-1, 1] and keeps its
    coverage where a model gets every row or none, which is where a bootstrap does not. "continuous": the wider limits
    of the BCa bootstrap with `seed` and of Student's t with two rows added, the latter alone below 20 rows, and the normal
    approximation above 20 000. Where all of these differences are
    equal there is no spread to go by: `low` and `high` are the estimate, `method` starts with "none", and `.known` is
    False. Swapping base and tuned negates it all.

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
    return _continuous([float(t) - float(b) for b, t in zip(base, tuned, strict=True)], confidence, seed)


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


def _continuous(differences: list[float], confidence: float, seed: int) -> Interval:
    n = len(differences)
    estimate = math.fsum(differences) / n
    if max(differences) - min(differences) <= 1e-12 * max(map(abs, differences)):
        low = high = estimate
        method = f"none: the differences of all {n} rows are equal" if n > 1 else "none: one row shows no spread"
    elif n <= _LARGE:
        low, high = _widened(differences, estimate, confidence)
        method = f"Student's t with two rows added: under {_SMALL} rows"
        if n >= _SMALL:
            below, above = bca(differences, estimate, confidence, seed)
            low, high = min(low, below), max(high, above)
            method = (
                f"BCa bootstrap, {_RESAMPLES} resamples, and Student's t with two rows added: the wider limit of each"
            )
    else:
        reach = _quantile(confidence) * math.sqrt(math.fsum((d - estimate) ** 2 for d in differences) / (n - 1) / n)
        low, high = estimate - reach, estimate + reach
        method = f"normal: over {_LARGE} rows"
    return Interval(estimate=estimate, low=low, high=high, confidence=confidence, method=method, n=n)


def _widened(differences: list[float], estimate: float, confidence: float) -> tuple[float, float]:
    """Student's t as if two more rows had differed, by somewhat more than any that was seen, one each way."""
    n = len(differences)
    far = (_ADDED * max(map(abs, differences))) ** 2
    squares = math.fsum((d - estimate) ** 2 for d in differences) + 2 * far
    reach = student(confidence, n - 1) * math.sqrt(squares / (n + 1) / (n + 2))
    return estimate - reach, estimate + reach


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
