"""The distribution of row lengths in fixed memory, with what was estimated corrected by what was counted."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

TOP = 20  # heaviest rows that are remembered
_STRATA = 3  # by UTF-8 bytes a character: Latin; Cyrillic, Arabic and the like; Han, Thai and the like
_FINE = 2048  # lengths below are counted one by one, above in steps of a thousandth
_BINS = _FINE + 24 * (_FINE // 2)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Heavy(NamedTuple):
    """A row that may be an outlier."""

    tokens: float
    source: str
    row: int
    exact: bool


class Spread(NamedTuple):
    """What `Lengths` shows at the end. `margin` is half of the total's 95 % interval."""

    total: float
    trained: float
    margin: float
    median: float
    heaviest: float  # the share of all tokens that the heaviest 1 % of the rows hold
    percentiles: dict[str, int]
    histogram: list[dict[str, int]]


class Counted(NamedTuple):
    """Rows of one batch, a value for each. What is `fixed` is known without counting: the chat format, the ends of turns."""

    total: Floats
    guess: Floats  # the estimate of `total`
    fixed: Floats  # of `total`
    trained: Floats
    trained_fixed: Floats
    exact: Flags
    sample: Flags  # of the exact ones, those drawn at random to correct what is estimated
    ratio: Floats  # bytes a character


class Lengths:
    """Histograms of exact lengths and, by stratum, of estimated ones; sums over the sample that corrects these."""

    def __init__(self) -> None:
        self.exact = np.zeros(_BINS, np.int64)
        self.estimated = np.zeros((_STRATA, _BINS), np.int64)  # without what is fixed
        self.exact_total = 0.0
        self.exact_trained = 0.0
        self.longest = 0.0  # of the exact ones
        # Of the rest: rows, estimated tokens and those fixed, estimated trained tokens and those fixed.
        self.rest = np.zeros((_STRATA, 5))
        self.sums = np.zeros(
            (_STRATA, 6)
        )  # of the sample: n, counted, estimated, counted², counted·estimated, estimated²
        self.all_sums = np.zeros((_STRATA, 2))  # counted and estimated, of all that was counted

    def add(self, rows: Counted) -> None:
        total, fixed, exact = rows.total, rows.fixed, rows.exact
        strata = np.digitize(rows.ratio, [1.2, 2.1])
        if exact.any():
            counted = total[exact]
            self.exact += np.bincount(_bin(counted), minlength=_BINS)
            self.exact_total += float(counted.sum())
            self.exact_trained += float(rows.trained[exact].sum())
            self.longest = max(self.longest, float(counted.max()))
        texts, guesses = total - fixed, rows.guess - fixed
        for stratum in range(_STRATA):
            here = strata == stratum
            rest = here & ~exact
            if rest.any():
                self.estimated[stratum] += np.bincount(_bin(texts[rest]), minlength=_BINS)
                free = rows.trained - rows.trained_fixed
                parts = (texts, fixed, free, rows.trained_fixed)
                self.rest[stratum] += (int(rest.sum()), *(float(part[rest].sum()) for part in parts))
            y, x = texts[here & rows.sample], guesses[here & rows.sample]
            self.sums[stratum] += (len(y), y.sum(), x.sum(), (y * y).sum(), (x * y).sum(), (x * x).sum())
            self.all_sums[stratum] += (texts[here & exact].sum(), guesses[here & exact].sum())

    def merge(self, other: Lengths) -> None:
        self.exact += other.exact
        self.estimated += other.estimated
        self.exact_total += other.exact_total
        self.exact_trained += other.exact_trained
        self.longest = max(self.longest, other.longest)
        self.rest += other.rest
        self.sums += other.sums
        self.all_sums += other.all_sums

    @property
    def counted(self) -> int:
        return int(self.exact.sum())

    @property
    def rows(self) -> int:
        return self.counted + int(self.rest[:, 0].sum())

    @property
    def all_exact(self) -> bool:
        return not self.rest[:, 0].any()

    @property
    def sampled(self) -> int:
        return int(self.sums[:, 0].sum())

    def spread(self) -> Spread:
        values, rows = [_EDGES], [self.exact]
        total, trained, variance = self.exact_total, self.exact_trained, 0.0
        for stratum in range(_STRATA):
            number, estimated, fixed, taught, taught_fixed = self.rest[stratum].tolist()
            factor, spread = self._ratio(stratum)
            total += factor * estimated + fixed
            trained += factor * taught + taught_fixed
            n = self.sums[stratum, 0]
            if number and n > 1:
                variance += number**2 * spread * (1 / n + 1 / number)
            values.append(_EDGES * factor + fixed / max(number, 1))
            rows.append(self.estimated[stratum])
        value, count = np.concatenate(values), np.concatenate(rows)
        filled = np.flatnonzero(count)
        order = filled[np.argsort(value[filled], kind="stable")]
        value, count = value[order], count[order]
        cumulated = np.cumsum(count)
        if not len(order):
            return Spread(0.0, 0.0, 0.0, 0.0, 0.0, {}, [])

        def at(share: float) -> float:
            return float(value[np.searchsorted(cumulated, max(share * cumulated[-1], 1), side="left")])

        longest = max(self.longest, float(value[-1]))
        percentiles = {f"p{p}": round(at(p / 100)) for p in (10, 50, 90, 99)} | {"max": round(longest)}
        left = max(1, int(cumulated[-1]) // 100)
        heaviest = 0.0
        for tokens, number in zip(value[::-1].tolist(), count[::-1].tolist(), strict=True):
            heaviest += tokens * min(number, left)
            left -= min(number, left)
            if not left:
                break
        return Spread(
            total,
            trained,
            1.96 * math.sqrt(variance),
            at(0.5),
            min(heaviest / total, 1.0) if total else 0.0,
            percentiles,
            _histogram(value, count),
        )

    def _ratio(self, stratum: int) -> tuple[float, float]:
        """Counted to estimated tokens, and the variance of what is left of a row; by the stratum's own sample if it has 30."""
        n, y, x, yy, xy, xx = (self.sums[stratum] if self.sums[stratum, 0] >= 30 else self.sums.sum(axis=0)).tolist()
        if n < 30 or not x:
            counted, estimated = self.all_sums.sum(axis=0).tolist()
            return (counted / estimated if estimated else 1.0), 0.0
        factor = y / x
        return factor, max(yy - 2 * factor * xy + factor * factor * xx, 0.0) / (n - 1)


def _bin(lengths: Floats) -> NDArray[np.int64]:
    values = np.maximum(lengths, 0).astype(np.int64)
    exponent = np.maximum(np.frexp(values.astype(np.float64))[1] - _FINE.bit_length() + 1, 0).astype(np.int64)
    places: NDArray[np.int64] = np.minimum((values >> exponent) + exponent * (_FINE // 2), _BINS - 1)
    return places


def _edges() -> Floats:
    places = np.arange(_BINS)
    exponent = np.maximum(places // (_FINE // 2) - 1, 0)
    edges: Floats = ((places - exponent * (_FINE // 2)) * 2.0**exponent).astype(np.float64)
    return edges


def _histogram(value: Floats, count: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Rows by length, in steps of a factor of two from 16."""
    steps = [0.0, *(2.0**k for k in range(4, 31))]
    made, _ = np.histogram(value, bins=steps, weights=count)
    filled = np.flatnonzero(made)
    return [
        {"from": int(steps[i]), "to": int(steps[i + 1]), "rows": int(made[i])}
        for i in range(int(filled[0]), int(filled[-1]) + 1)
    ]


_EDGES = _edges()
