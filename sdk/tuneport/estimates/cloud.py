"""A job's settings in a provider's words: each one asked for, sent or refused, and why. Nothing is dropped in silence.

A learning rate is never turned into a multiplier or back: what a provider multiplies is its secret.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tuneport.catalog import Entry, Knob
from tuneport.catalog import lifecycle as ends
from tuneport.catalog import target as target_fields
from tuneport.clock import now
from tuneport.dataset.checks.base import Limits, Target
from tuneport.dataset.issues import Issue
from tuneport.estimates.money import Epochs
from tuneport.estimates.practice import practice
from tuneport.result import HyperparameterNote
from tuneport.spec import FineTuneSpec

_RATES = ("learning_rate", "learning_rate_multiplier")
_LIMIT_WORDS = {"min_rows": "at least {:,} rows", "max_rows": "at most {:,} rows"}
_COOKBOOK = (
    3,
    100,
    25_000,
    25,
)  # OpenAI's cookbook: 3 epochs, so many that rows × epochs lies in 100 to 25,000, 25 at most


@dataclass(frozen=True)
class CloudSettings:
    """`provider` is what is sent, by the provider's names; what the provider chooses is not in it."""

    method: str | None
    hyperparameters: Mapping[str, Any]
    provider: Mapping[str, Any]
    notes: list[HyperparameterNote]
    epochs: Epochs
    steps: int | None
    issues: list[Issue] = field(default_factory=list[Issue])


def resolve_cloud(entry: Entry, spec: FineTuneSpec, splits: Mapping[str, int]) -> CloudSettings:
    """Every setting of `spec` against what the provider takes. `issues` holds each refusal, with the value and the rule."""
    rows, objective = splits.get("train", 0), spec.objective.kind
    issues = lifecycle_issues(entry)
    if objective not in entry.objectives:
        can = ", ".join(entry.objectives)
        issues.append(
            Issue(
                code="unsupported.objective",
                message=f"objective '{objective}' is not offered for {entry.name} ({entry.ref}).",
                fix=f"use one of: {can}; or another model: tuneport models.",
            )
        )
        return CloudSettings(None, {}, {}, [], Epochs.exactly(1), None, issues)
    issues += _doubtful_limits(entry, objective, rows)
    method, asked = _asked(entry, spec, issues)
    knobs = entry.knobs_for(objective)
    effective: dict[str, Any] = {}
    provider: dict[str, Any] = {}
    notes: list[HyperparameterNote] = []
    for name, value in asked.items():
        if name not in knobs:
            issues.append(_untranslatable(entry, name, value, knobs))
    for name, knob in knobs.items():
        value, shown = asked.get(name), name.rpartition(".")[2]
        if value is None:
            notes.append(
                HyperparameterNote(name=shown, effective=knob.default, reason=_default(entry, name, knob, rows))
            )
            effective[shown] = knob.default
            continue
        refusal = knob.refusal(value)
        if refusal is not None:
            issues.append(
                Issue(
                    code="hyperparameters.range",
                    message=f"{shown} is {value:g}: {entry.name} takes {refusal} ({knob.name}; {knob.source.title}).",
                    fix=f"give a value in {knob.range}, or leave it unset.",
                )
            )
        sent = int(value) if knob.kind == "int" and float(value).is_integer() else value
        effective[shown] = provider[knob.name] = sent
        notes.append(HyperparameterNote(name=shown, requested=value, effective=sent, reason=f"sent as {knob.name}"))
    epochs = _epochs(entry, effective.get("epochs"), objective, rows)
    batch = effective.get("batch_size")
    steps = None
    if isinstance(batch, int) and epochs.low == epochs.high and batch and rows:
        steps = math.ceil(rows / batch) * math.ceil(epochs.likely)
    return CloudSettings(method, effective, provider, notes, epochs, steps, issues)


def target(model: str, objective: str = "sft") -> Target | None:
    """The dataset checks' target for a model in the catalog; None where it has no such model or objective."""
    fields = target_fields(model, objective)
    if fields is None:
        return None
    limits = Limits(**fields.pop("limits"))
    return Target(limits=limits, **fields)


def lifecycle_issues(entry: Entry) -> list[Issue]:
    """The model's end dates as they stand by `clock.now()`."""
    return [
        Issue(code=notice.code, severity=notice.severity, message=notice.message, fix=notice.fix)
        for notice in ends(entry, now())
    ]


def _asked(entry: Entry, spec: FineTuneSpec, issues: list[Issue]) -> tuple[str | None, dict[str, Any]]:
    """Everything that was set, by name: hyperparameters, then what was said of the method and the objective."""
    asked = {name: value for name, value in spec.hyperparameters.model_dump().items() if value is not None}
    method = spec.method.kind if spec.method is not None else None
    if spec.method is not None:
        if method not in entry.methods:
            can = ", ".join(entry.methods)
            issues.append(
                Issue(
                    code="unsupported.method",
                    message=f"method '{method}' cannot be asked of {entry.name} ({entry.ref})"
                    + (f": it is tuned by {can}." if can else ": the provider does not say how it tunes."),
                    fix="leave method unset.",
                )
            )
        said = spec.method.model_fields_set - {"kind"}
        asked.update({f"method.{name}": getattr(spec.method, name) for name in said})
    said = spec.objective.model_fields_set - {"kind", "grader"}
    asked.update({f"objective.{name}": getattr(spec.objective, name) for name in said})
    return method or (entry.methods[0] if len(entry.methods) == 1 else None), asked


def _untranslatable(entry: Entry, name: str, value: Any, knobs: Mapping[str, Knob]) -> Issue:
    shown = name.rpartition(".")[2]
    other = next((rate for rate in _RATES if rate != name and rate in knobs), None)
    if name in _RATES and other is not None:
        wants = "a multiplier of a rate that it does not publish" if other == _RATES[1] else "a rate itself"
        return Issue(
            code="hyperparameters.rate-kind",
            message=f"{name} is {value:g}, but {entry.name} takes {other}, {wants}: one cannot be turned into the other.",
            fix=f"leave {name} unset, or set {other} ({knobs[other].range}).",
        )
    can = ", ".join(known.rpartition(".")[2] for known in knobs)
    return Issue(
        code="hyperparameters.untranslatable",
        message=f"{shown} is {value!r}, but {entry.name} ({entry.ref}) has no such setting.",
        fix=f"leave it unset; this model has: {can or 'none'}.",
    )


def _default(entry: Entry, name: str, knob: Knob, rows: int) -> str:
    if knob.default is None:
        return "the provider's default, which it does not publish"
    if knob.default != "auto":
        return f"the provider's default; it takes {knob.range} ({knob.source.title})"
    if name == "epochs":
        guess = _epochs(entry, "auto", "sft", rows)
        return f"the provider chooses; our guess: {guess.likely:g} ({_whose(entry)})"
    return "the provider chooses, and does not publish how"


def _epochs(entry: Entry, value: Any, objective: str, rows: int) -> Epochs:
    if isinstance(value, (int, float)):
        return Epochs.exactly(value)
    if entry.backend in {"openai", "azure"}:
        usual, least, most, top = _COOKBOOK
        guess = float(usual)
        if rows and rows * usual < least:
            guess = float(min(top, math.ceil(least / rows)))
        elif rows * usual > most:
            guess = float(max(1, most // rows))
    else:
        guess = float(practice(objective, "lora", rows)["epochs"][0])
    return Epochs(max(1.0, guess // 2), guess, guess + max(1.0, guess // 3))


def _whose(entry: Entry) -> str:
    if entry.backend in {"openai", "azure"}:
        return "by the rule in OpenAI's cookbook, Data preparation and analysis for chat model fine-tuning"
    return "by what is usual for so many rows"


def _doubtful_limits(entry: Entry, objective: str, rows: int) -> list[Issue]:
    found: list[Issue] = []
    for name, amount in entry.amounts_for(objective).items():
        if amount.source.sure != "unconfirmed" or name not in _LIMIT_WORDS or not rows:
            continue
        if rows < amount.value if name == "min_rows" else rows > amount.value:
            rule = _LIMIT_WORDS[name].format(int(amount.value))
            found.append(
                Issue(
                    code="target.doubtful-limit",
                    severity="warning",
                    message=f"{rows:,} training rows: {entry.name} is said to take {rule} ({amount.source}).",
                    fix="look it up before you upload; your own catalog.yaml may settle it.",
                )
            )
    return found
