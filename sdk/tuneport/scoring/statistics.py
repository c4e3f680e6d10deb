"""What two models' answers to the same rows allow to be said: tests, corrections, what a test set can show, and words.

Intervals are in `intervals`. Everything here is paired by row. NumPy flips the signs of the permutation test, and is loaded
only then.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from statistics import NormalDist
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from tuneport.errors import SpecError
from tuneport.scoring.intervals import Interval, paired_difference

_NORMAL = NormalDist()
_EXACT = 16  # so many differences that are not zero are flipped in every way; more are flipped at random
_FLIPS = 9_999
_AT_ONCE = 2_000_000  # signs in memory together: 2 MB, and 16 while they are multiplied
POWER = 0.8  # "could have shown": in 8 test sets of 10
ALPHA = 0.05


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided p that a row is as likely to be gained as lost: McNemar's exact test, mid-p.

    The exact test is conservative where few rows differ, and chi-squared is wrong there; the mid-p variant keeps its level in
    practice and wastes less (Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology 13:91).
    """
    if gained < 0 or lost < 0:
        raise SpecError(f"{gained} rows gained and {lost} lost: a count is 0 or more")
    n, low = gained + lost, min(gained, lost)
    if n == 0:
        return 1.0

    def chance(k: int) -> float:
        return math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2))

    tail = math.fsum(chance(k) for k in range(low + 1))
    if gained == lost:
        return 1.0
    return min(1.0, 2 * tail - chance(low))


def permutation_test(differences: Sequence[float], *, seed: int = 0) -> float:
    """Two-sided p that the differences are as likely to be negative as positive, by flipping their signs.

    Every way of flipping for up to 16 that are not zero, else 9,999 random ones, counted with the one that was seen (Phipson
    and Smyth 2010), so that p is never 0.
    """
    if wrong := next((value for value in differences if not math.isfinite(value)), None):
        raise SpecError(f"difference {wrong!r} is not finite: leave its row out, and say so")
    values = [abs(value) for value in differences if value != 0]
    # A sum as extreme as the one that was seen counts: rounding (of 0.8 + 0.1 - 0.9, say) must not make it less.
    seen = abs(math.fsum(differences)) - 1e-12 * math.fsum(values)
    if not values:
        return 1.0
    if len(values) <= _EXACT:
        sums = [0.0]
        for value in values:
            sums = [total + sign * value for total in sums for sign in (1, -1)]
        return sum(abs(total) >= seen for total in sums) / len(sums)
    import numpy as np

    sizes, rng = np.asarray(values), np.random.default_rng(seed)
    total, extreme = float(sizes.sum()), 0
    at_once = max(1, _AT_ONCE // len(values))
    for start in range(0, _FLIPS, at_once):
        heads = rng.integers(0, 2, size=(min(at_once, _FLIPS - start), len(values)), dtype=np.int8)
        extreme += int((np.abs(2 * (heads @ sizes) - total) >= seen).sum())
    return (extreme + 1) / (_FLIPS + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values by Holm's step-down method: the chance of any false claim among all of them stays at alpha."""
    if wrong := next((p for p in p_values if not 0 <= p <= 1), None):
        raise SpecError(f"p-value {wrong!r} is not between 0 and 1")
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def smallest_difference(
    n: int,
    *,
    discordant: float | None = None,
    deviation: float | None = None,
    power: float = POWER,
    alpha: float = ALPHA,
) -> float | None:
    """The smallest true difference that `n` rows show 8 times in 10 (`power`) at 5% (`alpha`), two-sided.

    For a yes or no, by the share of rows on which the two models differ (`discordant`; Miettinen 1968, Biometrics 24:339); for
    a number, by the standard deviation of the differences. None where even the largest one would not show. Where m comparisons
    are made, alpha / m is what the least of their p-values is held against. SpecError unless one of the two is given.
    """
    z_alpha, z_beta = _quantiles(discordant, deviation, power, alpha)
    if n < 2:
        return None
    if deviation is not None:
        return (z_alpha + z_beta) * deviation / math.sqrt(n)
    share = min(max(discordant or 0.0, 1 / n), 1.0)  # no row differed: one might have

    def shows(gap: float) -> bool:
        return gap * math.sqrt(n) >= z_alpha * math.sqrt(share) + z_beta * math.sqrt(max(share - gap * gap, 0.0))

    if not shows(share):  # a difference is at most as large as the share of rows that differ
        return None
    low, high = 0.0, share
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    return high


def rows_needed(
    difference: float,
    *,
    discordant: float | None = None,
    deviation: float | None = None,
    power: float = POWER,
    alpha: float = ALPHA,
) -> int | None:
    """How many rows show a true difference of this size 8 times in 10 (`power`). None for a difference of 0."""
    z_alpha, z_beta = _quantiles(discordant, deviation, power, alpha)
    gap = abs(difference)
    if gap == 0 or not math.isfinite(gap):
        return None
    if deviation is not None:
        return max(2, math.ceil(((z_alpha + z_beta) * deviation / gap) ** 2))
    share = min(max(discordant or 0.0, gap), 1.0)
    needed = ((z_alpha * math.sqrt(share) + z_beta * math.sqrt(max(share - gap * gap, 0.0))) / gap) ** 2
    return max(2, math.ceil(needed))


def _quantiles(discordant: float | None, deviation: float | None, power: float, alpha: float) -> tuple[float, float]:
    """Of alpha and power, once all four are known to make sense."""
    if (discordant is None) == (deviation is None):
        raise SpecError(
            f"discordant is {discordant!r} and deviation {deviation!r}: give discordant for a yes or no, deviation for a number"
        )
    if discordant is not None and not 0 <= discordant <= 1:
        raise SpecError(f"discordant {discordant!r} is no share of rows: give one between 0 and 1")
    if deviation is not None and not 0 <= deviation < math.inf:
        raise SpecError(f"deviation {deviation!r} is not a finite number of at least 0")
    if not (0 < power < 1 and 0 < alpha < 1):
        raise SpecError(f"power {power!r} and alpha {alpha!r}: both are between 0 and 1, as 0.8 and 0.05 are")
    return _NORMAL.inv_cdf(1 - alpha / 2), _NORMAL.inv_cdf(power)


def simultaneous(confidence: float, comparisons: int) -> float:
    """The confidence of each of several intervals so that all of them hold together with `confidence` (Bonferroni).

    Holm's tests claim at least all that these intervals do, and sometimes more: his method has no intervals as simple.
    """
    if comparisons < 1 or not 0 < confidence < 1:
        raise SpecError(f"confidence {confidence!r} over {comparisons} comparisons: between 0 and 1, and at least 1")
    return 1 - (1 - confidence) / comparisons


class Verdict(BaseModel):
    """What may be said of one difference. `outcome` is of the second contender."""

    model_config = ConfigDict(frozen=True)

    outcome: Literal["better", "worse", "undecided", "same", "neither"]
    words: str


def verdict(
    interval: Interval | None,
    *,
    higher_is_better: bool | None,
    shares: bool,
    unit: str = "",
    p_adjusted: float | None = None,
    needed: int | None = None,
) -> Verdict:
    """`better` or `worse` only where the interval leaves out zero and the adjusted p is at most 5%; `same` where all rows agree
    and no bound says how far a row could be; `neither` where the metric has no better.

    `shares`: the values are told as points of a hundred. `needed` is told only where it is more rows than there are.
    """
    if interval is None:
        return Verdict(outcome="undecided", words="no row that both answered: nothing can be said.")

    def amount(value: float, form: str = "+") -> str:
        text = f"{100 * value:{form}.1f}" if shares else f"{value:{form}.3g}"
        return text.replace("-", "−")

    def told(low: float, estimate: float, high: float, form: str = "+") -> str:
        what = " points" if shares else f" {unit}" if unit else ""
        return f"{amount(estimate, form)}{what} ({amount(low, form)} to {amount(high, form)})"

    rows = f"{interval.n:,} row{'' if interval.n == 1 else 's'}"
    if not interval.known:
        if interval.estimate == 0:
            return Verdict(outcome="same", words=f"no difference on any of {rows}.")
        return Verdict(
            outcome="undecided", words=f"{amount(interval.estimate)} on {rows}, and no spread to judge that by."
        )
    signed = told(interval.low, interval.estimate, interval.high)
    if interval.excludes_zero and p_adjusted is not None and p_adjusted > ALPHA:
        return Verdict(
            outcome="undecided",
            words=f"{signed} on {rows} would tell them apart alone, but not as one of several comparisons.",
        )
    if not interval.excludes_zero:
        more = ""
        if needed and needed > interval.n:  # with fewer, it would already show
            more = f" You would need about {rounded(needed):,} rows to tell a difference of this size."
        return Verdict(outcome="undecided", words=f"can't tell them apart on {rows}: {signed}.{more}")
    if higher_is_better is None:
        return Verdict(outcome="neither", words=f"differs by {signed} on {rows}.")
    better = (interval.estimate > 0) == higher_is_better
    # "Worse by 12 points": the word has the direction, so the numbers need no sign.
    low, high = sorted((abs(interval.low), abs(interval.high)))
    size = told(low, abs(interval.estimate), high, "")
    word = "better" if better else "worse"
    return Verdict(outcome=word, words=f"{word} by {size} on {rows}.")


def rounded(rows: int) -> int:
    """Two figures: the third would be a claim."""
    digits = max(len(str(rows)) - 2, 0)
    step: int = 10**digits
    return math.ceil(rows / step) * step


def win_rate(outcomes: Mapping[Any, Sequence[float]], *, confidence: float = 0.95, seed: int = 0) -> Interval | None:
    """How often the second was preferred: 1 a win, 0.5 a tie, 0 a loss. `outcomes` by row, a value for each rater.

    Raters of one row are not independent of each other, so rows are drawn and not votes: the interval is that of the mean of
    the rows' own means. "Both bad" is no preference and no vote: leave it out here, and count it beside. None without a vote.
    SpecError for a vote that is not between 0 and 1.
    """
    if wrong := next((vote for votes in outcomes.values() for vote in votes if not 0 <= vote <= 1), None):
        raise SpecError(f"vote {wrong!r} is not 1 for a win, 0.5 for a tie or 0 for a loss")
    means = [math.fsum(values) / len(values) for values in outcomes.values() if values]
    if not means:
        return None
    signs = [2 * mean - 1 for mean in means]
    if all(sign in (-1.0, 0.0, 1.0) for sign in signs):  # what a paired yes or no can be: lost, neither, gained
        gap = paired_difference(
            [float(s < 0) for s in signs], [float(s > 0) for s in signs], kind="binary", confidence=confidence
        )
    else:
        gap = paired_difference(
            [0.0] * len(signs), signs, kind="continuous", confidence=confidence, seed=seed, bounds=(-1, 1)
        )
    return gap.model_copy(
        update={
            "estimate": (1 + gap.estimate) / 2,
            "low": max(0.0, (1 + gap.low) / 2),
            "high": min(1.0, (1 + gap.high) / 2),
        }
    )


def krippendorff_alpha(ratings: Mapping[Any, Sequence[Hashable]]) -> float | None:
    """Agreement beyond chance among any number of raters, any of them missing: 1 is perfect, 0 is chance (nominal data).

    `ratings` by row, one value for each rater who judged it. None where no row has two, or all ratings are the same: then
    there is nothing to agree about (Krippendorff 2011, "Computing Krippendorff's alpha-reliability").
    """
    units = [Counter(values) for values in ratings.values() if len(values) > 1]
    total = sum(unit.total() for unit in units)
    overall: Counter[Hashable] = Counter()
    for unit in units:
        overall.update(unit)
    if len(overall) < 2:
        return None
    seen = math.fsum(
        sum(count * (unit.total() - count) for count in unit.values()) / (unit.total() - 1) for unit in units
    )
    expected = sum(count * (total - count) for count in overall.values()) / (total - 1)
    return 1 - seen / expected


def cohen_kappa(one: Sequence[Hashable], two: Sequence[Hashable]) -> float | None:
    """Agreement beyond chance of two raters on the same rows. None where both gave one and the same value throughout."""
    if len(one) != len(two) or not one:
        raise SpecError(
            f"{len(one)} and {len(two)} ratings: two raters give one each for the same rows, of which there are some"
        )
    n = len(one)
    agreed = sum(a == b for a, b in zip(one, two, strict=True)) / n
    left, right = Counter(one), Counter(two)
    chance = sum(left[value] * right[value] for value in left) / n**2
    return None if chance == 1 else (agreed - chance) / (1 - chance)
