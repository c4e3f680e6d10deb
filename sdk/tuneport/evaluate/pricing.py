"""What asking, training and keeping a contender costs, as far as it is known. What is not known stays None, never a guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneport import catalog
from tuneport.catalog import Amount
from tuneport.errors import BudgetExceededError, SpecError
from tuneport.estimates.money import HOURS_A_MONTH
from tuneport.evaluate.contenders import Entrant
from tuneport.evaluate.questions import Question, text_of
from tuneport.result import Cost

_CHARACTERS_PER_TOKEN = 4.0  # English in a current vocabulary; where the catalog does not say
_MILLION = 1_000_000
LOCAL = "local"


@dataclass(frozen=True)
class Rate:
    """US dollars per million tokens, read and written; and where that was read."""

    input: float
    output: float
    source: str
    date: str | None = None

    def of(self, prompt: int, completion: int) -> float:
        return (prompt * self.input + completion * self.output) / _MILLION

    def cost(self, prompt: int, completion: int, *, times: float = 1.0) -> Cost:
        return Cost(
            estimated=_rounded(self.of(prompt, completion) * times), price_source=self.source, price_date=self.date
        )


@dataclass(frozen=True)
class Forecast:
    """What asking one contender is likely to cost, and at most: every answer as long as `max_tokens`. None: not known."""

    name: str
    calls: int
    prompt_tokens: int
    likely: float | None
    most: float | None
    source: str


def rate(entrant: Entrant, prices: Mapping[str, tuple[float, float]]) -> Rate | None:
    """The price of asking `entrant`: the user's own (`prices`, by name or model), nothing for a local one or for recorded
    answers, else the catalog's. The catalog prices tuned models; an untuned one may be cheaper, so its price is not known.
    """
    for key in (entrant.name, entrant.model or ""):
        if key in prices:
            return Rate(*prices[key], source="given by the user")
    if entrant.model is None or entrant.backend == LOCAL:
        return Rate(0, 0, "no service is called")
    tuned = entrant.kind == "job" or entrant.model.startswith(("openai:ft:", "azure:ft:"))
    entry = catalog.find(entrant.base_model or entrant.model) if tuned else None
    if entry is None or entry.price.input is None or entry.price.output is None or entry.price.currency != "USD":
        return None
    return Rate(entry.price.input.value, entry.price.output.value, *_origin([entry.price.input, entry.price.output]))


def checked(prices: Mapping[str, Any] | None, entrants: Sequence[Entrant]) -> dict[str, tuple[float, float]]:
    """`prices` as numbers. SpecError for a name that is no contender's, or a price that is no pair of amounts."""
    known = {key for entrant in entrants for key in (entrant.name, entrant.model) if key}
    found: dict[str, tuple[float, float]] = {}
    for key, value in (prices or {}).items():
        if key not in known:
            raise SpecError(
                f"a price is given for {key!r}, which is no contender: there are {', '.join(sorted(known))}."
            )
        try:
            read, written = (float(amount) for amount in value)
        except (TypeError, ValueError):
            raise SpecError(
                f"the price of {key!r} is {value!r}: give US dollars per million tokens read and written, as in (0.4, 1.6)."
            ) from None
        if not (0 <= read < float("inf") and 0 <= written < float("inf")):
            raise SpecError(f"the price of {key!r} is {value!r}: an amount is 0 or more.")
        found[key] = read, written
    return found


def forecast(
    entrant: Entrant, questions: Sequence[Question], max_tokens: int, price: Rate | None, *, already: int = 0
) -> Forecast:
    """`questions` are those that are still to be asked."""
    entry = catalog.find(entrant.base_model or entrant.model) if entrant.model else None
    each = (entry.characters_per_token if entry else None) or _CHARACTERS_PER_TOKEN
    read = sum(_characters(entrant.ask(question)) for question in questions)
    written = sum(len(question.expected or "") or 200 for question in questions)
    prompt, likely = round(read / each), round(written / each)
    remote = entrant.model is not None
    return Forecast(
        name=entrant.name,
        calls=len(questions) if remote else 0,
        prompt_tokens=prompt,
        likely=None if price is None else price.of(prompt, likely) if remote else 0.0,
        most=None if price is None else price.of(prompt, max_tokens * len(questions)) if remote else 0.0,
        source=price.source if price is not None else f"unknown; {already} answers are kept" if already else "unknown",
    )


def refuse_over(budget: float | None, forecasts: Sequence[Forecast]) -> None:
    """BudgetExceededError where the likely cost is above `budget`, or is not known."""
    if budget is None:
        return
    if unknown := [one.name for one in forecasts if one.likely is None and one.calls]:
        raise BudgetExceededError(
            f"budget_usd is {budget:g}, but what asking {' and '.join(unknown)} costs is unknown: give the price, as in "
            f"prices={{{unknown[0]!r}: (0.4, 1.6)}} (--price '{unknown[0]}=0.4,1.6'), per million tokens read and written."
        )
    total = sum(one.likely or 0.0 for one in forecasts)
    if total > budget:
        raise BudgetExceededError(
            f"asking is estimated at {total:.4f} USD, above budget_usd {budget:g}: use fewer rows, or a higher budget."
        )


def training(entrant: Entrant, gpu_per_hour: float | None) -> Cost:
    """What its training cost: by the provider's bill or estimate, or on one's own device by its price per hour."""
    result = entrant.result
    if result is None:
        return Cost(estimated=0.0) if entrant.kind != "model" else Cost()
    if result.backend != LOCAL:
        return result.cost
    seconds = result.usage.device_seconds
    if gpu_per_hour is None or seconds is None:
        return Cost()
    return Cost(
        estimated=_rounded(gpu_per_hour * seconds / 3600),
        price_source=f"{seconds:,.0f} device seconds at {gpu_per_hour:g} USD an hour, given by the user",
    )


def keeping(entrant: Entrant) -> Cost:
    """What a tuned model costs a month, deployed and kept, asked or not. 0 where nothing is kept at a provider."""
    if entrant.backend == LOCAL or entrant.kind not in {"job", "model"}:
        return Cost(estimated=0.0)
    entry = catalog.find(entrant.base_model or entrant.model or "")
    if entry is None:
        return Cost()
    price = entry.price
    amounts = [amount for amount in (price.hosting_per_hour, price.storage_per_month) if amount is not None]
    if entry.deploys and price.hosting_per_hour is None:
        return Cost()
    hourly = price.hosting_per_hour.value if price.hosting_per_hour else 0.0
    monthly = price.storage_per_month.value if price.storage_per_month else 0.0
    if not amounts:
        return Cost(estimated=0.0)
    source, date = _origin(amounts)
    return Cost(
        estimated=_rounded(hourly * HOURS_A_MONTH + monthly),
        currency=price.currency,
        price_source=source,
        price_date=date,
    )


def _characters(messages: Sequence[Mapping[str, Any]]) -> int:
    return sum(len(text_of(turn.get("content"))) + 12 for turn in messages)  # 12: a turn's own marks


def _origin(amounts: Sequence[Amount]) -> tuple[str, str]:
    titles = list(dict.fromkeys(str(amount.source) for amount in amounts))
    return " and ".join(titles), min(amount.source.date for amount in amounts).isoformat()


def _rounded(value: float) -> float:
    return round(value, 2) if value >= 0.01 else round(value, 6)
