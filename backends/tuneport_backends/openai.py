"""OpenAI's fine-tuning as a backend, and the services that speak its wire: Azure (Microsoft Foundry), Bedrock's
OpenAI-compatible endpoint, and any other at a `base_url`.

In the order of every backend here: what it can do, check, resolve, submit and adopt, follow, end, result, models, doctor.
The parts are in `openai_*.py`: the services and their clients, errors, requests as plain data, reading, files, chat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

from tuneport.backend import (
    Capabilities,
    ChatSession,
    Deployment,
    Diagnosis,
    Polling,
    Prepared,
    Ref,
    Resolved,
    Snapshot,
    Support,
    Unsupported,
    refusals,
)
from tuneport.dataset.checks.base import Target
from tuneport.dataset.issues import Issue
from tuneport.errors import JobError, RejectedError, RemoteNotFoundError, UnsupportedError
from tuneport.methods import METHODS
from tuneport.objectives import OBJECTIVES
from tuneport.result import Checkpoint, FineTuneResult, ModelRef
from tuneport.spec import FineTuneSpec
from tuneport.status import Event, JobStatus
from tuneport_backends import common
from tuneport_backends import openai_deploy as deploying
from tuneport_backends import openai_files as files
from tuneport_backends import openai_read as read
from tuneport_backends import openai_request as request
from tuneport_backends import openai_results as results
from tuneport_backends.openai_chat import OpenAIChat
from tuneport_backends.openai_events import Memory
from tuneport_backends.openai_find import find
from tuneport_backends.openai_service import (
    AZURE,
    BEDROCK,
    EXTRA,
    OPENAI,
    Service,
    base_url,
    credentials,
    missing,
    shown,
    where,
)
from tuneport_backends.openai_wire import Wire
from tuneport_backends.payload import Payload, strings, text

_NEVER = "nothing: the service does not offer it"
_OBJECTIVES: Mapping[str, Support] = {
    "cpt": Unsupported("the service tunes on conversations, not on plain text", _NEVER),
    "orpo": Unsupported("of the preference objectives the service has DPO", _NEVER),
    "rlhf": Unsupported("the service trains no reward model; it has graders: reinforcement", _NEVER),
}


class OpenAIBackend:
    """Tunes at OpenAI, or at whatever speaks its wire at `base_url`. Without state but for a memory of events."""

    name = "openai"
    service: ClassVar[Service] = OPENAI

    def __init__(self) -> None:
        self._events = Memory()

    def capabilities(self) -> Capabilities:
        how = Unsupported("the service does not say how it tunes, and takes no method", _NEVER)
        return Capabilities(
            objectives={kind: self._objectives().get(kind) for kind in OBJECTIVES},
            methods={kind: None if kind in self._methods() else how for kind in METHODS},
            features={
                "cancel": None,
                "pause": None,
                "resume": Unsupported(
                    "a job that failed or was cancelled cannot be gone on with; a paused one can", _NEVER
                ),
                "checkpoints": None,
                "events": None,
                "chat": None,
                "deploy": Unsupported("a tuned model answers as soon as it is there", "nothing: by design"),
                "import-model": Unsupported("no weights can be brought", _NEVER),
                "estimate": Unsupported("how long a job takes is not published", "the provider's word"),
                "mix": None,
                **self._features(),
            },
            options=request.known_options(self.service),
            polling=Polling(first=5.0, most=60.0, window=60.0),
            events="provider",
        )

    def _objectives(self) -> Mapping[str, Support]:
        return _OBJECTIVES

    def _methods(self) -> frozenset[str]:
        return frozenset()

    def _features(self) -> Mapping[str, Support]:
        return {}

    def check(self, spec: FineTuneSpec) -> list[Issue]:
        return [*refusals(self.capabilities(), spec, self.name), *request.check(self.service, spec)]

    def target(self, model: str, objective: str) -> Target:
        return request.target_of(self.service, model, objective)

    def resolve(self, spec: FineTuneSpec, splits: Mapping[str, int]) -> Resolved:
        return request.resolved(self.service, spec, splits)

    def submit(self, prepared: Prepared) -> Ref:
        """Uploads what is not there yet, then creates, once. What was said to be missing is missing before any upload."""
        spec, wire = prepared.spec, Wire(self.service, prepared.spec.options)
        dialect = self.target(spec.model_id.model, spec.objective.kind).dialect
        sent = {
            split: files.uploaded(wire, path, prepared.tag) for split, path in common.uploads(prepared, dialect).items()
        }
        body = request.body(self.service, spec, prepared.resolved.hyperparameters, sent, prepared.tag)
        return self._ref(wire.create(body, prepared.tag), prepared.tag, prepared.directory, spec.options)

    def adopt(self, tag: str, directory: Path) -> Ref | None:
        """By the tag in the metadata; where the service keeps none, by the training file, whose name carries the tag."""
        options = common.spec_in(directory).options
        job = find(Wire(self.service, options), tag, directory, options)
        return None if job is None else self._ref(job, tag, directory, options)

    def _ref(self, job: Payload, tag: str, directory: Path, options: Mapping[str, Any]) -> Ref:
        address = base_url(self.service, options)
        return {
            "provider_id": str(job["id"]),
            "tag": tag,
            "directory": str(directory),
            "options": where(options),
            "address": shown(address) if address else None,  # to be told where a job is that is not found
        }

    # Following it

    def snapshots(self, refs: Sequence[Ref]) -> list[Snapshot]:
        return common.snapshots(refs, place=lambda ref: ref.get("options", {}), page=self._page, look=self._look)

    def _page(self, ref: Ref) -> dict[str, Payload]:
        page, _ = self._wire(ref).jobs()
        return {str(job.get("id")): job for job in page}

    def _look(self, ref: Ref, job: Payload | None) -> Snapshot:
        return read.snapshot(self._job(ref) if job is None else job, cancelling=common.cancel_noted(ref))

    def _job(self, ref: Ref) -> Payload:
        try:
            return self._wire(ref).job(ref["provider_id"])
        except RemoteNotFoundError as error:
            made = ref.get("address")
            raise RemoteNotFoundError(
                f"{error.message} It was made {f'at {made}' if made else 'at the usual address'}: look at the account, the "
                f"project and {self.service.places[0]}.",
                request_id=error.request_id,
            ) from None

    def events(self, ref: Ref, after: int) -> list[Event]:  # noqa: ARG002  (all of them: the job layer numbers and keeps)
        """Everything that the service has, oldest first. Pages that were read before are remembered, not read again."""
        return [read.event(item) for item in self._events.all(self._wire(ref), ref["provider_id"])]

    def checkpoints(self, ref: Ref) -> list[Checkpoint]:
        found = [read.checkpoint(item) for item in self._wire(ref).checkpoints(ref["provider_id"])]
        return sorted((item for item in found if item is not None), key=lambda item: item.step)

    # Ending it

    def cancel(self, ref: Ref) -> None:
        """Asks. It stands as cancelling until the service says how it ended."""
        try:
            self._wire(ref).cancel(ref["provider_id"])
        except RejectedError:
            if not read.snapshot(self._job(ref)).status.terminal:
                raise
            return  # it had ended by itself meanwhile
        common.note_cancel(ref)

    def pause(self, ref: Ref) -> None:
        self._wire(ref).pause(ref["provider_id"])

    def unpause(self, ref: Ref) -> None:
        self._wire(ref).resume(ref["provider_id"])

    # What came of it

    def result(self, ref: Ref) -> FineTuneResult:
        job = self._job(ref)
        ours, word = read.status(job)
        model = text(job, "fine_tuned_model")
        if ours is not JobStatus.SUCCEEDED or model is None:
            raise JobError(f"{ref['provider_id']} is {word!r}: it has no tuned model yet.", job_id=ref.get("tag"))
        directory = common.directory_of(ref)
        said = results.gather(self._wire(ref), job, self._events.all(self._wire(ref), ref["provider_id"]), directory)
        spec = common.spec_in(directory)
        asked = spec.options.get("deployment") or model
        return common.tuned(
            ref,
            model=ModelRef(backend=self.name, model=str(asked), base=spec.model_id.model, kind="hosted"),
            raw=said.raw,
            metrics=said.metrics,
            curve=said.curve,
            checkpoints=said.checkpoints,
            trained_tokens=said.trained_tokens,
            effective=read.effective(job),
            timeline=said.timeline,
            artifacts=said.artifacts,
            warnings=said.warnings,
        )

    def open_model(self, model: str, options: Mapping[str, Any] | None = None) -> ChatSession:
        return OpenAIChat(Wire(self.service, options or {}), model)

    def made(self, ref: Ref) -> list[str]:
        return [f"{kind} {name}" for kind, name in self._made(ref)]

    def clean_up(self, ref: Ref) -> list[str]:
        """The model first: what still answers must not be left by a failure half-way."""
        wire = self._wire(ref)
        removed: list[str] = []
        for kind, name in sorted(self._made(ref), reverse=True):
            try:
                wire.delete(kind, name)
            except RemoteNotFoundError:
                continue  # gone already
            removed.append(f"{kind} {name}")
        return removed

    def _made(self, ref: Ref) -> list[tuple[str, str]]:
        """What is there still: the job's own record also names what has been removed since."""
        wire = self._wire(ref)
        found = [
            ("file", name) for file in wire.files() if files.is_of(ref["tag"], file) and (name := text(file, "id"))
        ]
        try:
            job = wire.job(ref["provider_id"])
        except RemoteNotFoundError:
            return found
        named = [("file", name) for name in strings(job.get("result_files"))]
        if (model := text(job, "fine_tuned_model")) is not None and self._deletes_models():
            named.append(("model", model))
        return [*found, *(item for item in named if wire.has(*item))]

    def _deletes_models(self) -> bool:
        return True

    def _wire(self, ref: Ref) -> Wire:
        return Wire(self.service, ref.get("options", {}))

    def diagnose(self) -> list[Diagnosis]:
        """Nothing is asked of the service, and no value of a credential is shown."""
        try:
            lines = [Diagnosis("openai package", True, version("openai"))]
        except PackageNotFoundError:
            return [Diagnosis("openai package", False, "not installed", EXTRA)]
        said, names = missing(self.service), credentials(self.service)
        found = (
            f"found in {', '.join(names)}"
            if names
            else (said or "no variable is set; AWS's own chain is asked when used")
        )
        lines.append(Diagnosis("credentials", True if names and not said else None, found))
        address = base_url(self.service, {})
        if address is not None:
            lines.append(Diagnosis("address", None, f"{shown(address)} ({self.service.places[0]})"))
        return lines


class AzureBackend(OpenAIBackend):
    """Azure OpenAI in Microsoft Foundry: the same wire, LoRA, and a deployment before a tuned model answers."""

    name = "azure"
    service = AZURE

    def _methods(self) -> frozenset[str]:
        return frozenset({"lora"})

    def _features(self) -> Mapping[str, Support]:
        return {"deploy": None}

    def deployment_offer(self, ref: Ref, options: Mapping[str, Any]) -> Deployment:
        spec = self._spec(ref)
        return deploying.offer(self._model(ref), spec.model_id.model, self._named(spec, options))

    def deploy(self, ref: Ref, options: Mapping[str, Any]) -> Deployment:
        spec, directory = self._spec(ref), common.directory_of(ref)
        asked = self._named(spec, options)
        return deploying.deploy(directory, self._model(ref), spec.model_id.model, spec.options, asked)

    def deployments(self, ref: Ref) -> list[Deployment]:
        spec = self._spec(ref)
        return deploying.deployments(common.directory_of(ref), self._model(ref), spec.model_id.model, spec.options)

    def undeploy(self, ref: Ref) -> list[str]:
        spec = self._spec(ref)
        return deploying.undeploy(common.directory_of(ref), self._model(ref), spec.model_id.model, spec.options)

    def clean_up(self, ref: Ref) -> list[str]:
        """Refused while a deployment stands that was made from here: it costs, and nothing else would name it then."""
        if deploying.noted(common.directory_of(ref)) and (standing := self.deployments(ref)):
            names = ", ".join(one.name for one in standing)
            raise RejectedError(f"{ref['tag']} is deployed ({names}): take that down first, tuneport undeploy.")
        return super().clean_up(ref)

    def _spec(self, ref: Ref) -> FineTuneSpec:
        return common.spec_in(common.directory_of(ref))

    def _named(self, spec: FineTuneSpec, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """The job's own option `deployment` is the name where the deployment is given none."""
        name = spec.options.get("deployment")
        return {"name": name, **options} if name else options

    def _model(self, ref: Ref) -> str:
        job = self._job(ref)
        model = text(job, "fine_tuned_model")
        if model is None:
            raise JobError(f"{ref['tag']} is {read.status(job)[1]!r}: it has no tuned model.", job_id=ref["tag"])
        return model

    def _deletes_models(self) -> bool:
        return False  # the models API has no delete there: with the resource's own tools only


class BedrockOpenAIBackend(OpenAIBackend):
    """Bedrock's OpenAI-compatible endpoint: reinforcement of open-weight models, with a Lambda as the grader."""

    name = "bedrock-openai"
    service = BEDROCK

    def _objectives(self) -> Mapping[str, Support]:
        only = Unsupported("this endpoint tunes by reinforcement only; the bedrock backend has the others", _NEVER)
        return {**_OBJECTIVES, "sft": only, "dpo": only}

    def _features(self) -> Mapping[str, Support]:
        return {"pause": Unsupported("the endpoint is not documented to pause", "AWS's documentation of it")}

    def _deletes_models(self) -> bool:
        return False  # not documented

    def pause(self, ref: Ref) -> None:  # noqa: ARG002
        raise self._cannot_pause()

    def unpause(self, ref: Ref) -> None:  # noqa: ARG002
        raise self._cannot_pause()

    def _cannot_pause(self) -> UnsupportedError:
        return UnsupportedError(
            f"{self.service.title} is not documented to pause a job.", feature="pause", reason="not documented"
        )
