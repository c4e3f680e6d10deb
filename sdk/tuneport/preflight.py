"""The plan: everything that can be known before anything is spent, and every problem at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tuneport import registry
from tuneport.backend import Resolved
from tuneport.dataset.core import Dataset
from tuneport.dataset.issues import Issue, errors, summarise
from tuneport.dataset.read import describe
from tuneport.dataset.split import split
from tuneport.errors import BudgetExceededError, DatasetError, PlanError, TuneportError
from tuneport.result import HyperparameterNote
from tuneport.spec import FineTuneSpec

FEW_ROWS = 50  # below this, most providers and the field's guides advise to collect more first


class Plan(BaseModel):
    """What `create` would do. `issues` with severity error stop it."""

    model_config = ConfigDict(frozen=True)

    model: str
    dataset: str
    dialect: str
    fingerprint: str
    objective: dict[str, Any]
    method: dict[str, Any]
    splits: dict[str, int]
    hyperparameters: list[HyperparameterNote] = Field(description="requested and effective, and why where they differ")
    steps: int | None = None
    issues: list[Issue] = Field(default_factory=list[Issue])
    warnings: list[str] = Field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not errors(self.issues)


@dataclass
class Prepare:
    """A plan together with the rows that it is about."""

    plan: Plan
    spec: FineTuneSpec
    resolved: Resolved | None
    parts: Mapping[str, list[Mapping[str, Any]]] = field(default_factory=dict[str, list[Mapping[str, Any]]])

    def demand(self) -> Resolved:
        """The resolved fields; raises PlanError with every problem where one stops the job."""
        stopping = errors(self.plan.issues)
        if stopping or self.resolved is None:
            over_budget = any(issue.code.startswith("budget.") for issue in stopping)
            raise (BudgetExceededError if over_budget else PlanError)(
                summarise(stopping), problems=[str(issue) for issue in stopping]
            )
        return self.resolved


def build_spec(model: str, dataset: Any, **fields: Any) -> FineTuneSpec:
    """A spec from what a caller gave: data is described, not embedded. Unset (None) fields stay unset."""
    given = {key: value for key, value in fields.items() if value is not None}
    for key in ("validation", "test"):
        value = given.get(key)
        if value is not None and not isinstance(value, (int, float)):
            given[key] = value.source if isinstance(value, Dataset) else describe(value)
    source = dataset.source if isinstance(dataset, Dataset) else describe(dataset)
    return FineTuneSpec.parse({"model": model, "dataset": source, **given})


def prepare(spec: FineTuneSpec, dataset: Any, validation: Any = None, test: Any = None) -> Prepare:
    """Read, check, split and resolve. Problems are gathered in the plan; only an unknown backend raises at once."""
    backend = registry.get(spec.model_id.backend)
    issues = list(backend.check(spec))
    data = _load(dataset, issues)
    parts: dict[str, list[Mapping[str, Any]]] = {"train": [], "validation": [], "test": []}
    if data is not None:
        parts = split(
            data.rows,
            validation=validation if isinstance(validation, float) else None,
            test=test if isinstance(test, float) else None,
            seed=spec.seed,
        )
    for name, source in (("validation", validation), ("test", test)):
        if source is not None and not isinstance(source, float) and (held := _load(source, issues)) is not None:
            parts[name] = list(held.rows)
    issues.extend(_across(parts, data))
    if spec.budget_usd is not None:
        issues.extend(_budget(spec))
    splits = {name: len(rows) for name, rows in parts.items() if rows}
    resolved = None
    if not errors(issues):
        try:
            resolved = backend.resolve(spec, splits)
        except TuneportError as error:
            issues.append(Issue(code="plan.unresolved", message=error.message))
    method = resolved.method if resolved else spec.method
    plan = Plan(
        model=spec.model,
        dataset=spec.dataset,
        dialect=data.dialect if data else "unknown",
        fingerprint=data.fingerprint if data else "",
        objective=spec.objective.model_dump(mode="json"),
        method=method.model_dump(mode="json") if method else {},
        splits=splits,
        hyperparameters=list(resolved.notes) if resolved else [],
        steps=resolved.steps if resolved else None,
        issues=issues,
        warnings=[str(i) for i in issues if i.severity == "warning"] + list(resolved.warnings if resolved else []),
    )
    return Prepare(plan=plan, spec=spec, resolved=resolved, parts=parts)


def plan(model: str, dataset: Any, **fields: Any) -> Plan:
    """The same arguments as `FineTuneJob.create`; spends nothing and writes nothing."""
    spec = build_spec(model, dataset, **fields)
    return prepare(spec, dataset, fields.get("validation"), fields.get("test")).plan


def _load(source: Any, issues: list[Issue]) -> Dataset | None:
    try:
        data = Dataset.of(source)
    except DatasetError as error:
        issues.append(Issue(code="file.unreadable", message=error.message))
        return None
    issues.extend(data.issues)
    return data


def _across(parts: Mapping[str, list[Mapping[str, Any]]], data: Dataset | None) -> list[Issue]:
    issues: list[Issue] = []
    train = parts["train"]
    if data is not None and not train and not errors(data.issues):
        issues.append(Issue(code="split.no-training", message=f"{data.source}: no row is left to train on."))
    elif data is not None and 0 < len(train) < FEW_ROWS:
        issues.append(
            Issue(
                code="file.few-rows",
                severity="warning",
                message=f"{len(train)} training rows: 50 to 100 are the least that help, 500 and more are good.",
                source=data.source,
            )
        )
    seen = {row["hash"]: row["row"] for row in train}
    for name in ("validation", "test"):
        shared = [row["row"] for row in parts[name] if row["hash"] in seen]
        if shared:
            shown = ", ".join(str(row) for row in shared[:10])
            issues.append(
                Issue(
                    code="split.leak",
                    severity="error" if name == "test" else "warning",
                    message=f"{len(shared)} {name} rows are also training rows (rows {shown}).",
                    fix=f"remove them from one of the two: a {name} set must be unseen.",
                )
            )
    return issues


def _budget(spec: FineTuneSpec) -> list[Issue]:
    if spec.model_id.backend == "local":
        return []  # nothing is billed by a provider
    return [
        Issue(
            code="budget.unknown-price",
            message=f"budget_usd is {spec.budget_usd}, but the price of {spec.model} is unknown.",
            fix="leave budget_usd unset.",
        )
    ]
