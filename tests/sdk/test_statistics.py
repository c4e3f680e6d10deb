"""Statistics against scipy and statsmodels, by hand, and by simulation."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.multitest import multipletests

from tuneport.errors import SpecError
from tuneport.scoring.intervals import Interval
from tuneport.scoring.statistics import (
    cohen_kappa,
    holm,
    krippendorff_alpha,
    mcnemar,
    permutation_test,
    rows_needed,
    simultaneous,
    smallest_difference,
    verdict,
    win_rate,
)

SEED = 20261125


@pytest.mark.parametrize(("gained", "lost"), [(5, 1), (0, 4), (30, 12), (200, 150), (1, 0), (900, 700)])
def test_mcnemar_is_the_exact_test_with_the_mid_p(gained: int, lost: int) -> None:
    exact = reference_mcnemar([[0, gained], [lost, 0]], exact=True).pvalue
    middle = exact - stats.binom.pmf(min(gained, lost), gained + lost, 0.5)
    assert mcnemar(gained, lost) == pytest.approx(middle, rel=1e-9)
    assert mcnemar(lost, gained) == mcnemar(gained, lost)


def test_mcnemar_without_a_difference_says_nothing() -> None:
    assert mcnemar(0, 0) == mcnemar(7, 7) == 1


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_the_exact_permutation_test_is_the_share_of_all_flips(gaps: list[int]) -> None:
    flips = [
        abs(sum(s * g for s, g in zip(signs, gaps, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(gaps))
    ]
    assert permutation_test(gaps) == pytest.approx(sum(flip >= abs(sum(gaps)) for flip in flips) / len(flips))


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=7))
def test_scores_in_tenths_are_as_tied_as_whole_ones(tenths: list[int]) -> None:
    """0.8 + 0.1 - 0.9 is not 0 to a computer; 8 + 1 - 9 is."""
    assert permutation_test([gap / 10 for gap in tenths]) == permutation_test(tenths)


def test_three_rows_that_cancel_show_nothing() -> None:
    assert permutation_test([0.8, 0.1, -0.9]) == 1


def test_many_rows_are_flipped_at_random_and_agree_with_scipy() -> None:
    rng = random.Random(SEED)
    gaps = [rng.gauss(0.15, 1) for _ in range(120)]
    reference = stats.permutation_test(
        (gaps,), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples", n_resamples=20_000, rng=1
    ).pvalue
    assert permutation_test(gaps, seed=3) == pytest.approx(reference, abs=0.015)
    assert permutation_test(gaps, seed=3) == permutation_test(gaps, seed=3)


@settings(max_examples=12)  # statsmodels takes 0.2 s for each
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_statsmodels_holm(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist(), abs=1e-12)


@pytest.mark.parametrize("n", [30, 80, 400])
@pytest.mark.parametrize("discordant", [0.05, 0.2, 0.6])
def test_the_smallest_difference_shows_in_eight_test_sets_of_ten(n: int, discordant: float) -> None:
    gap = smallest_difference(n, discordant=discordant)
    if gap is None:
        assert n * discordant < 10  # fewer rows differ than any difference needs
        return
    rng = np.random.default_rng(SEED)
    gained, lost = (discordant + gap) / 2, (discordant - gap) / 2
    draws = rng.multinomial(n, [gained, lost, 1 - discordant], size=1500)
    shown = sum(mcnemar(int(g), int(b)) <= 0.05 for g, b, _ in draws) / 1500
    assert 0.68 <= shown <= 0.9, f"seed {SEED}: {shown}"


@given(st.floats(0.01, 0.5), st.floats(0.05, 1))
def test_the_rows_needed_are_those_at_which_the_difference_is_the_smallest(gap: float, discordant: float) -> None:
    share = max(gap, discordant)
    n = rows_needed(gap, discordant=share)
    assert n is not None
    at, fewer = smallest_difference(n, discordant=share), smallest_difference(max(n - 2, 2), discordant=share)
    assert at is None or at <= gap * 1.001
    assert fewer is None or fewer >= gap * 0.999 or n <= 4


def test_a_stricter_level_needs_more_rows_and_less_power_fewer() -> None:
    usual = rows_needed(0.1, discordant=0.3)
    assert usual is not None
    for strict, lax in (
        (rows_needed(0.1, discordant=0.3, alpha=0.01), rows_needed(0.1, discordant=0.3, power=0.5)),
        (rows_needed(0.1, deviation=0.3**0.5, alpha=0.01), rows_needed(0.1, deviation=0.3**0.5, power=0.5)),
    ):
        assert strict is not None
        assert lax is not None
        assert strict > usual > lax
    n = 200
    assert smallest_difference(n, deviation=1, alpha=0.01) > smallest_difference(n, deviation=1)  # type: ignore[operator]


def test_simultaneous_intervals_hold_together() -> None:
    assert simultaneous(0.95, 1) == pytest.approx(0.95)
    assert simultaneous(0.95, 5) == pytest.approx(0.99)
    rng = np.random.default_rng(SEED)
    z = stats.norm.ppf((1 + simultaneous(0.95, 5)) / 2)
    assert (np.abs(rng.normal(size=(20_000, 5))) <= z).all(axis=1).mean() == pytest.approx(0.951, abs=0.006)


def test_of_numbers_by_their_deviation() -> None:
    assert smallest_difference(100, deviation=1) == pytest.approx(0.28, abs=0.002)
    assert rows_needed(0.28, deviation=1) == pytest.approx(100, abs=2)
    assert rows_needed(0, deviation=1) is None


def interval(low: float, estimate: float, high: float, *, method: str = "x", n: int = 200) -> Interval:
    return Interval(estimate=estimate, low=low, high=high, method=method, n=n)


@pytest.mark.parametrize(
    ("given", "p", "higher", "outcome", "said"),
    [
        (interval(0.05, 0.12, 0.19), 0.01, True, "better", "better by 12.0 points (5.0 to 19.0) on 200 rows"),
        (interval(0.05, 0.12, 0.19), 0.01, False, "worse", "worse by"),
        (interval(-0.19, -0.12, -0.05), 0.01, True, "worse", "worse by 12.0 points (5.0 to 19.0)"),
        (interval(0.05, 0.12, 0.19), 0.2, True, "undecided", "not as one of several comparisons"),
        (interval(-0.07, 0.02, 0.11), 0.6, True, "undecided", "You would need about 4,000 rows"),
        (interval(0.05, 0.12, 0.19), 0.01, None, "neither", "differs by"),
        (interval(0, 0, 0, method="none: equal"), 1, True, "same", "no difference on any of 200 rows"),
        (interval(1, 1, 1, method="none: one row", n=1), 1, True, "undecided", "no spread"),
        (None, None, True, "undecided", "nothing can be said"),
    ],
)
def test_words_never_claim_more_than_the_interval(
    given: Interval | None, p: float | None, higher: bool | None, outcome: str, said: str
) -> None:
    found = verdict(given, higher_is_better=higher, shares=True, p_adjusted=p, needed=3923)
    assert found.outcome == outcome
    assert said in found.words


def test_rows_are_not_asked_for_that_are_there_already() -> None:
    """A few rows that differ by very much make an interval wide and the rows that the formula asks for few."""
    seen = interval(-0.05, 0.12, 0.29)
    assert "need" not in verdict(seen, higher_is_better=True, shares=True, p_adjusted=0.06, needed=150).words
    assert "need about 260 rows" in verdict(seen, higher_is_better=True, shares=True, p_adjusted=0.06, needed=251).words


def test_agreement_is_the_published_example() -> None:
    # Krippendorff 2011, example C: four observers, twelve units, values missing; nominal alpha 0.743.
    observers = [
        "1 2 3 3 2 1 4 1 2 . . .".split(),
        "1 2 3 3 2 2 4 1 2 5 . 3".split(),
        ". 3 3 3 2 3 4 2 2 5 1 .".split(),
        "1 2 3 3 2 4 4 1 2 5 1 .".split(),
    ]
    units = {unit: [row[unit] for row in observers if row[unit] != "."] for unit in range(12)}
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=0.001)
    assert krippendorff_alpha({1: ["a", "a"], 2: ["a", "a"]}) is None


def test_kappa_is_statsmodels_kappa() -> None:
    rng = random.Random(SEED)
    one = [rng.choice("abc") for _ in range(200)]
    two = [value if rng.random() < 0.7 else rng.choice("abc") for value in one]
    table = [[sum(a == x and b == y for a, b in zip(one, two, strict=True)) for y in "abc"] for x in "abc"]
    assert cohen_kappa(one, two) == pytest.approx(cohens_kappa(np.array(table)).kappa)
    with pytest.raises(SpecError, match="the same rows"):
        cohen_kappa([1], [1, 2])


def test_a_win_rate_counts_ties_half_and_rows_not_votes() -> None:
    rate = win_rate({n: [1.0] for n in range(6)} | {n: [0.5] for n in range(6, 8)} | {n: [0.0] for n in range(8, 10)})
    assert rate is not None
    assert rate.estimate == pytest.approx(0.7)
    assert 0 <= rate.low < 0.7 < rate.high <= 1
    # Five raters who say the same of ten rows know no more than one.
    once, often = (win_rate({n: [float(n % 2)] * raters for n in range(10)}) for raters in (1, 5))
    assert once is not None
    assert often is not None
    assert (once.low, once.high) == (often.low, often.high)
    assert win_rate({}) is None


def test_a_vote_that_is_none_is_refused() -> None:
    with pytest.raises(SpecError, match=r"vote 2\.0 is not 1 for a win"):
        win_rate({1: [2.0], 2: [0.0]})


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: mcnemar(-1, 2),
        lambda: holm([1.2]),
        lambda: permutation_test([math.nan]),
        lambda: smallest_difference(80),
        lambda: smallest_difference(80, discordant=0.2, deviation=1),
        lambda: smallest_difference(80, discordant=1.2),
        lambda: rows_needed(0.1),
        lambda: rows_needed(0.1, deviation=math.nan),
        lambda: rows_needed(0.1, deviation=1, power=80),
        lambda: simultaneous(0.95, 0),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: object) -> None:
    with pytest.raises(SpecError):
        wrong()  # type: ignore[operator]
