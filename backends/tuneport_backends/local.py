"""The local engine as a backend: the only module that knows `tuneport_local`, and it starts it as a child.

In the order of every backend here: what it can do, check, resolve, submit and adopt, follow, end, result, models, doctor.
"""

from __future__ import annotations

import json
import math
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tuneport import estimates
from tuneport.backend import (
    Capabilities,
    ChatSession,
    Demo,
    Diagnosis,
    Estimate,
    Prepared,
    Ref,
    Resolved,
    Snapshot,
    Support,
    Unsupported,
    refusals,
)
from tuneport.dataset.checks.base import Limits, Target
from tuneport.dataset.issues import Issue
from tuneport.errors import JobError, ModelError, TuneportError
from tuneport.home import home
from tuneport.methods import METHODS, LoRA, Method
from tuneport.objectives import OBJECTIVES
from tuneport.result import (
    Artifact,
    Checkpoint,
    DatasetInfo,
    FineTuneResult,
    HyperparameterNote,
    ModelRef,
    Usage,
)
from tuneport.scoring.harness import HarnessScores, from_child
from tuneport.spec import FineTuneSpec, Hyperparameters
from tuneport.status import Event
from tuneport_local import config as files
from tuneport_local import devices, layout, supervisor
from tuneport_local.config import RunConfig, RunReport

_NEXT = "a later release of the local engine"
_UNSUPPORTED_OBJECTIVES: Mapping[str, Support] = {
    "cpt": Unsupported("plain text is not packed yet", _NEXT),
    "dpo": Unsupported("preference rows are not read yet", _NEXT),
    "orpo": Unsupported("preference rows are not read yet", _NEXT),
    "rlhf": Unsupported("no reward model is trained yet", _NEXT),
    "reinforcement": Unsupported("no grader is run yet", _NEXT),
}
_UNSUPPORTED_METHODS: Mapping[str, Support] = {
    "adapters": Unsupported("peft has no bottleneck adapter, and ours is not written yet", _NEXT),
    "prefix-tuning": Unsupported("it is not wired to the trainer yet", _NEXT),
    "prompt-tuning": Unsupported("it is not wired to the trainer yet", _NEXT),
    "ia3": Unsupported("it is not wired to the trainer yet", _NEXT),
}
_LONGEST = 2048  # tokens of a row unless asked for more: attention's cost grows with the square
_OPTIONS = {"trust_remote_code": "true or false", "threads": "a whole number of 1 or more"}


class LocalBackend:
    """Trains on this machine, through transformers, peft, trl and bitsandbytes, in processes that outlive the caller."""

    name = "local"

    def capabilities(self) -> Capabilities:
        return Capabilities(
            objectives={kind: _UNSUPPORTED_OBJECTIVES.get(kind) for kind in OBJECTIVES},
            methods={kind: _UNSUPPORTED_METHODS.get(kind) for kind in METHODS},
            features={
                "cancel": None,
                "pause": Unsupported(
                    "a local job is cancelled and resumed instead; nothing is lost", "nothing: by design"
                ),
                "resume": None,
                "checkpoints": None,
                "events": None,
                "chat": None,
                "deploy": Unsupported("a local model answers where it lies, without deployment", "nothing: by design"),
                "import-model": Unsupported("a directory is used as it is", "nothing: by design"),
                "estimate": None,
                "mix": None,
            },
            options=tuple(_OPTIONS),
        )

    def check(self, spec: FineTuneSpec) -> list[Issue]:
        issues = refusals(self.capabilities(), spec, self.name)
        try:
            layout.resolve(spec.model_id.model)
        except ModelError as error:
            issues.append(Issue(code="model.unusable", message=error.message))
        try:
            chosen = devices.choose(spec.resources)
        except TuneportError as error:
            issues.append(Issue(code="resources.devices", message=error.message))
        else:
            if len(chosen) > 1 or spec.resources.processes > 1:
                issues.append(
                    Issue(
                        code="resources.several",
                        message=f"{len(chosen)} devices and {spec.resources.processes} processes are asked for: the local "
                        "engine trains in one process on one device so far.",
                        fix="leave resources unset, or name one device.",
                    )
                )
        wanted = spec.hyperparameters
        if wanted.learning_rate_multiplier is not None:
            issues.append(
                Issue(
                    code="hyperparameters.multiplier",
                    message=f"learning_rate_multiplier is {wanted.learning_rate_multiplier}: a provider's scale, "
                    "not a rate.",
                    fix="give learning_rate for a local job.",
                )
            )
        if wanted.early_stopping_patience is not None and spec.validation is None:
            issues.append(
                Issue(
                    code="hyperparameters.early-stopping",
                    message="early stopping needs a validation split to watch.",
                    fix="set validation, for example validation=0.1.",
                )
            )
        if spec.integrations:
            issues.append(Issue(code="unsupported.integrations", message="integrations are for hosted providers only."))
        issues.extend(_options(spec.options))
        return issues

    def target(self, model: str, objective: str) -> Target:  # noqa: ARG002  (a local model takes rows of any objective)
        path = layout.resolve(model)
        tokenizer = path / "tokenizer.json"
        return Target(
            model=f"local:{model}",
            limits=Limits(max_tokens=layout.context_length(path)),
            cloud=False,
            tokenizer=str(tokenizer) if tokenizer.exists() else None,
            rendering="tuneport_local.rendering:template_check",
        )

    def estimate(self, spec: FineTuneSpec, resolved: Resolved, tokens: Mapping[str, Any]) -> Estimate:
        device = next(d for d in devices.detect() if d.name == devices.choose(spec.resources)[0])
        values, method = resolved.hyperparameters, resolved.method
        percentiles: Mapping[str, int] = tokens.get("percentiles", {})
        request = estimates.Request(
            shape=estimates.shape_of(layout.resolve(spec.model_id.model)),
            method=method.kind if method is not None else "lora",
            rank=getattr(method, "rank", 16),
            precision=values["precision"],
            micro_batch=values["micro_batch_size"],
            length=max(1, min(values["max_length"], percentiles.get("max", values["max_length"]))),
            checkpointing=bool(values["gradient_checkpointing"]),
            gpu=device.kind != "cpu",
            validates=spec.validation is not None,
        )
        needed = estimates.memory(request)
        fits, words = estimates.fits(needed, device.memory_bytes)
        passes = values["epochs"]
        if values["max_steps"] and resolved.steps:
            rows = tokens.get("rows") or 1
            passes = values["max_steps"] * values["batch_size"] / rows
        took = estimates.local(request, round(tokens.get("total", 0) * passes), device.model if request.gpu else "cpu")
        return Estimate(
            memory=words if not fits else f"{needed.words()}; {words}",
            memory_bytes=needed.total,
            fits=fits,
            time=took.words(),
        )

    def resolve(self, spec: FineTuneSpec, splits: Mapping[str, int]) -> Resolved:
        path = layout.resolve(spec.model_id.model)
        recommended = layout.recommended(path)
        method = spec.method or _method(recommended)
        wanted = spec.hyperparameters.model_dump()
        chosen: dict[str, Any] = {}
        notes: list[HyperparameterNote] = []
        if spec.method is None:
            notes.append(
                HyperparameterNote(name="method", effective=method.kind, reason="LoRA is the local engine's default")
            )

        def settle(name: str, default: Any, why: str) -> Any:
            value, reason = wanted.get(name), ""
            if value is None:
                value, reason = default, why
                if name in recommended and (name != "learning_rate" or method.kind != "full"):
                    value, reason = recommended[name], "recommended by the model's own tuneport.json"
            chosen[name] = value
            notes.append(HyperparameterNote(name=name, requested=wanted.get(name), effective=value, reason=reason))
            return value

        rows = splits.get("train", 0)
        gpu = devices.choose(spec.resources)[0] != "cpu"
        settle("epochs", 3.0, "1 to 5 passes suit most fine-tunes")
        settle("max_steps", None, "epochs decide")
        batch = settle("batch_size", max(1, min(8, rows)), "8, or all rows where there are fewer")
        micro = settle("micro_batch_size", math.gcd(batch, 8) if batch > 8 else batch, "at most 8 rows at once")
        if batch % micro:
            raise ModelError(f"batch_size {batch} is not a multiple of micro_batch_size {micro}: change one of them.")
        full = method.kind == "full"
        settle("learning_rate", 2e-5 if full else 2e-4, "1e-5 to 5e-5 for full tuning, about ten times that for LoRA")
        settle("scheduler", "cosine", "decays smoothly to zero")
        settle("warmup_ratio", 0.03, "a short warm-up keeps the first steps small")
        settle("weight_decay", 0.0, "few epochs need none")
        settle("max_grad_norm", 1.0, "the field's usual clip")
        context = layout.context_length(path)
        length = settle("max_length", min(context or _LONGEST, _LONGEST), f"the model's context, {_LONGEST} at most")
        if context is not None and length > context:
            raise ModelError(f"max_length is {length}, but the model's context holds {context} tokens: lower it.")
        settle("truncation", "drop", "a row whose whole answer would be cut off teaches nothing")
        settle("eval_steps", None, "once an epoch")
        settle("checkpoint_steps", None, "once an epoch")
        settle("early_stopping_patience", None, "off unless asked for")
        settle("early_stopping_threshold", 0.0, "any improvement counts")
        settle("gradient_checkpointing", gpu, "saves memory on a GPU; on a CPU it only costs time")
        settle("precision", "bf16" if gpu else "fp32", "bf16 on a GPU, fp32 on a CPU")
        per_epoch = math.ceil(rows / batch) if batch else 0
        steps = chosen["max_steps"] or math.ceil(per_epoch * chosen["epochs"])
        warnings = estimates.departures(
            {name: value for name, value in wanted.items() if value is not None}, spec.objective.kind, method, rows
        )
        return Resolved(method=method, hyperparameters=chosen, notes=notes, steps=steps, warnings=warnings)

    def submit(self, prepared: Prepared) -> Ref:
        spec, values = prepared.spec, dict(prepared.resolved.hyperparameters)
        run = RunConfig(
            job_id=prepared.job_id,
            model_path=str(layout.resolve(spec.model_id.model)),
            objective=spec.objective.model_dump(mode="json"),
            method=(prepared.resolved.method or LoRA()).model_dump(mode="json"),
            seed=spec.seed,
            devices=devices.choose(spec.resources),
            trust_remote_code=bool(spec.options.get("trust_remote_code", False)),
            threads=spec.options.get("threads"),
            **{key: value for key, value in values.items() if value is not None},
        )
        run.save(prepared.directory / files.CONFIG)
        supervisor.start(prepared.directory, home(), attempt=1)
        return self._ref(prepared.directory)

    def adopt(self, tag: str, directory: Path) -> Ref | None:  # noqa: ARG002  (the directory is the tag's own)
        return self._ref(directory) if (directory / files.STATE).exists() else None

    def _ref(self, directory: Path) -> Ref:
        return {"directory": str(directory), "host": socket.gethostname()}

    def resume(self, ref: Ref, attempt: int) -> Ref:
        supervisor.start(_directory(ref), home(), attempt=attempt)
        return ref

    def snapshots(self, refs: Sequence[Ref]) -> list[Snapshot]:
        found: list[Snapshot] = []
        for ref in refs:
            state = supervisor.read_state(_directory(ref))
            found.append(
                Snapshot(
                    status=state.status,
                    raw=state.status.value,
                    reason=state.reason,
                    attempt=state.attempt,
                    resumable=state.resumable,
                    detail={"devices": state.devices, "trainer_pid": state.trainer_pid},
                )
            )
        return found

    def events(self, ref: Ref, after: int) -> list[Event]:
        return files.read_events(_directory(ref), after)

    def checkpoints(self, ref: Ref) -> list[Checkpoint]:
        from tuneport_local import checkpoint

        return [
            Checkpoint(step=checkpoint.step_of(path) or 0, path=str(path))
            for path in checkpoint.existing(_directory(ref))
        ]

    def cancel(self, ref: Ref) -> None:
        supervisor.cancel(_directory(ref))

    def result(self, ref: Ref) -> FineTuneResult:
        job = _directory(ref)
        report = RunReport.load(job / files.REPORT)
        run = RunConfig.load(job / files.CONFIG)
        state = supervisor.read_state(job)
        spec = FineTuneSpec.from_stored(json.loads((job / files.SPEC).read_text(encoding="utf-8")))
        plan = json.loads((job / "plan.json").read_text(encoding="utf-8"))
        artifacts = [Artifact(kind="ledger", path=str(job / files.LEDGER)), *report.artifacts]
        return FineTuneResult(
            job_id=run.job_id,
            backend=self.name,
            base_model=spec.model,
            model=ModelRef(
                backend=self.name,
                model=str(job / files.ARTIFACTS),
                base=run.model_path if report.kind == "adapter" else None,
                kind=report.kind,
            ),
            objective=run.objective,
            method=run.method,
            hyperparameters=_effective(plan["hyperparameters"], report.effective),
            dataset=DatasetInfo(
                source=spec.dataset,
                fingerprint=plan["fingerprint"],
                dialect=plan["dialect"],
                splits=plan["splits"],
                ledger=report.ledger,
                ledger_path=str(job / files.LEDGER),
            ),
            metrics=report.metrics,
            curve=report.curve,
            checkpoints=report.checkpoints,
            trained_tokens=report.trained_tokens,
            test=report.test,
            usage=_usage(state, report),
            timeline=_timeline(state),
            artifacts=artifacts,
            provenance=report.provenance,
            warnings=[*plan.get("warnings", []), *report.warnings],
            raw=report.model_dump(mode="json", exclude={"curve"}),
        )

    def demo(self) -> Demo:
        return Demo(
            model="local:starter",
            dataset=layout.STARTER_DATA / "train.jsonl",
            test=layout.STARTER_DATA / "test.jsonl",
            method=_method(layout.recommended(layout.STARTER)),
            hyperparameters=Hyperparameters(),
            about="free text to a structured record, of a kind that the starter model has never seen",
        )

    def open_model(self, model: str, options: Mapping[str, Any] | None = None) -> ChatSession:  # noqa: ARG002  (all of them are of training)
        from tuneport_backends.local_chat import LocalChat

        path, adapter = _model_and_adapter(model)
        return LocalChat(path, adapter=adapter)

    def harness(
        self,
        model: str,
        tasks: Sequence[str],
        *,
        include_path: Path | None = None,
        limit: int | None = None,
        options: Mapping[str, Any] | None = None,  # noqa: ARG002  (all of them are of training)
    ) -> HarnessScores:
        path, adapter = _model_and_adapter(model)
        command = ["-m", "tuneport_local.harness", "--model", str(path), "--home", str(home())]
        command += ["--tasks", ",".join(tasks)]
        if adapter is not None:
            command += ["--adapter", str(adapter)]
        if include_path is not None:
            command += ["--include-path", str(include_path)]
        if limit is not None:
            command += ["--limit", str(limit)]
        return from_child(command)

    def diagnose(self) -> list[Diagnosis]:
        from importlib.metadata import PackageNotFoundError, version

        lines = [
            Diagnosis(device.name, None, f"{device.model}, {device.memory_bytes / 2**30:.1f} GiB")
            for device in devices.detect()
        ]
        for package in ("torch", "transformers", "peft", "trl", "bitsandbytes"):
            try:
                lines.append(Diagnosis(package, True, version(package)))
            except PackageNotFoundError:
                lines.append(Diagnosis(package, False, "not installed", "pip install 'tuneport[local]'"))
        lines.append(Diagnosis("starter model", (layout.STARTER / "config.json").exists(), str(layout.STARTER)))
        lines.append(Diagnosis("python", None, f"{sys.version.split()[0]} with {os.cpu_count()} CPU cores"))
        return lines


def _model_and_adapter(model: str) -> tuple[Path, Path | None]:
    """The directory of a model, and that of the adapter where `model` names one: its base is what its run says."""
    path = Path(model).expanduser()
    if not (path / "adapter_config.json").exists():
        return layout.resolve(model), None
    run = path.parent / files.CONFIG
    config = json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))
    base = RunConfig.load(run).model_path if run.exists() else str(config["base_model_name_or_path"])
    return layout.resolve(base), path


def _options(given: Mapping[str, Any]) -> list[Issue]:
    issues: list[Issue] = []
    for key, value in given.items():
        if key not in _OPTIONS:
            known = ", ".join(_OPTIONS)
            issues.append(Issue(code="options.unknown", message=f"unknown option {key!r}: known: {known}."))
            continue
        # By type, and strictly: bool("no") is true, and code of a model's own must not run by that.
        fits = isinstance(value, bool) if key == "trust_remote_code" else type(value) is int and value > 0
        if not fits:
            issues.append(
                Issue(code="options.invalid", message=f"option {key!r} is {value!r}.", fix=f"give {_OPTIONS[key]}.")
            )
    return issues


def _directory(ref: Ref) -> Path:
    path = Path(str(ref["directory"]))
    if not path.is_dir():
        raise JobError(f"the job's directory {path} is gone: its files were removed or TUNEPORT_HOME was moved.")
    return path


def _method(recommended: Mapping[str, Any]) -> Method:
    lora = {key: recommended[key] for key in ("rank", "alpha", "dropout") if key in recommended}
    return LoRA(**lora)


def _effective(notes: list[dict[str, Any]], changed: Mapping[str, Any]) -> list[HyperparameterNote]:
    result: list[HyperparameterNote] = []
    for item in notes:
        note = HyperparameterNote.model_validate(item)
        if note.name in changed:
            note = note.model_copy(update={"effective": changed[note.name], "reason": "changed by the trainer"})
        result.append(note)
    return result


def _usage(state: files.State, report: RunReport) -> Usage:
    def seconds(start: datetime | None, end: datetime | None) -> float | None:
        return (end - start).total_seconds() if start is not None and end is not None else None

    running = seconds(state.started_at, state.ended_at)
    return Usage(
        wall_seconds=seconds(state.queued_at, state.ended_at),
        queue_seconds=seconds(state.queued_at, state.started_at),
        device_seconds=running * len(state.devices) if running is not None else None,
        peak_memory_bytes=report.peak_memory_bytes,
        devices=state.devices,
    )


def _timeline(state: files.State) -> dict[str, datetime]:
    times = {"queued": state.queued_at, "started": state.started_at, "ended": state.ended_at}
    return {name: time for name, time in times.items() if time is not None}
