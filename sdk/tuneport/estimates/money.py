"""What it costs: training, keeping the tuned model, and asking it. What is not known stays unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tuneport.catalog import Amount, Entry
from tuneport.dataset.issues import Issue
from tuneport.result import Cost

HOURS_A_MONTH = 730  # 365 × 24 / 12
_MILLION = 1_000_000
_PAIRS = {"dpo", "orpo"}


@dataclass(frozen=True)
class Tokens:
    """What was counted in the training rows. `spread`: how far an estimate may be off, as a share; 0 for an exact count."""

    rows: int
    tokens: int
    trainable: int | None = None
    spread: float = 0.0

    def billed(self, how: Literal["all", "prompt-twice"]) -> int:
        """Tokens of one epoch by the provider's rule. In a preference row `tokens` holds the prompt once and both answers."""
        if how == "all" or self.trainable is None:
            return self.tokens
        return self.tokens + (self.tokens - self.trainable)


@dataclass(frozen=True)
class Epochs:
    """Passes over the rows: exact where low and high agree, else a guess at what the provider will choose."""

    low: float
    likely: float
    high: float

    @classmethod
    def exactly(cls, epochs: float) -> Epochs:
        return cls(epochs, epochs, epochs)


class Money(BaseModel):
    """Amounts with their source. `estimated` is None where a price is unknown, and `notes` say which."""

    model_config = ConfigDict(frozen=True)

    training: Cost = Field(default_factory=Cost)
    training_low: float | None = None
    training_high: float | None = None
    billed_tokens: int | None = Field(default=None, description="of all epochs, by the provider's own rule")
    keeping_per_month: Cost = Field(
        default_factory=Cost, description="the tuned model, deployed and kept, asked or not"
    )
    asking_per_thousand: Cost = Field(default_factory=Cost, description="1,000 calls as long as the mean training row")
    notes: list[str] = Field(default_factory=list)


def money(entry: Entry, objective: str, counted: Tokens, epochs: Epochs) -> Money:
    """The bill for one entry of the catalog.

    Every provider here bills the tokens of the training file times the epochs, whether they are trained on or not; a
    preference row's prompt counts twice at Vertex; reinforcement is billed by the hour at OpenAI and Azure. Validation rows
    are not billed.
    """
    price, notes = entry.price, list[str]()
    billed = counted.billed(entry.objectives[objective].billed)
    training = Cost(currency=price.currency)
    low = high = None
    if price.training is not None:
        unit = price.training.value / _MILLION
        training = _cost(entry, billed * epochs.likely * unit, [price.training])
        low = _rounded(billed * (1 - counted.spread) * epochs.low * unit)
        high = _rounded(billed * (1 + counted.spread) * epochs.high * unit)
        if epochs.low != epochs.high:
            notes.append(f"the provider chooses the epochs: {epochs.low:g} to {epochs.high:g} are reckoned with")
        if entry.objectives[objective].billed == "prompt-twice" and counted.trainable is None:
            notes.append("the prompt is billed twice, but what of a row is prompt was not counted: it costs more")
        if counted.spread:
            notes.append(f"the tokens are an estimate, within {counted.spread:.0%} or so")
    elif price.training_per_hour is not None:
        hourly = price.training_per_hour
        training = training.model_copy(update=_origin([hourly]))
        text = f"training is billed by the hour ({_amount(entry, hourly.value)}), and how long it takes is not known before"
        if price.training_cap is not None:
            high = price.training_cap.value
            text += f"; a job pauses at {_amount(entry, high)}"
        notes.append(text)
    else:
        notes.append(_unknown(entry, "training", "training: 5.0"))
    keeping = _keeping(entry, notes)
    asking = Cost(currency=price.currency)
    if price.input is not None and price.output is not None and counted.trainable is not None and counted.rows:
        read, written = float(counted.tokens - counted.trainable), float(counted.trainable)
        if objective in _PAIRS:
            written /= 2  # a preference row holds two answers, a call writes one
        each = (read * price.input.value + written * price.output.value) / counted.rows / _MILLION
        asking = _cost(entry, 1000 * each, [price.input, price.output])
    elif price.input is None or price.output is None:
        notes.append(_unknown(entry, "asking the tuned model", "input: 1.0, output: 4.0"))
    return Money(
        training=training,
        training_low=low,
        training_high=high,
        billed_tokens=int(billed * epochs.likely),
        keeping_per_month=keeping,
        asking_per_thousand=asking,
        notes=notes,
    )


def budget(limit: float, entry: Entry | None, bill: Money | None, model: str) -> list[Issue]:
    """What `budget_usd` says to a bill: an unknown price and an estimate above it refuse, a range that reaches it warns."""
    likely = bill.training.estimated if bill is not None else None
    if bill is None or likely is None:
        capped = bill.training_high if bill is not None else None
        if capped is not None and capped <= limit:
            return []
        ref = entry.ref if entry is not None else model
        return [
            Issue(
                code="budget.unknown-price",
                message=f"budget_usd is {limit:g}, but what training {model} costs is unknown.",
                fix=f"leave budget_usd unset, or put your price into catalog.yaml in tuneport's home: models: {{'{ref}': "
                "{price: {training: 5.0, source: my contract}}}",
            )
        ]
    if bill.training.currency != "USD":
        return [
            Issue(
                code="budget.currency",
                message=f"budget_usd is in US dollars, but the price of {model} is in {bill.training.currency}.",
                fix="give the price in USD in your catalog.yaml.",
            )
        ]
    if likely > limit:
        return [
            Issue(
                code="budget.exceeded",
                message=f"training is estimated at {likely:.2f} USD, above budget_usd {limit:g}.",
                fix="fewer rows or epochs, a cheaper model (tuneport models), or a higher budget.",
            )
        ]
    if bill.training_high is not None and bill.training_high > limit:
        return [
            Issue(
                code="budget.close",
                severity="warning",
                message=f"training is estimated at {likely:.2f} USD, but may reach {bill.training_high:.2f}, above "
                f"budget_usd {limit:g}.",
                fix="set epochs, so that the provider does not choose them, or raise the budget.",
            )
        ]
    return []


def _keeping(entry: Entry, notes: list[str]) -> Cost:
    price = entry.price
    known = [amount for amount in (price.hosting_per_hour, price.storage_per_month) if amount is not None]
    if price.hosting_per_hour is None and entry.deploys:
        notes.append(_unknown(entry, "keeping the model deployed", "hosting_per_hour: 1.7"))
        return Cost(currency=price.currency)
    if not known:
        return Cost(currency=price.currency)
    hourly = price.hosting_per_hour.value if price.hosting_per_hour else 0.0
    monthly = price.storage_per_month.value if price.storage_per_month else 0.0
    return _cost(entry, hourly * HOURS_A_MONTH + monthly, known)


def _cost(entry: Entry, estimated: float, amounts: Sequence[Amount]) -> Cost:
    return Cost(estimated=_rounded(estimated), currency=entry.price.currency).model_copy(update=_origin(amounts))


def _rounded(value: float) -> float:
    """To cents: fractions are noise, but a bill of less than one is not nothing."""
    return round(value, 2) if value >= 0.01 else round(value, 6)


def _origin(amounts: Sequence[Amount]) -> dict[str, str]:
    sources = list(dict.fromkeys(amount.source for amount in amounts))
    titles = ["; ".join(filter(None, (f"{source.title}", source.url))) for source in sources]
    doubt = " (unconfirmed)" if any(source.sure == "unconfirmed" for source in sources) else ""
    return {
        "price_source": " and ".join(titles) + doubt,
        "price_date": min(source.date for source in sources).isoformat(),
    }


def _amount(entry: Entry, value: float) -> str:
    return f"{value:,.2f} {entry.price.currency}"


def _unknown(entry: Entry, what: str, example: str) -> str:
    return (
        f"the price of {what} is unknown for {entry.ref}: put yours into catalog.yaml in tuneport's home, as in "
        f"models: {{'{entry.ref}': {{price: {{{example}, source: my contract}}}}}}"
    )
