"""What every hosted backend does alike: rows in the provider's dialect, and a result around what the provider says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from tuneport import catalog
from tuneport.backend import Prepared, Ref, Resolved, Snapshot
from tuneport.dataset import dialects
from tuneport.dataset.issues import Issue, errors
from tuneport.dataset.read import iter_lines
from tuneport.errors import JobError, PlanError, RejectedError, RemoteNotFoundError
from tuneport.estimates import CloudSettings, resolve_cloud
from tuneport.result import (
    Artifact,
    Checkpoint,
    Cost,
    CurvePoint,
    DatasetInfo,
    FineTuneResult,
    HyperparameterNote,
    LedgerTotals,
    ModelRef,
    Usage,
)
from tuneport.spec import FineTuneSpec
from tuneport.status import JobStatus
from tuneport_backends.payload import Payload

_LISTED = 4  # jobs; from here one page of the list is cheaper than asking for each
_CANCEL = "cancel-asked"  # a file in the job's directory: the provider accepted a cancel
_OURS = frozenset({"row", "hash", "source", "group"})  # what the compiled rows carry beside the row itself


def settings(spec: FineTuneSpec, splits: Mapping[str, int]) -> CloudSettings:
    """The job's settings in the provider's words, by the catalog. PlanError with every refusal; also for an unknown model."""
    entry = catalog.find(spec.model)
    if entry is None:
        raise PlanError(f"{spec.model} is not in the catalog of models that can be tuned: tuneport models.")
    made = resolve_cloud(entry, spec, splits)
    if stopping := errors(made.issues):
        raise PlanError("; ".join(map(str, stopping)), problems=[str(issue) for issue in stopping])
    return made


def resolved(spec: FineTuneSpec, splits: Mapping[str, int]) -> Resolved:
    """`Backend.resolve` by the catalog. `hyperparameters` hold the provider's names and only what is sent."""
    made = settings(spec, splits)
    warnings = [str(issue) for issue in made.issues]
    return Resolved(spec.method, dict(made.provider), list(made.notes), made.steps, warnings)


def unknown_options(spec: FineTuneSpec, known: Sequence[str]) -> list[Issue]:
    return [
        Issue(code="options.unknown", message=f"unknown option {key!r}: known: {', '.join(known)}.")
        for key in spec.options
        if key not in known
    ]


def address(option: str, url: str, *, instead: str, example: str | None = None, plain: bool = True) -> list[Issue]:
    """What is wrong with an address, which is stored with the job. `instead`: where credentials come from, as a sentence's end.
    `plain`: whether it may be http://."""
    parts = urlsplit(url)
    if parts.scheme not in ({"http", "https"} if plain else {"https"}) or not parts.hostname:
        only = "" if plain else " (http:// only on this machine, since a token is sent there)"
        return [
            Issue(
                code="options.invalid",
                message=f"{option} is {url!r}: it begins with https:// and a host's name{only}.",
                fix=f"write it as in {example}." if example else None,
            )
        ]
    if parts.username or parts.password or parts.query:
        return [
            Issue(
                code="options.secret",
                message=f"{option} holds a user, a password or a query: it is stored with the job, and no credential may be.",
                fix=f"leave them out; {instead}.",
            )
        ]
    return []


def uploads(prepared: Prepared, dialect: str) -> dict[str, Path]:
    """The files to upload, by their splits. RejectedError for a row that cannot be said; PlanError without training rows."""
    found = {split: compiled(prepared.directory, split, dialect) for split in ("train", "validation")}
    paths = {split: path for split, path in found.items() if path is not None}
    if "train" not in paths:
        raise PlanError(f"{prepared.directory} holds no training rows.")
    return paths


def compiled(directory: Path, split: str, dialect: str) -> Path | None:
    """The rows of `split` in `dialect`, as `upload/<split>.jsonl` in the job's directory; None where the split has none.

    Made once and kept, so that a resumed submit sends the same bytes. RejectedError for a row that the dialect cannot say.
    """
    source = directory / f"{split}.jsonl"
    target = directory / "upload" / f"{split}.jsonl"
    if target.exists():
        return target
    if not source.exists():
        return None
    target.parent.mkdir(exist_ok=True)
    writer = dialects.get(dialect)
    temporary = target.with_name(f".{target.name}")
    with temporary.open("wb") as file:
        for row in iter_lines(source):
            said, losses = writer.write({key: value for key, value in row.items() if key not in _OURS})
            if fatal := [loss for loss in losses if loss.fatal]:
                raise RejectedError(f"row {row['row']}: {fatal[0]}. Remove it, or choose another target.")
            file.write(orjson.dumps(said) + b"\n")
    temporary.replace(target)
    return target


def directory_of(ref: Ref) -> Path:
    path = Path(str(ref["directory"]))
    if not path.is_dir():
        raise JobError(f"the job's directory {path} is gone: its files were removed or TUNEPORT_HOME was moved.")
    return path


def spec_in(directory: Path) -> FineTuneSpec:
    return FineTuneSpec.from_stored(json.loads((directory / "spec.json").read_text(encoding="utf-8")))


def snapshots(
    refs: Sequence[Ref],
    *,
    place: Callable[[Ref], Mapping[str, Any]],
    page: Callable[[Ref], Mapping[str, Payload]],
    look: Callable[[Ref, Payload | None], Snapshot],
) -> list[Snapshot]:
    """From one page of the list where there are many in one `place`. `look` is given what the page had of a job, if anything.
    A job that is gone is UNKNOWN, unless it was asked for alone."""
    listed: dict[str, Payload] = {}
    groups: dict[tuple[Any, ...], list[Ref]] = {}
    for ref in refs:
        groups.setdefault(tuple(sorted(place(ref).items())), []).append(ref)
    for group in groups.values():
        if len(group) >= _LISTED:
            listed |= page(group[0])
    found: list[Snapshot] = []
    for ref in refs:
        try:
            found.append(look(ref, listed.get(ref["provider_id"])))
        except RemoteNotFoundError as error:
            if len(refs) == 1:
                raise
            found.append(Snapshot(JobStatus.UNKNOWN, raw="not found", reason=error.message))
    return found


def note_cancel(ref: Ref) -> None:
    """That the provider accepted a cancel, for those whose states do not say so until it is done."""
    directory = Path(ref["directory"])
    if directory.is_dir():
        (directory / _CANCEL).touch()


def cancel_noted(ref: Ref) -> bool:
    return (Path(ref["directory"]) / _CANCEL).exists()


def kept(directory: Path, name: str, table: bytes) -> Artifact:
    """A table of metrics in the job's directory, as the provider's own copy can be deleted."""
    path = directory / "artifacts" / name
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    temporary.write_bytes(table)
    temporary.replace(path)
    return Artifact(kind="metrics", path=str(path), bytes=len(table), sha256=hashlib.sha256(table).hexdigest())


def tuned(
    ref: Ref,
    *,
    model: ModelRef,
    raw: Mapping[str, Any],
    metrics: Mapping[str, float] | None = None,
    curve: Sequence[CurvePoint] = (),
    checkpoints: Sequence[Checkpoint] = (),
    trained_tokens: int | None = None,
    effective: Mapping[str, Any] | None = None,
    timeline: Mapping[str, datetime | None] | None = None,
    cost: float | None = None,
    artifacts: Sequence[Artifact] = (),
    warnings: Sequence[str] = (),
) -> FineTuneResult:
    """The result: what was asked and planned comes from the job's directory, what happened from the provider.

    `effective`: by our names, what the provider says that it used. `timeline`: "created", "started", "ended". `cost`: what
    was billed, where the provider says; else it is reckoned from the trained tokens at the plan's price.
    """
    directory = directory_of(ref)
    spec = spec_in(directory)
    plan: dict[str, Any] = json.loads((directory / "plan.json").read_text(encoding="utf-8"))
    bill: dict[str, Any] = plan.get("money") or {}
    money: dict[str, Any] = bill.get("training") or {}
    times = {name: time for name, time in (timeline or {}).items() if time is not None}
    begun, ended = times.get("started") or times.get("created"), times.get("ended")
    return FineTuneResult(
        job_id=directory.name,
        backend=model.backend,
        provider_id=str(ref.get("provider_id") or "") or None,
        base_model=spec.model,
        model=model.model_copy(update={"options": {**spec.options, **model.options}}),
        objective=spec.objective.model_dump(mode="json"),
        method=plan.get("method") or {},
        hyperparameters=_notes(plan.get("hyperparameters", []), effective or {}),
        dataset=DatasetInfo(
            source=spec.dataset,
            fingerprint=plan["fingerprint"],
            dialect=plan["dialect"],
            splits=plan["splits"],
            ledger={"train": LedgerTotals.model_validate(plan["ledger"])} if plan.get("ledger") else {},
        ),
        metrics=dict(metrics or {}),
        curve=list(curve),
        checkpoints=list(checkpoints),
        trained_tokens=trained_tokens,
        usage=Usage(wall_seconds=(ended - begun).total_seconds() if begun is not None and ended is not None else None),
        cost=Cost(
            estimated=money.get("estimated"),
            actual=cost if cost is not None else _billed(spec, trained_tokens),
            currency=money.get("currency", "USD"),
            price_source=money.get("price_source"),
            price_date=money.get("price_date"),
        ),
        timeline=times,
        artifacts=list(artifacts),
        warnings=[*plan.get("warnings", []), *warnings],
        raw=dict(raw),
    )


def _billed(spec: FineTuneSpec, trained_tokens: int | None) -> float | None:
    entry = catalog.find(spec.model)
    price = entry.price.training if entry is not None else None
    return None if price is None or trained_tokens is None else trained_tokens * price.value / 1_000_000


def _notes(planned: Sequence[Mapping[str, Any]], effective: Mapping[str, Any]) -> list[HyperparameterNote]:
    notes: list[HyperparameterNote] = []
    for item in planned:
        note = HyperparameterNote.model_validate(item)
        value = effective.get(note.name)
        if value is not None and value != note.effective:
            note = note.model_copy(update={"effective": value, "reason": "as the provider says that it used"})
        notes.append(note)
    return notes
