"""The seam: what a backend is. A backend translates; it never sleeps, prints or decides policy.

The core protocol is `Backend`. What only some can do are the small protocols after it; a backend that implements one is found
by `isinstance`. What it cannot do, it declares as `Unsupported` with a reason, before anything is submitted.

The protocol is sync, as boto3 is; the async twins in `job` run it on threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from tuneport.dataset.checks.base import Target
from tuneport.dataset.issues import Issue
from tuneport.methods import Method
from tuneport.result import Checkpoint, FineTuneResult, HyperparameterNote, Message
from tuneport.scoring.harness import HarnessScores
from tuneport.spec import FineTuneSpec, Hyperparameters
from tuneport.status import Event, JobStatus

Ref = Mapping[str, Any]  # the backend's own handle on a job, as JSON; the store keeps it


@dataclass(frozen=True)
class Unsupported:
    """A declared no: why, and what would end it."""

    reason: str
    until: str = ""


Support = Unsupported | None  # None: it can


@dataclass(frozen=True)
class Polling:
    """How often a job may be asked, in seconds: `first` after it was made or changed, growing to `most`.

    `window`: how long the provider's listing may lag behind a create whose reply was lost.
    """

    first: float = 0.25
    most: float = 0.25
    window: float = 0.0


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do, as data. Every kind that `interface` names is a key: nothing is left unsaid."""

    objectives: Mapping[str, Support]
    methods: Mapping[str, Support]
    features: Mapping[str, Support]
    options: Sequence[str] = ()
    polling: Polling = Polling()
    # "own": `events` numbers them itself, from `after` on. "provider": it gives all that the provider has, each with its key,
    # and the job layer numbers, keeps and completes them with what polling sees.
    events: Literal["own", "provider"] = "own"


FEATURES = ("cancel", "pause", "resume", "checkpoints", "events", "chat", "deploy", "import-model", "estimate", "mix")


@dataclass(frozen=True)
class Resolved:
    """What the plan decided for the fields that were left unset: the method, every hyperparameter, and why."""

    method: Method | None  # None: the provider's own, where it does not say which
    hyperparameters: Mapping[str, Any]
    notes: Sequence[HyperparameterNote]
    steps: int | None = None
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Prepared:
    """A job that is ready to submit: everything is checked, compiled and in `directory`."""

    job_id: str
    tag: str
    spec: FineTuneSpec
    resolved: Resolved
    directory: Path
    splits: Mapping[str, int]


@dataclass(frozen=True)
class Snapshot:
    """How a job stands, in our words and in the provider's (`raw`)."""

    status: JobStatus
    raw: str = ""
    reason: str | None = None
    attempt: int = 1
    resumable: bool = False
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])


class ChatSession(Protocol):
    """One model that answers. A session that must be asked one thing at a time has `concurrency = 1`."""

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        temperature: float = 0.0,
        max_tokens: int = 256,
        tools: Sequence[Mapping[str, Any]] | None = None,
        seed: int | None = None,
    ) -> Message: ...

    def close(self) -> None: ...


@runtime_checkable
class Scores(Protocol):
    """A session that can also say how likely a given answer or text is. Natural logarithms; `tokens` were predicted."""

    def score(
        self,
        messages: Sequence[Mapping[str, Any]],
        answer: str,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> tuple[float, int]:
        """Summed -ln p of `answer` after `messages`, its end of turn included, and its tokens."""
        ...

    def score_text(self, text: str) -> tuple[float, int]:
        """Summed -ln p of a plain text, its first token left out where nothing stands before it, and its tokens."""
        ...


class Backend(Protocol):
    name: str

    def capabilities(self) -> Capabilities: ...

    def check(self, spec: FineTuneSpec) -> list[Issue]:
        """Every refusal at once, without spending."""
        ...

    def resolve(self, spec: FineTuneSpec, splits: Mapping[str, int]) -> Resolved:
        """The method and hyperparameters that a job of this size would run with."""
        ...

    def submit(self, prepared: Prepared) -> Ref:
        """Upload, then create with the tag in both; a create is sent once and never retried.

        Raises SubmitUnknownError where its reply was lost. Calling it again for the same tag reuses what was uploaded.
        """
        ...

    def adopt(self, tag: str, directory: Path) -> Ref | None:
        """What a submit whose reply was lost has created; None where there is nothing. Never spends."""
        ...

    def snapshots(self, refs: Sequence[Ref]) -> list[Snapshot]: ...

    def events(self, ref: Ref, after: int) -> list[Event]: ...

    def cancel(self, ref: Ref) -> None: ...

    def result(self, ref: Ref) -> FineTuneResult:
        """Of a job that succeeded."""
        ...


@runtime_checkable
class Resumes(Protocol):
    def resume(self, ref: Ref, attempt: int) -> Ref: ...


@runtime_checkable
class HasCheckpoints(Protocol):
    def checkpoints(self, ref: Ref) -> list[Checkpoint]: ...


@runtime_checkable
class Pauses(Protocol):
    def pause(self, ref: Ref) -> None: ...

    def unpause(self, ref: Ref) -> None: ...


@dataclass(frozen=True)
class Deployment:
    """A tuned model that answers, or would. `per_hour` and `per_month`: its standing cost, used or not; None: unknown."""

    name: str
    kind: str  # the provider's word: on-demand, provisioned, endpoint, …
    status: Literal["offered", "creating", "active", "failed", "deleting"]
    model: str = ""  # what `open_model` is asked for
    per_hour: float | None = None
    per_month: float | None = None
    currency: str = "USD"
    detail: str = ""


@runtime_checkable
class Deploys(Protocol):
    """For a job that succeeded. `options` are the backend's own (`units`, `kind`, …)."""

    def deployment_offer(self, ref: Ref, options: Mapping[str, Any]) -> Deployment:
        """What deploying would make and cost. Spends nothing."""
        ...

    def deploy(self, ref: Ref, options: Mapping[str, Any]) -> Deployment: ...

    def deployments(self, ref: Ref) -> list[Deployment]:
        """What stands now."""
        ...

    def undeploy(self, ref: Ref) -> list[str]:
        """Take down all that `deployments` names; the names."""
        ...


@runtime_checkable
class CleansUp(Protocol):
    def made(self, ref: Ref) -> list[str]:
        """What the job has left at the provider: files, objects, models, each in words that name it."""
        ...

    def clean_up(self, ref: Ref) -> list[str]:
        """Remove what `made` names; what was removed."""
        ...


@runtime_checkable
class OpensModels(Protocol):
    def open_model(self, model: str, options: Mapping[str, Any] | None = None) -> ChatSession:
        """Answers messages; also for models that no job made. `model` is what follows "<backend>:"; `options` say where."""
        ...


@runtime_checkable
class MeasuresGeneral(Protocol):
    def harness(
        self,
        model: str,
        tasks: Sequence[str],
        *,
        include_path: Path | None = None,
        limit: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> HarnessScores:
        """A model's scores by document on tasks of lm-evaluation-harness. `model` and `options` as in `open_model`.

        `include_path`: a folder of task files, beside the harness's own. `limit`: the first documents of each task alone.
        """
        ...


@dataclass(frozen=True)
class Import:
    """Weights of one's own on their way to be a model of the provider's. `name` is the provider's, for the next look."""

    name: str
    status: Literal["importing", "ready", "failed"]
    model: str = ""  # what `open_model` is asked for, once it is ready
    reason: str | None = None  # of a failure
    detail: str = ""  # what it costs while it is kept


@runtime_checkable
class ImportsModels(Protocol):
    """A model that was trained elsewhere, brought to the provider; no job is needed. `options` are the backend's own."""

    def import_model(self, source: str, name: str, options: Mapping[str, Any]) -> Import:
        """Begin. `source`: a local folder, which is uploaded, or the provider's own address of one. `name` makes it one import,
        however often it is asked for. ModelError for a folder that holds no such model."""
        ...

    def imported(self, name: str, options: Mapping[str, Any]) -> Import:
        """How it stands; `name` is `Import.name`."""
        ...


@dataclass(frozen=True)
class Estimate:
    """What a run will need, in words with the numbers in them. None: not known."""

    memory: str | None = None
    memory_bytes: int | None = None
    fits: bool | None = None
    time: str | None = None


@runtime_checkable
class Estimates(Protocol):
    def estimate(self, spec: FineTuneSpec, resolved: Resolved, tokens: Mapping[str, Any]) -> Estimate:
        """Memory and time; `tokens` holds the token check's statistics: `total` of one pass, `percentiles` of a row."""
        ...


@runtime_checkable
class HasTarget(Protocol):
    def target(self, model: str, objective: str) -> Target:
        """What rows for `model` (without the backend's name) must keep to: dialect, limits, rules, tokenizer.

        `Target.rendering` is the way for a backend's own checks of each row.
        """
        ...


@dataclass(frozen=True)
class Diagnosis:
    """One line of the doctor: `ok` is None where it is only information."""

    name: str
    ok: bool | None
    detail: str
    fix: str = ""


@runtime_checkable
class Diagnoses(Protocol):
    def diagnose(self) -> list[Diagnosis]: ...


def refusals(capabilities: Capabilities, spec: FineTuneSpec, backend: str) -> list[Issue]:
    """The declared `Unsupported` that this spec runs into, as issues."""
    asked: list[tuple[str, str, Mapping[str, Support]]] = [("objective", spec.objective.kind, capabilities.objectives)]
    if spec.method is not None:
        asked.append(("method", spec.method.kind, capabilities.methods))
    if spec.mix is not None:
        asked.append(("feature", "mix", capabilities.features))
    issues: list[Issue] = []
    for what, kind, table in asked:
        support = table.get(kind, Unsupported(f"the {backend} backend does not know it"))
        if support is not None:
            can = ", ".join(key for key, value in table.items() if value is None)
            issues.append(
                Issue(
                    code=f"unsupported.{what}",
                    message=f"{what} '{kind}' is not supported by the {backend} backend: {support.reason}.",
                    fix=f"use one of: {can}." if can else None,
                )
            )
    return issues


@dataclass(frozen=True)
class Demo:
    """What the demo runs: a model, rows to learn from, held-out rows, and how."""

    model: str
    dataset: Path
    test: Path
    method: Method
    hyperparameters: Hyperparameters
    about: str


@runtime_checkable
class Demonstrates(Protocol):
    def demo(self) -> Demo:
        """The main job on data and a model that the backend brings, with no account and no network."""
        ...
