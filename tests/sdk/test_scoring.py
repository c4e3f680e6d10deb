"""Intervals against published tables and other people's code, their coverage by simulation, and the metrics' edges."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from tuneport.errors import SpecError
from tuneport.scoring.intervals import bca, paired_difference, proportion, tango
from tuneport.scoring.metrics import exact_match, json_equal, json_valid, normalised_match


def pairs(both: int, gained: int, lost: int, neither: int) -> tuple[list[bool], list[bool]]:
    base = [True] * both + [False] * gained + [True] * lost + [False] * neither
    tuned = [True] * both + [True] * gained + [False] * lost + [False] * neither
    return base, tuned


@pytest.mark.parametrize(
    ("gained", "lost", "n", "confidence", "low", "high"),
    [
        # Fagerland, Lydersen & Laake 2014 (Statistics in Medicine 33:2850), airway hyper-responsiveness: 1, 1, 7, 12.
        (1, 7, 21, 0.95, -0.517, -0.026),
        # R's PropCIs 0.3-0, scoreci.mp(25, 28, 618, 0.90).
        (28, 25, 618, 0.90, -0.0148, 0.0247),
        # No discordant row: z^2 / (n + z^2), which is Newcombe's method 10 (1998, table III: 54, 0, 0, 0) as well.
        (0, 0, 54, 0.95, -0.0664, 0.0664),
        # All rows gained but two that agree: the upper limit is Wilson's (Newcombe 1998, table III: 2, 98, 0, 0).
        (98, 0, 100, 0.95, 0.9068, 0.9945),
    ],
)
def test_tangos_interval_is_the_published_one(
    gained: int, lost: int, n: int, confidence: float, low: float, high: float
) -> None:
    digits = 5e-4 if n == 21 else 5e-5
    assert tango(gained, lost, n, confidence=confidence) == (
        pytest.approx(low, abs=digits),
        pytest.approx(high, abs=digits),
    )


@pytest.mark.parametrize(("gained", "lost", "n"), [(40, 20, 160), (13, 3, 400), (2, 2, 30), (1, 7, 50), (49, 0, 50)])
def test_the_limits_solve_the_score_equation(gained: int, lost: int, n: int) -> None:
    """An independent road: the restricted likelihood maximised by scipy, not by the closed form."""
    from scipy.optimize import minimize_scalar

    for limit in tango(gained, lost, n):

        def unlikelihood(q: float, delta: float = limit) -> float:
            cells = np.clip([q + delta, q, 1 - 2 * q - delta], 1e-300, None)
            return float(
                -(gained * np.log(cells[0]) + lost * np.log(cells[1]) + (n - gained - lost) * np.log(cells[2]))
            )

        q = minimize_scalar(
            unlikelihood, bounds=(max(0.0, -limit), (1 - limit) / 2), method="bounded", options={"xatol": 1e-12}
        ).x
        score = (gained - lost - n * limit) / np.sqrt(n * (2 * q + limit - limit**2))
        assert abs(score) == pytest.approx(1.959964, abs=1e-3)


def test_the_interval_covers_what_it_says_at_every_rate() -> None:
    seed = random.SystemRandom().randrange(2**32)
    rng = np.random.default_rng(seed)
    rates = [0.0, 0.02, 0.1, 0.5, 0.9, 0.98, 1.0]
    simulations = 4000
    worst: list[tuple[float, int, float, float, float]] = []
    for n in (30, 50, 80, 200):
        known: dict[tuple[int, int], tuple[float, float]] = {}
        for before in rates:
            for after in rates:
                for dependence in (0.0, 1.0):
                    both = before * after + dependence * (min(before, after) - before * after)
                    cells = np.clip([both, after - both, before - both, 1 - before - after + both], 0.0, 1.0)
                    counts = rng.multinomial(n, cells / cells.sum(), simulations)
                    kinds, times = np.unique(counts[:, 1:3], axis=0, return_counts=True)
                    covered = 0
                    for (gained, lost), many in zip(kinds.tolist(), times.tolist(), strict=True):
                        if (gained, lost) not in known:
                            interval = paired_difference(*pairs(0, gained, lost, n - gained - lost), kind="binary")
                            known[gained, lost] = interval.low, interval.high
                        low, high = known[gained, lost]
                        covered += many * (low - 1e-9 <= after - before <= high + 1e-9)
                    worst.append((covered / simulations, n, before, after, dependence))
    assert min(worst)[0] >= 0.93, f"seed {seed}: {sorted(worst)[:5]}"


def test_a_bootstrap_would_not_have_covered() -> None:
    """Why the score interval is there: 0 to 0.98 on 50 rows, where resampling often sees no failure."""
    rng = np.random.default_rng(1)
    hits = {"score": 0, "bootstrap": 0}
    for _ in range(400):
        right = int(rng.binomial(50, 0.98))
        interval = paired_difference(*pairs(0, right, 0, 50 - right), kind="binary")
        hits["score"] += interval.low <= 0.98 <= interval.high
        resampled = rng.binomial(50, right / 50, 500) / 50
        hits["bootstrap"] += np.quantile(resampled, 0.025) <= 0.98 <= np.quantile(resampled, 0.975)
    assert hits["bootstrap"] < 0.75 * 400
    assert hits["score"] >= 0.93 * 400


def test_the_edges_of_the_binary_interval() -> None:
    better = paired_difference(*pairs(0, 49, 0, 1), kind="binary")
    assert (better.estimate, better.n) == (0.98, 50)
    assert 0.80 < better.low < 0.90
    assert 0.99 < better.high <= 1
    assert better.excludes_zero

    perfect = paired_difference(*pairs(0, 50, 0, 0), kind="binary")
    assert (perfect.estimate, perfect.high) == (1.0, 1.0)
    assert 0.80 < perfect.low < 0.95

    agree = paired_difference(*pairs(25, 0, 0, 25), kind="binary")
    assert agree.estimate == 0
    assert -0.1 < agree.low < 0 < agree.high < 0.1
    assert agree.low == -agree.high
    assert not agree.excludes_zero

    one = paired_difference([False], [True], kind="binary")
    assert (one.estimate, one.high) == (1.0, 1.0)
    assert one.low < 0, "one row proves nothing"


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80), st.floats(0.5, 0.999))
def test_binary_invariants(rows: list[tuple[bool, bool]], confidence: float) -> None:
    base, tuned = [b for b, _ in rows], [t for _, t in rows]
    forward = paired_difference(base, tuned, kind="binary", confidence=confidence)
    backward = paired_difference(tuned, base, kind="binary", confidence=confidence)
    assert -1 <= forward.low <= forward.estimate <= forward.high <= 1
    assert forward.low < forward.high
    assert (backward.low, backward.estimate, backward.high) == (-forward.high, -forward.estimate, -forward.low)


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=1, max_size=30), st.integers(0, 2**31 - 1))
def test_continuous_invariants(rows: list[tuple[float, float]], seed: int) -> None:
    base, tuned = [b for b, _ in rows], [t for _, t in rows]
    forward = paired_difference(base, tuned, kind="continuous", seed=seed)
    backward = paired_difference(tuned, base, kind="continuous", seed=seed)
    assert forward.low <= forward.estimate <= forward.high
    assert forward == paired_difference(base, tuned, kind="continuous", seed=seed)
    for ours, theirs in (("low", "high"), ("estimate", "estimate"), ("high", "low")):
        assert getattr(backward, ours) == pytest.approx(-getattr(forward, theirs), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("n", [20, 60, 300])
def test_bca_agrees_with_scipy(n: int) -> None:
    rng = np.random.default_rng(n)
    base, tuned = rng.gamma(2.0, 1.0, n), rng.gamma(1.5, 0.6, n)
    gaps = (tuned - base).tolist()
    low, high = bca(gaps, float(np.mean(gaps)), 0.95, 3)
    theirs = stats.bootstrap(
        (tuned - base,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(5)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert low == pytest.approx(theirs.low, abs=0.05 * width)
    assert high == pytest.approx(theirs.high, abs=0.05 * width)
    ours = paired_difference(base.tolist(), tuned.tolist(), kind="continuous", seed=3)
    assert ours.method.startswith("BCa")
    assert ours.low <= low
    assert high <= ours.high
    assert ours.high - ours.low < (2 if n < 50 else 1.4) * width


def test_bca_covers_skewed_losses() -> None:
    seed = random.SystemRandom().randrange(2**32)
    rng = np.random.default_rng(seed)
    hits = 0
    for trial in range(150):
        base, tuned = rng.gamma(2.0, 1.0, 80), rng.gamma(2.0, 0.5, 80)
        interval = paired_difference(base.tolist(), tuned.tolist(), kind="continuous", seed=trial)
        hits += interval.low <= -1.0 <= interval.high
    assert hits >= 0.88 * 150, (
        f"seed {seed}: {hits} of 150"
    )  # 95% nominal; five standard errors of 150 trials below 0.97


@pytest.mark.parametrize("n", range(2, 20))
def test_few_rows_fall_back_to_students_t_with_two_rows_added(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    ours = paired_difference([0.0] * n, values.tolist(), kind="continuous", confidence=0.9)
    far = 1.25 * np.abs(values).max()
    spread = stats.sem(np.append(values - values.mean(), [far, -far]))
    low, high = stats.t.interval(0.9, n - 1, loc=values.mean(), scale=spread)
    assert ours.method.startswith("Student")
    assert (ours.low, ours.high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.slow
def test_rows_that_mostly_score_the_same_are_covered() -> None:
    """Thirty rows of which a few differ, as two good models' do; `python -m tests.coverage` goes over the whole grid."""
    from tests.coverage.__main__ import CONTINUOUS, covered

    seed = random.SystemRandom().randrange(2**32)
    for name in ("rarely, by little", "mostly the same", "at the ceiling", "skewed", "nearly all gained"):
        share = covered(CONTINUOUS[name], 30, 600, np.random.default_rng(seed))
        assert share >= 0.93 - 0.035, f"seed {seed}: {name} {share}"  # three standard errors of 600 trials


def test_many_rows_do_not_resample() -> None:
    values = np.random.default_rng(2).normal(size=20_001)
    ours = paired_difference([0.0] * values.size, values.tolist(), kind="continuous")
    low, high = stats.norm.interval(0.95, loc=values.mean(), scale=stats.sem(values))
    assert (ours.low, ours.high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize(("n", "tuned"), [(1, 0.5), (1, 0.25), (50, 0.25)])
def test_one_row_or_no_difference_claims_nothing(n: int, tuned: float) -> None:
    interval = paired_difference([0.25] * n, [tuned] * n, kind="continuous")
    assert interval.low == interval.estimate == interval.high == tuned - 0.25
    assert interval.method.startswith("none")
    assert not interval.excludes_zero


def test_a_model_that_gets_nothing_and_one_that_gets_all_can_be_told_apart() -> None:
    """80 rows that all go from 0 to 1 say more than 79 of them, not less."""
    all_of_them = paired_difference([0.0] * 80, [1.0] * 80, kind="continuous")
    all_but_one = paired_difference([0.0] * 80, [1.0] * 79 + [0.9], kind="continuous")
    assert all_of_them.known
    assert all_of_them.excludes_zero
    assert all_of_them.low > all_but_one.low > 0.9
    two = paired_difference([0.0] * 2, [1.0] * 2, kind="continuous")
    assert not two.excludes_zero, "two rows prove nothing"


def test_a_share_stays_a_share() -> None:
    beyond = paired_difference([0.0] * 80, [1.0] * 77 + [0.9] * 3, kind="continuous")
    within = paired_difference([0.0] * 80, [1.0] * 77 + [0.9] * 3, kind="continuous", bounds=(-1, 1))
    assert beyond.high > 1 == within.high
    assert within.low < beyond.low, "three rows that differ do not show how far a fourth could be"
    with pytest.raises(SpecError, match="outside its bounds"):
        paired_difference([0.0] * 5, [7.0, 0, 0, 0, 0], kind="continuous", bounds=(-1, 1))


@pytest.mark.parametrize("n", [30, 80, 200])
def test_a_number_that_is_a_yes_or_no_is_judged_about_as_a_yes_or_no(n: int) -> None:
    """Also where no row differs: what no row showed is allowed for, as Tango's interval does."""
    for gained, lost in ((0, 0), (3, 0), (n // 5, n // 10), (n, 0)):
        base, tuned = pairs(n - gained - lost, gained, lost, 0)
        number = paired_difference(base, tuned, kind="continuous", bounds=(-1, 1))
        yes_no = paired_difference(base, tuned, kind="binary")
        assert number.known
        assert number.excludes_zero or not yes_no.excludes_zero or gained < 10
        assert number.high - number.low == pytest.approx(yes_no.high - yes_no.low, rel=0.6)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=40), st.integers(0, 9))
def test_bounds_are_kept_to_and_both_ways_are_the_same(gaps: list[float], seed: int) -> None:
    nothing = [0.0] * len(gaps)
    forward = paired_difference(nothing, gaps, kind="continuous", seed=seed, bounds=(-1, 1))
    backward = paired_difference(gaps, nothing, kind="continuous", seed=seed, bounds=(-1, 1))
    assert -1 <= forward.low < forward.high <= 1
    assert forward.low <= forward.estimate <= forward.high
    assert backward.low == pytest.approx(-forward.high, abs=1e-9)


@pytest.mark.parametrize(
    ("base", "tuned", "kind", "message"),
    [
        ([], [], "binary", "no rows"),
        ([1], [1, 0], "binary", "1 base values and 2 tuned"),
        ([0.5], [1], "binary", "0.5 is not 0 or 1"),
        ([float("nan")], [1], "binary", "nan is not 0 or 1"),
        ([0.1], [float("inf")], "continuous", "inf is not finite"),
    ],
)
def test_refusals_name_the_value(base: list[float], tuned: list[float], kind: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        paired_difference(base, tuned, kind=kind)  # type: ignore[arg-type]


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_statsmodels(counts: tuple[int, int]) -> None:
    ours = proportion(*counts)
    low, high = proportion_confint(*counts, method="wilson")
    assert (ours.low, ours.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    assert 0 <= ours.low <= ours.estimate <= ours.high <= 1


@pytest.mark.parametrize(("successes", "n", "confidence"), [(1, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 5, 95)])
def test_a_share_that_cannot_be(successes: int, n: int, confidence: float) -> None:
    with pytest.raises(SpecError):
        proportion(successes, n, confidence=confidence)


def test_exact_match_forgives_outer_whitespace_only() -> None:
    assert exact_match("  yes\n", "yes")
    assert not exact_match("Yes", "yes")
    assert not exact_match("a  b", "a b")
    assert not exact_match("cafe\u0301", "caf\u00e9")


def test_normalised_match_forgives_case_space_and_unicode_form() -> None:
    assert normalised_match("Cafe\u0301  AU\tlait", "caf\u00e9 au lait")
    assert normalised_match("STRASSE", "straße")
    assert not normalised_match("yes.", "yes")


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ('{"a": 1, "b": [1, 2]}', '{ "b":[1,2],\n"a":1.0 }', True),
        ("[1, 2]", "[2, 1]", False),
        ("[true]", "[1]", False),
        ("1", "1.0", True),
        ('"\\u00e9"', '"é"', True),
        ('{"a": 1, "a": 1}', '{"a": 1}', False),
        ("NaN", "NaN", False),
        ("", "", False),
    ],
)
def test_json_equal(left: str, right: str, same: bool) -> None:
    assert json_equal(left, right) is same
    assert json_equal(right, left) is same


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (' {"a": null} \n', True),
        ("3", True),
        ('{"a": 1, "a": 2}', False),
        ('[{"a": {"b": 1, "b": 1}}]', False),
        ("[-Infinity]", False),
        ("{'a': 1}", False),
        ('```json\n{"a": 1}\n```', False),
        ('{"a": 1} {"b": 2}', False),
        ("[" * 100_000, False),
    ],
)
def test_json_valid(text: str, valid: bool) -> None:
    assert json_valid(text) is valid
