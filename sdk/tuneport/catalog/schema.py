"""What the catalog knows of one model, as frozen data. A key that it does not know is refused, here and in a user's own file.

Every number carries its source, with the source's date and how sure it is. What is not known is absent: never a guess.
"""

from __future__ import annotations

from datetime import date as Day  # noqa: N812  (fields are named `date`)
from typing import Literal

from pydantic import Field, model_validator

from tuneport.strict import Strict

Sure = Literal["code", "run", "doc", "unconfirmed", "user"]
Scalar = int | float | str


class Source(Strict):
    """Where a fact was read.

    `sure`: in the provider's package (code), by running it (run), in its documentation or a copy of it (doc), where sources
    disagree or are second-hand (unconfirmed), or in a user's own file (user).
    """

    title: str
    url: str | None = None
    date: Day
    sure: Sure = "doc"
    note: str | None = None

    def __str__(self) -> str:
        return f"{self.title}, {self.date}" + ("" if self.sure in {"code", "run", "doc", "user"} else f" ({self.sure})")


class Amount(Strict):
    """A number and where it was read."""

    value: float = Field(ge=0, allow_inf_nan=False)
    source: Source


class Price(Strict):
    """What a provider charges; None is unknown, and 0 is nothing. Tokens are priced per million."""

    training: Amount | None = Field(default=None, description="per 1M billed training tokens")
    training_per_hour: Amount | None = Field(default=None, description="per hour of training, where time is billed")
    training_cap: Amount | None = Field(default=None, description="the most that one job is billed before it pauses")
    input: Amount | None = Field(default=None, description="per 1M tokens read by the tuned model")
    output: Amount | None = Field(default=None, description="per 1M tokens written by the tuned model")
    hosting_per_hour: Amount | None = Field(default=None, description="of a deployed model, used or not")
    storage_per_month: Amount | None = Field(default=None, description="of a model that is kept, deployed or not")
    currency: str = "USD"
    note: str | None = None


class Limits(Strict):
    """What a data set may be; None is unknown. The names are those of the dataset checks."""

    min_rows: Amount | None = None
    max_rows: Amount | None = None
    max_validation_rows: Amount | None = None
    max_bytes: Amount | None = None
    max_tokens: Amount | None = Field(default=None, description="of one row")
    max_images: Amount | None = Field(default=None, description="of one row; 0: text only")


class Knob(Strict):
    """One hyperparameter under the provider's name, with its range and default ("auto": the provider chooses)."""

    name: str = Field(description="the provider's name")
    kind: Literal["int", "float"] = "float"
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = Field(default=None, description="an exclusive minimum")
    choices: list[Scalar] = Field(default_factory=list[Scalar])
    default: Scalar | None = Field(default=None, description="None: not published")
    only_for: list[str] = Field(default_factory=list, description="objectives; empty: all of the model's")
    source: Source

    def refusal(self, value: float) -> str | None:
        """Why `value` is not taken, or None."""
        if self.choices and value not in self.choices:
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        if self.kind == "int" and not float(value).is_integer():
            return "a whole number"
        low = self.minimum is not None and value < self.minimum
        if (
            low
            or (self.maximum is not None and value > self.maximum)
            or (self.above is not None and value <= self.above)
        ):
            return self.range
        return None

    @property
    def range(self) -> str:
        if self.choices:
            return ", ".join(str(choice) for choice in self.choices)
        if self.minimum is not None and self.minimum == self.maximum:
            return f"{self.minimum:g}"
        below = f" to {self.maximum:g}" if self.maximum is not None else " and more"
        if self.above is not None:
            return f"above {self.above:g}" + (below if self.maximum is not None else "")
        return f"{self.minimum:g}{below}" if self.minimum is not None else "any"


class Objective(Strict):
    """One thing that a model can be tuned to do, and the shape of the rows that it takes."""

    dialect: str
    rules: list[str] = Field(default_factory=list, description="the dataset checks' rule sets")
    billed: Literal["all", "prompt-twice"] = Field(
        default="all", description="which tokens are billed: all of a row, or the prompt once for each of two answers"
    )
    limits: Limits = Field(default_factory=Limits, description="what differs from the model's own")
    inherits: bool = Field(default=True, description="False: the model's own limits are not those of this objective")
    hyperparameters: dict[str, Knob] = Field(
        default_factory=dict, description="where they are not the model's: then only these"
    )
    note: str | None = None
    source: Source


class EndDate(Strict):
    """A day from which something ends. `affects` names those that it concerns, where it is not everyone."""

    what: Literal["no-new-jobs", "stops-answering"]
    date: Day = Field(description="the first day on which it no longer works")
    affects: str | None = None
    firm: bool = Field(default=True, description="False: the earliest day, which may move later")
    instead: str = Field(description="what to do")
    source: Source


class Entry(Strict):
    """One model at one provider."""

    backend: str
    id: str
    name: str
    aliases: list[str] = Field(default_factory=list, description="other ids of the same model; * stands for anything")
    regions: list[str] = Field(default_factory=list)
    objectives: dict[str, Objective]
    methods: list[str] = Field(default_factory=list, description="empty: the provider does not say")
    limits: Limits = Field(default_factory=Limits)
    hyperparameters: dict[str, Knob] = Field(default_factory=dict, description="by our name in the job's specification")
    options: dict[str, Knob] = Field(default_factory=dict, description="what only the provider has")
    price: Price = Field(default_factory=Price)
    deploys: bool = Field(default=False, description="a tuned model answers only after it is deployed")
    characters_per_token: float | None = Field(default=None, gt=0)
    tokenizer: str | None = Field(default=None, description="the tokenizer's name, where it is public")
    lifecycle: dict[str, EndDate] = Field(default_factory=dict)
    note: str | None = None
    source: Source

    @model_validator(mode="after")
    def _known_objectives(self) -> Entry:
        for name, knob in {**self.hyperparameters, **self.options}.items():
            unknown = set(knob.only_for) - set(self.objectives)
            if unknown:
                raise ValueError(f"{name} is for {', '.join(sorted(unknown))}, which {self.id} does not have")
        return self

    @property
    def ref(self) -> str:
        return f"{self.backend}:{self.id}"

    def limits_for(self, objective: str) -> dict[str, int]:
        """The known limits for one objective, by name. An unconfirmed one is left out: it must not refuse anybody's rows."""
        return {name: int(a.value) for name, a in self.amounts_for(objective).items() if a.source.sure != "unconfirmed"}

    def amounts_for(self, objective: str) -> dict[str, Amount]:
        """Every limit for one objective with its source, the objective's own before the model's."""
        wanted = self.objectives[objective]
        found: dict[str, Amount] = {}
        for name in Limits.model_fields:
            amount: Amount | None = getattr(wanted.limits, name)
            if amount is None and wanted.inherits:
                amount = getattr(self.limits, name)
            if amount is not None:
                found[name] = amount
        return found

    def knobs_for(self, objective: str) -> dict[str, Knob]:
        """The hyperparameters that one objective has, by our name."""
        own = self.objectives[objective].hyperparameters
        if own:
            return dict(own)
        return {
            name: knob for name, knob in self.hyperparameters.items() if not knob.only_for or objective in knob.only_for
        }
