"""What each contender costs a month at the user's own volume, and where the lines cross.

A month costs what training cost, spread over some months, what keeping the model costs, and what the calls cost. A local model
sits on a device that is kept and paid for all month, however few the calls: its price is the fixed part, its calls are free,
and beyond what one device answers there is a second. (Paid by the second it would cost less, and not always be there.)
What is not known stays None, and a note says what is missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from tuneport.errors import SpecError
from tuneport.estimates.money import HOURS_A_MONTH
from tuneport.evaluate.comparison import Contender, Crossing, Money
from tuneport.evaluate.pricing import LOCAL
from tuneport.result import Cost

MONTHS = 12  # over which training is spread


@dataclass(frozen=True)
class Line:
    """US dollars a month: `fixed + devices * device + calls * per_call`.

    `most`: the calls a month that one device answers; None where no device is kept.
    """

    fixed: float
    per_call: float
    device: float = 0.0
    most: float | None = None

    def devices(self, calls: float) -> int:
        return 0 if self.most is None else max(1, math.ceil(calls / self.most))

    def at(self, calls: float) -> float:
        return self.fixed + self.devices(calls) * self.device + calls * self.per_call

    @property
    def start(self) -> float:
        """What a month without a call costs."""
        return self.at(0)


def known(cost: Cost) -> float | None:
    """US dollars: what was paid where that is known, else the estimate. None in another currency: rates change by the day."""
    amount = cost.actual if cost.actual is not None else cost.estimated
    return amount if cost.currency == "USD" else None


def lines(contenders: Sequence[Contender], gpu_per_hour: float | None, months: int = MONTHS) -> dict[str, Line | None]:
    """By key; None where a price is not known."""
    return {one.key: _line(one, gpu_per_hour, months) for one in contenders}


def money(
    contenders: Sequence[Contender], calls_per_month: int | None, gpu_per_hour: float | None, months: int = MONTHS
) -> Money:
    """The monthly bill of each at `calls_per_month`, and every crossing of two lines within what one device answers.

    `gpu_per_hour`: US dollars for one device of one's own. Raises SpecError for a number that is none of these.
    """
    if calls_per_month is not None and calls_per_month < 0:
        raise SpecError(f"calls_per_month is {calls_per_month}: give 0 or more calls.")
    if gpu_per_hour is not None and not 0 <= gpu_per_hour < math.inf:
        raise SpecError(f"gpu_per_hour is {gpu_per_hour}: give US dollars an hour, 0 or more.")
    if months < 1:
        raise SpecError(f"months is {months}: training is spread over 1 month or more.")
    found = lines(contenders, gpu_per_hour, months)
    notes = [note for one in contenders for note in _notes(one, found[one.key], calls_per_month, gpu_per_hour)]
    monthly: dict[str, float | None] = {}
    if calls_per_month is not None:
        monthly = {key: None if line is None else round(line.at(calls_per_month), 2) for key, line in found.items()}
    return Money(
        calls_per_month=calls_per_month,
        gpu_per_hour=gpu_per_hour,
        months=months,
        monthly=monthly,
        crossings=[
            crossing for one, two in combinations(found, 2) if (crossing := _crossing(one, two, found)) is not None
        ],
        notes=notes,
    )


def words(crossing: Crossing, contenders: Sequence[Contender]) -> str:
    """A crossing in a sentence."""
    named = {one.key: one.name for one in contenders}
    below, above = named[crossing.cheaper_below], named[crossing.cheaper_above]
    held = f" (up to {rounded(crossing.until):,}, all that one device answers)" if crossing.until is not None else ""
    return f"Below {rounded(crossing.calls):,} calls a month {below} is cheaper, above it {above}{held}."


def cheapest(contenders: Sequence[Contender], bill: Money) -> list[str]:
    """Who costs least at the user's volume and by how much, and who at others: two sentences at most."""
    named = {one.key: one.name for one in contenders}
    said: list[str] = []
    prices = sorted((cost, key) for key, cost in bill.monthly.items() if cost is not None)
    if len(prices) > 1 and bill.calls_per_month is not None:
        (least, key), (second, other) = prices[:2]
        calls = f"At {bill.calls_per_month:,} calls a month"
        if least == second:
            said.append(f"{calls} {named[key]} and {named[other]} cost the same, ${least:,.2f}, and nobody costs less.")
        else:
            said.append(f"{calls} {named[key]} costs least, ${least:,.2f}; next is {named[other]}, ${second:,.2f}.")
    found = envelope(lines(contenders, bill.gpu_per_hour, bill.months))
    stretches = [(key, end) for key, end in found if end >= 1]
    if len(stretches) > 1:
        parts = [f"Up to {rounded(stretches[0][1]):,} calls a month {named[stretches[0][0]]} costs least"]
        parts += [f"from there to {rounded(end):,} {named[key]}" for key, end in stretches[1:-1]]
        last, end = stretches[-1]
        parts.append(
            f"above that {named[last]}"
            + (f" (looked at up to {rounded(end):,}, all that one device answers)" if math.isfinite(end) else "")
        )
        said.append(", ".join(parts) + ".")
    return said


def envelope(found: Mapping[str, Line | None]) -> list[tuple[str, float]]:
    """Who costs least from 0 calls a month on, and up to how many; as far as one device of each goes."""
    given = {key: line for key, line in found.items() if line is not None}
    if not given:
        return []
    limit = min((line.most for line in given.values() if line.most is not None), default=math.inf)
    stretches: list[tuple[str, float]] = []
    # At equal prices the flatter line is the cheaper one from there on.
    key, calls = min(given, key=lambda k: (given[k].start, given[k].per_call)), 0.0
    while True:
        line = given[key]
        meetings = [
            ((other.start - line.start) / (line.per_call - other.per_call), other.per_call, name)
            for name, other in given.items()
            if other.per_call < line.per_call
        ]
        ahead = min(((at, slope, name) for at, slope, name in meetings if calls < at < limit), default=None)
        if ahead is None:
            return [*stretches, (key, limit)]
        stretches.append((key, ahead[0]))
        calls, _, key = ahead


def rounded(calls: float) -> int:
    """Two figures: the third would be a claim."""
    digits = max(len(str(round(calls))) - 2, 0)
    step: int = 10**digits
    return round(calls / step) * step


def _line(one: Contender, gpu_per_hour: float | None, months: int) -> Line | None:
    if one.kind == "recorded":
        return None
    trained, kept, each = known(one.training), known(one.keeping_per_month), known(one.per_thousand_calls)
    if trained is None and (one.kind == "job" or one.training.currency != "USD"):
        return None
    spread = (trained or 0.0) / months
    if one.backend == LOCAL:
        if gpu_per_hour is None or one.latency is None or one.latency.mean <= 0:
            return None
        # What is under way together over the seconds that each takes (Little's law) is what a device answers.
        most = HOURS_A_MONTH * 3600 * one.latency.concurrency / one.latency.mean
        return Line(spread, 0.0, HOURS_A_MONTH * gpu_per_hour, most)
    if each is None or kept is None:
        return None
    return Line(kept + spread, each / 1000)


def _crossing(one: str, two: str, found: Mapping[str, Line | None]) -> Crossing | None:
    a, b = found[one], found[two]
    if a is None or b is None or a.per_call == b.per_call:
        return None
    calls = (b.start - a.start) / (a.per_call - b.per_call)
    until = min((line.most for line in (a, b) if line.most is not None), default=None)
    if not math.isfinite(calls) or calls < 1 or (until is not None and calls > until):
        return None
    below, above = (one, two) if a.per_call > b.per_call else (two, one)
    return Crossing(cheaper_below=below, cheaper_above=above, calls=calls, until=until)


def _notes(one: Contender, line: Line | None, calls: int | None, gpu_per_hour: float | None) -> list[str]:
    if line is None:
        return [] if one.kind == "recorded" else [_unknown(one, gpu_per_hour)]
    said: list[str] = []
    if line.most is not None and one.latency is not None:
        together = "one call" if one.latency.concurrency == 1 else f"{one.latency.concurrency} calls"
        said.append(
            f"{one.name}: a device of its own, kept all month ({HOURS_A_MONTH} hours at {gpu_per_hour:g} USD). As fast as "
            f"here, {together} at a time, one device answers at most {rounded(line.most):,} calls a month, spread evenly over "
            "day and night."
        )
        if calls is not None and (devices := line.devices(calls)) > 1:
            said.append(f"{one.name} needs {devices:,} devices for {calls:,} calls a month.")
    if known(one.training) is None:
        said.append(f"{one.name}: what training it may have cost is not known, and is not in its bill.")
    return said


def _unknown(one: Contender, gpu_per_hour: float | None) -> str:
    costs = {"training": one.training, "keeping": one.keeping_per_month, "asking": one.per_thousand_calls}
    if one.backend == LOCAL:
        if gpu_per_hour is None:
            return f"{one.name} runs on a device of your own: give its price an hour (gpu_per_hour, --gpu-price) for its bill."
        if one.latency is None or one.latency.mean <= 0:
            return f"{one.name}: how long an answer takes is not known, so neither is what it costs."
        costs = {"training": one.training}
    foreign = {cost.currency for cost in costs.values() if cost.currency != "USD"}
    if foreign:
        return f"{one.name}: a price is in {' and '.join(sorted(foreign))}; the bill is in US dollars, and no rate is assumed."
    missing = [what for what, cost in costs.items() if known(cost) is None]
    if one.kind != "job" and len(missing) > 1:
        missing = [what for what in missing if what != "training"]
    return (
        f"{one.name}: the price of {' and '.join(missing)} is not known: give it with prices (--price '{one.name}=IN,OUT') "
        "or in catalog.yaml in tuneport's home."
    )
