"""The monthly bill and where the lines cross: by hand, and by what must hold for any prices."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tuneport.errors import SpecError
from tuneport.evaluate import costs
from tuneport.evaluate.comparison import Contender, Latency
from tuneport.result import Cost


def hosted(key: str, *, training: float = 0.0, keeping: float = 0.0, thousand: float = 1.0) -> Contender:
    return Contender(
        key=key,
        name=f"cloud {key}",
        kind="job",
        backend="openai",
        rows=1,
        training=Cost(estimated=training),
        keeping_per_month=Cost(estimated=keeping),
        per_thousand_calls=Cost(estimated=thousand),
    )


def own(key: str, *, seconds: float = 0.5, training: float = 0.0, concurrency: int = 1) -> Contender:
    latency = Latency(p50=seconds, p90=seconds, p99=seconds, mean=seconds, answers=9, concurrency=concurrency)
    return Contender(
        key=key,
        name=f"own {key}",
        kind="job",
        backend="local",
        rows=9,
        latency=latency,
        training=Cost(estimated=training),
        keeping_per_month=Cost(estimated=0.0),
        per_thousand_calls=Cost(estimated=0.1),
    )


def test_a_bill_by_hand() -> None:
    both = [hosted("A", training=24, keeping=2, thousand=5), own("B", training=12)]
    found = costs.money(both, 50_000, gpu_per_hour=1.0)
    # A: 24 / 12 + 2 + 50 * 5; B: 730 hours at 1 USD + 12 / 12
    assert found.monthly == {"A": 254.0, "B": 731.0}
    (crossing,) = found.crossings
    assert (crossing.cheaper_below, crossing.cheaper_above) == ("A", "B")
    assert crossing.calls == pytest.approx((731 - 4) / 0.005)
    assert crossing.until == pytest.approx(730 * 3600 / 0.5)
    assert costs.words(crossing, both) == (
        "Below 150,000 calls a month cloud A is cheaper, above it own B (up to 5,300,000, all that one device answers)."
    )
    now, at_others = costs.cheapest(both, found)
    assert now == "At 50,000 calls a month cloud A costs least, $254.00; next is own B, $731.00."
    assert at_others == (
        "Up to 150,000 calls a month cloud A costs least, above that own B (looked at up to 5,300,000, all that one device "
        "answers)."
    )


def test_training_is_spread_over_the_months_that_are_asked_for() -> None:
    one = [hosted("A", training=120, thousand=0)]
    assert [costs.money(one, 0, None, months=months).monthly["A"] for months in (1, 12, 24)] == [120.0, 10.0, 5.0]


def test_what_was_paid_counts_before_what_was_estimated() -> None:
    paid = hosted("A").model_copy(update={"training": Cost(estimated=120, actual=60)})
    assert costs.money([paid], 0, None).monthly == {"A": 5.0}


def test_more_calls_than_one_device_answers_need_a_second() -> None:
    slow = own("B", seconds=60)  # 43,800 a month
    found = costs.money([hosted("A", thousand=5), slow], 50_000, gpu_per_hour=1.0)
    assert found.monthly["B"] == 2 * 730
    assert "own B needs 2 devices for 50,000 calls a month." in found.notes
    assert not found.crossings, "one device does not keep up where the lines would cross"


def test_calls_that_run_together_share_a_device() -> None:
    alone, together = (costs.lines([own("A", concurrency=n)], 1.0)["A"] for n in (1, 8))
    assert alone is not None
    assert together is not None
    assert together.most == pytest.approx(8 * (alone.most or 0))


def test_a_device_of_ones_own_may_be_paid_for_already() -> None:
    assert costs.money([own("B")], 1000, gpu_per_hour=0.0).monthly == {"B": 0.0}


@pytest.mark.parametrize("missing", ["training", "keeping_per_month", "per_thousand_calls"])
def test_what_is_not_known_is_said_and_not_guessed(missing: str) -> None:
    unknown = hosted("A").model_copy(update={missing: Cost()})
    found = costs.money([unknown, hosted("B")], 1000, gpu_per_hour=None)
    assert found.monthly == {"A": None, "B": 1.0}
    assert not found.crossings
    (note,) = found.notes
    assert note.startswith("cloud A: the price of ")
    assert {"training": "training", "keeping_per_month": "keeping", "per_thousand_calls": "asking"}[missing] in note


def test_a_device_without_a_price_or_a_speed_has_no_bill() -> None:
    timeless = own("B").model_copy(update={"latency": None})
    found = costs.money([own("A")], 1000, gpu_per_hour=None)
    assert found.monthly == {"A": None}
    assert "give its price an hour" in found.notes[0]
    found = costs.money([timeless], 1000, gpu_per_hour=1.0)
    assert found.monthly == {"B": None}
    assert "how long an answer takes is not known" in found.notes[0]


def test_a_local_job_of_unknown_training_has_no_bill() -> None:
    found = costs.money([own("B").model_copy(update={"training": Cost()})], 1000, gpu_per_hour=1.0)
    assert found.monthly == {"B": None}
    assert "the price of training is not known" in found.notes[0]


def test_a_model_that_nobody_here_trained_is_billed_without_its_training_and_says_so() -> None:
    foreign = hosted("A").model_copy(update={"kind": "model", "training": Cost()})
    found = costs.money([foreign], 2000, gpu_per_hour=None)
    assert found.monthly == {"A": 2.0}
    assert "training it may have cost is not known" in found.notes[0]


def test_other_money_is_not_added_to_dollars() -> None:
    euros = hosted("A").model_copy(update={"keeping_per_month": Cost(estimated=5.0, currency="EUR")})
    found = costs.money([euros], 1000, gpu_per_hour=None)
    assert found.monthly == {"A": None}
    assert "a price is in EUR" in found.notes[0]


def test_recorded_answers_have_no_bill() -> None:
    found = costs.money([Contender(key="A", name="file", kind="recorded", rows=1)], 1000, gpu_per_hour=1.0)
    assert found.monthly == {"A": None}
    assert found.notes == []


def test_parallel_lines_never_cross_and_equal_ones_are_called_equal() -> None:
    twins = [hosted("A"), hosted("B")]
    found = costs.money(twins, 1000, None)
    assert not found.crossings
    assert costs.cheapest(twins, found) == [
        "At 1,000 calls a month cloud A and cloud B cost the same, $1.00, and nobody costs less."
    ]


def test_three_lines_take_turns() -> None:
    three = [
        hosted("A", keeping=0, thousand=10),
        hosted("B", keeping=10, thousand=5),
        hosted("C", keeping=60, thousand=1),
    ]
    assert costs.envelope(costs.lines(three, None)) == [("A", 2000.0), ("B", 12_500.0), ("C", math.inf)]
    found = costs.money(three, None, None)
    assert costs.cheapest(three, found) == [
        "Up to 2,000 calls a month cloud A costs least, from there to 12,000 cloud B, above that cloud C."
    ]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"calls_per_month": -1}, "calls_per_month is -1"),
        ({"gpu_per_hour": -0.5}, "gpu_per_hour is -0.5"),
        ({"gpu_per_hour": math.nan}, "gpu_per_hour is nan"),
        ({"months": 0}, "months is 0"),
    ],
)
def test_numbers_that_are_no_prices_are_refused(given: dict[str, float], says: str) -> None:
    arguments = {"calls_per_month": 1, "gpu_per_hour": 1.0} | given
    with pytest.raises(SpecError, match=says):
        costs.money([hosted("A")], **arguments)  # type: ignore[arg-type]


CLOUDS = st.tuples(st.floats(0, 5000), st.floats(0, 5000), st.floats(0.001, 500))  # training, keeping, 1,000 calls


@given(st.lists(CLOUDS, min_size=2, max_size=5), st.floats(0.01, 40), st.floats(0.01, 20))
def test_at_a_crossing_both_cost_the_same(clouds: list[tuple[float, float, float]], gpu: float, seconds: float) -> None:
    everyone = [
        *(hosted(chr(66 + n), training=t, keeping=k, thousand=c) for n, (t, k, c) in enumerate(clouds)),
        own("A", seconds=seconds),
    ]
    found = costs.lines(everyone, gpu)
    for crossing in costs.money(everyone, None, gpu).crossings:
        one, two = found[crossing.cheaper_below], found[crossing.cheaper_above]
        assert one is not None
        assert two is not None
        assert one.at(crossing.calls) == pytest.approx(two.at(crossing.calls), rel=1e-6, abs=1e-6)
        assert one.at(crossing.calls / 2) <= two.at(crossing.calls / 2)
        beyond = min(2 * crossing.calls, crossing.until or math.inf)
        assert one.at(beyond) >= two.at(beyond) - 1e-6 * abs(two.at(beyond))


@given(st.lists(CLOUDS, min_size=1, max_size=5), st.floats(0.01, 40), st.floats(0, 1))
def test_nobody_is_cheaper_than_who_is_said_to_cost_least(
    clouds: list[tuple[float, float, float]], gpu: float, share: float
) -> None:
    everyone = [
        *(hosted(chr(66 + n), training=t, keeping=k, thousand=c) for n, (t, k, c) in enumerate(clouds)),
        own("A", seconds=2.0),
    ]
    found = {key: line for key, line in costs.lines(everyone, gpu).items() if line is not None}
    begin = 0.0
    for key, end in costs.envelope(found):
        assert end > begin
        calls = begin + share * (min(end, begin + 1e9) - begin)
        least = min(line.at(calls) for line in found.values())
        assert found[key].at(calls) == pytest.approx(least, rel=1e-6, abs=1e-6)
        begin = end


@given(CLOUDS, st.integers(0, 10**9), st.integers(1, 60))
def test_a_bill_never_falls_with_the_calls(cloud: tuple[float, float, float], calls: int, months: int) -> None:
    assume(calls > 0)
    training, keeping, thousand = cloud
    everyone = [hosted("A", training=training, keeping=keeping, thousand=thousand), own("B")]
    few, many = (costs.money(everyone, n, 1.0, months).monthly for n in (calls // 2, calls))
    for key in "AB":
        low, high = few[key], many[key]
        assert low is not None
        assert high is not None
        assert low <= high
