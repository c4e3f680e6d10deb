"""The plan: everything that can be known before anything is spent, and every problem at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tuneport import catalog, estimates, registry, webhook
from tuneport.backend import Backend, Estimate, Estimates, HasTarget, Resolved
from tuneport.dataset import validation as checking
from tuneport.dataset.checks.base import Context, Limits, Target
from tuneport.dataset.checks.file import LEAST_HELD_OUT, uncertainty
from tuneport.dataset.core import Dataset
from tuneport.dataset.fix import FixReport, fixed_rows, write_fixed
from tuneport.dataset.issues import Issue, errors, summarise
from tuneport.dataset.mix import mix
from tuneport.dataset.read import describe
from tuneport.dataset.repairs import redact_row
from tuneport.dataset.report import Score, ValidationReport
from tuneport.dataset.split import split
from tuneport.errors import (
    BudgetExceededError,
    DatasetError,
    NotInstalledError,
    PlanError,
    SpecError,
    TuneportError,
)
from tuneport.result import HyperparameterNote, LedgerTotals
from tuneport.spec import FineTuneSpec, ModelId
from tuneport.strict import Strict, suggest

Rows = list[Mapping[str, Any]]
Privacy = Literal["block", "redact", "allow"]

_GUESSED = 0.15  # how far tokens that were estimated by their characters may be off


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
    ledger: LedgerTotals | None = Field(default=None, description="where the rows of the file would go")
    tokens: dict[str, Any] = Field(
        default_factory=dict, description="of the file: total, trainable, how they were counted"
    )
    score: Score | None = None
    privacy: Privacy = "block"
    redacted: int = Field(default=0, description="rows in which something was redacted")
    mixed: int = Field(default=0, description="general rows among the training rows")
    memory: str | None = None
    memory_bytes: int | None = None
    fits: bool | None = None
    time: str | None = None
    money: estimates.Money | None = Field(default=None, description="None for a local job: no provider bills it")
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
    parts: Mapping[str, Rows] = field(default_factory=dict[str, Rows])

    def demand(self) -> Resolved:
        """The resolved fields; raises PlanError with every problem where one stops the job."""
        stopping = errors(self.plan.issues)
        if stopping or self.resolved is None:
            over_budget = any(issue.code.startswith("budget.") for issue in stopping)
            raise (BudgetExceededError if over_budget else PlanError)(
                summarise(stopping), problems=[str(issue) for issue in stopping]
            )
        name = self.spec.model_id.backend
        registry.get(name)  # what can be planned for need not be installed: says what is missing
        return self.resolved


def build_spec(model: str, dataset: Any, **fields: Any) -> FineTuneSpec:
    """A spec from what a caller gave: data is described, not embedded. Unset (None) fields stay unset."""
    given = {key: value for key, value in fields.items() if value is not None}
    for key in ("validation", "test"):
        value = given.get(key)
        if value is not None and not isinstance(value, (int, float)):
            given[key] = value.source if isinstance(value, Dataset) else describe(value)
    if isinstance(given.get("options"), Strict):
        given["options"] = given["options"].model_dump(mode="json", exclude_none=True)
    source = dataset.source if isinstance(dataset, Dataset) else describe(dataset)
    return FineTuneSpec.parse({"model": model, "dataset": source, **given})


# The checks


def validate(
    data: Any,
    target: str | None = None,
    objective: Any = None,
    *,
    validation: Any = None,
    test: Any = None,
    privacy: Privacy = "block",
    max_length: int | None = None,
    group_key: str | None = None,
    grader: Mapping[str, Any] | None = None,
    workers: int | None = None,
    ray: bool = False,
    progress: checking.Progress | None = None,
) -> ValidationReport:
    """Every problem of `data` (whatever a dataset can be read from), and what `target` ("<backend>:<model>") would say to it.

    `objective`: an objective or its kind; unset, the one that the rows are written for. `validation` and `test` are checked
    too, and for leakage. `max_length` in tokens; `group_key` names what must not cross splits. `workers` unset: one for each
    core where the file is large. Spends nothing and sends nothing. Raises DatasetError where nothing can be read at all.
    """
    kind = _kind(objective)
    context = _context(target, kind, privacy, max_length, group_key, grader or getattr(objective, "grader", None))
    report = checking.run(
        data,
        context,
        validation=validation,
        test=test,
        objective=kind,
        workers=workers,
        ray=ray,
        progress=progress,
    )

    def fixed() -> Dataset:
        rows, changes = fixed_rows(_readable(data), replace(context, objective=report.objective))
        made = Dataset(rows, name=f"{report.source}, repaired")
        made.changes = changes
        return made

    return report.with_fixer(fixed)


def fix(
    data: Any,
    out: str | Path,
    target: str | None = None,
    objective: Any = None,
    *,
    privacy: Privacy = "block",
    max_length: int | None = None,
    progress: checking.Progress | None = None,
) -> FixReport:
    """Write the repaired rows to `out`: what a program can mend is mended, what it cannot is left out; both are listed."""
    kind = _kind(objective) or checking.objective_of(_readable(data))
    context = _context(target, kind, privacy, max_length, None, None)

    def said(done: int, rows: int) -> None:
        if progress is not None:
            progress(done, None, rows)

    return write_fixed(_readable(data), out, replace(context, objective=kind), progress=said)


def target_of(model: str, objective: str | None) -> Target:
    """What rows for `model` must keep to, by its backend or else by the catalog. SpecError where neither knows it."""
    parts = ModelId.split(model)
    if parts.backend in registry.available():
        backend = registry.get(parts.backend)
        if isinstance(backend, HasTarget):
            return backend.target(parts.model, objective or "sft")
    elif catalog.find(model) is None:
        registry.get(parts.backend)  # raises, and names those that there are
    found = estimates.target(model, objective or "sft")
    if found is not None:
        return found
    entry = catalog.find(model)
    limits = Limits()
    if entry is not None and objective is None and entry.objectives:
        first = next(iter(entry.objectives))
        return estimates.target(model, first) or Target(model=model, limits=limits)
    return Target(model=model, limits=limits)


def _context(
    target: str | None,
    objective: str | None,
    privacy: Privacy,
    max_length: int | None,
    group_key: str | None,
    grader: Mapping[str, Any] | None,
) -> Context:
    return Context(
        objective=objective or "sft",
        target=None if target is None else target_of(target, objective),
        grader=grader,
        privacy=privacy,
        max_length=max_length,
        group_key=group_key,
    )


def _kind(objective: Any) -> str | None:
    return objective if objective is None or isinstance(objective, str) else str(objective.kind)


def _readable(data: Any) -> Any:
    return data.unread if isinstance(data, Dataset) else data


# The plan


def prepare(spec: FineTuneSpec, dataset: Any, validation: Any = None, test: Any = None) -> Prepare:
    """Read, check, split, mix and resolve. Problems are gathered in the plan; only an unknown backend raises at once."""
    backend, entry = _backend(spec.model), catalog.find(spec.model)
    issues = list(backend.check(spec)) if backend is not None else []
    if entry is None and (near := catalog.entries(spec.model_id.backend)):
        issues.append(
            Issue(
                code="model.unknown",
                severity="warning",
                message=f"{spec.model} is not in the catalog of models that can be tuned: "
                f"{suggest(spec.model_id.model, [known.id for known in near])}",
                fix="see tuneport models; a model of your own goes into catalog.yaml.",
            )
        )
    if spec.webhook is not None and (words := webhook.problem(spec.webhook)):
        issues.append(Issue(code="webhook.unusable", message=words))
    given = {"validation": validation, "test": test}
    data = _load(dataset, issues, spec.group_by)
    held = {
        name: loaded
        for name, source in given.items()
        if source is not None and not isinstance(source, float) and (loaded := _load(source, issues, spec.group_by))
    }
    report = None if data is None else _checked(data, held, spec, issues)
    parts: dict[str, Rows] = {"train": [], "validation": [], "test": []}
    if data is not None:
        fractions = {name: value if isinstance(value, float) else None for name, value in given.items()}
        parts = split(data.rows, validation=fractions["validation"], test=fractions["test"], seed=spec.seed)
        issues += [
            Issue(
                code="split.small-test",
                severity="warning",
                message=f"a fraction of {fraction:g} gave {len(parts[name])} {name} rows: a share of one half is known to "
                f"±{uncertainty(len(parts[name]))} points (95% interval).",
                fix="hold out more, or more rows.",
            )
            for name, fraction in fractions.items()
            if fraction is not None and 0 < len(parts[name]) < LEAST_HELD_OUT
        ]
        parts |= {name: list(loaded.rows) for name, loaded in held.items()}
        if not parts["train"] and not errors(data.issues):
            issues.append(Issue(code="split.no-training", message=f"{data.source}: no row is left to train on."))
    own = len(parts["train"])
    if spec.mix is not None and (general := _load(spec.mix.source, issues, None)) is not None:
        parts["train"], said = mix(
            parts["train"],
            general.rows,
            source=spec.mix.source,
            fraction=spec.mix.fraction,
            seed=spec.seed,
            held_out=[*parts["validation"], *parts["test"]],
        )
        issues += said
    redacted = 0
    if spec.privacy == "redact":
        parts, redacted = _redact(parts)
    splits = {name: len(rows) for name, rows in parts.items() if rows}
    resolved, settings = _resolve(spec, splits, backend, entry, issues)
    share = len(parts["train"]) / max(1, report.rows) if report is not None else 0.0
    tokens = dict(report.stats.get("tokens", {})) if report is not None else {}
    estimate = _estimate(backend, spec, resolved, tokens, share)
    if estimate.fits is False:
        issues.append(Issue(code="memory.too-little", severity="warning", message=f"{estimate.memory}."))
    money = _money(entry, spec, settings, tokens, splits, share)
    if spec.budget_usd is not None and spec.model_id.backend != "local":
        issues += estimates.budget(spec.budget_usd, entry, money, spec.model)
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
        ledger=report.ledger if report else None,
        tokens={
            key: tokens[key] for key in ("total", "trainable", "counted", "tokenizer", "percentiles") if key in tokens
        },
        score=report.score if report else None,
        privacy=spec.privacy,
        redacted=redacted,
        mixed=len(parts["train"]) - own,
        memory=estimate.memory,
        memory_bytes=estimate.memory_bytes,
        fits=estimate.fits,
        time=estimate.time,
        money=money,
        issues=issues,
        warnings=[str(i) for i in issues if i.severity == "warning"] + list(resolved.warnings if resolved else []),
    )
    return Prepare(plan=plan, spec=spec, resolved=resolved, parts=parts)


def plan(model: str, dataset: Any, **fields: Any) -> Plan:
    """The same arguments as `FineTuneJob.create`; spends nothing and writes nothing."""
    spec = build_spec(model, dataset, **fields)
    return prepare(spec, dataset, fields.get("validation"), fields.get("test")).plan


def _backend(model: str) -> Backend | None:
    """None for a model that the catalog knows and no backend here serves: it can be planned for."""
    name = ModelId.split(model).backend
    try:
        return registry.get(name)
    except (SpecError, NotInstalledError):
        if catalog.entries(name):
            return None
        raise


def _load(source: Any, issues: list[Issue], group_by: str | None) -> Dataset | None:
    try:
        return Dataset.of(source, group_by=group_by)
    except DatasetError as error:
        issues.append(Issue(code="file.unreadable", message=error.message))
        return None


def _checked(
    data: Dataset, held: Mapping[str, Dataset], spec: FineTuneSpec, issues: list[Issue]
) -> ValidationReport | None:
    kind = spec.objective.kind
    try:
        target = target_of(spec.model, kind)
    except TuneportError:  # the backend has said why; the data's own problems are told beside it
        target = None
    context = Context(
        objective=kind,
        target=target,
        grader=getattr(spec.objective, "grader", None),
        privacy=spec.privacy,
        seed=spec.seed,
        max_length=spec.hyperparameters.max_length,
        group_key=spec.group_by,
    )
    try:
        report = checking.run(data, context, validation=held.get("validation"), test=held.get("test"), objective=kind)
    except TuneportError as error:
        issues.append(Issue(code="file.unreadable", message=error.message))
        return None
    issues += report.issues
    for line in report.not_checked:
        # Data that leaves the house unread is what `privacy="block"` is there to prevent.
        stops = line.startswith("privacy:") and spec.privacy == "block" and target is not None and target.cloud
        issues.append(
            Issue(
                code="plan.not-checked",
                severity="error" if stops else "warning" if target is None or target.cloud else "info",
                message=f"not checked: {line}.",
                fix="install what is missing, or set privacy='allow'." if stops else "install what is missing.",
            )
        )
    return report


def _redact(parts: Mapping[str, Rows]) -> tuple[dict[str, Rows], int]:
    missing = [package for package in ("stdnum", "phonenumbers") if find_spec(package) is None]
    if missing:
        raise NotInstalledError(
            f"privacy='redact' needs {' and '.join(missing)}: pip install 'tuneport[data]'", extra="data"
        )
    count = 0
    made: dict[str, Rows] = {}
    for name, rows in parts.items():
        made[name] = [redact_row(row) for row in rows]
        count += sum(before != after for before, after in zip(rows, made[name], strict=True))
    return made, count


def _resolve(
    spec: FineTuneSpec,
    splits: Mapping[str, int],
    backend: Backend | None,
    entry: catalog.Entry | None,
    issues: list[Issue],
) -> tuple[Resolved | None, estimates.CloudSettings | None]:
    settings = None
    if entry is not None:
        settings = estimates.resolve_cloud(entry, spec, splits)
        issues += settings.issues
    if backend is None:
        if settings is None:
            issues.append(Issue(code="model.unknown", message=f"{spec.model} is not in the catalog: tuneport models."))
            return None, None
        named = [note.model_copy() for note in settings.notes]
        return Resolved(spec.method, settings.hyperparameters, named, settings.steps), settings
    if errors(issues):
        return None, settings
    try:
        resolved = backend.resolve(spec, splits)
        said = {str(issue) for issue in issues}
        return replace(resolved, warnings=[line for line in resolved.warnings if line not in said]), settings
    except TuneportError as error:
        issues.append(Issue(code="plan.unresolved", message=error.message))
        return None, settings


def _estimate(
    backend: Backend | None, spec: FineTuneSpec, resolved: Resolved | None, tokens: Mapping[str, Any], share: float
) -> Estimate:
    able: Any = backend
    if not isinstance(able, Estimates):
        return Estimate(time=estimates.UNPUBLISHED.words())
    if resolved is None or not tokens:
        return Estimate()
    return able.estimate(spec, resolved, {**tokens, "total": round(tokens.get("total", 0) * share)})


def _money(
    entry: catalog.Entry | None,
    spec: FineTuneSpec,
    settings: estimates.CloudSettings | None,
    tokens: Mapping[str, Any],
    splits: Mapping[str, int],
    share: float,
) -> estimates.Money | None:
    if entry is None or settings is None or not tokens or spec.objective.kind not in entry.objectives:
        return None
    spread = 0.0 if tokens.get("counted") == "exact" else _GUESSED
    counted = estimates.Tokens(
        rows=splits.get("train", 0),
        tokens=round(tokens.get("total", 0) * share),
        trainable=round(tokens.get("trainable", 0) * share),
        spread=spread,
    )
    return estimates.money(entry, spec.objective.kind, counted, settings.epochs)
