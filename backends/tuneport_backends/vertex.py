"""Google Vertex AI's tuning as a backend, over google-genai and Cloud Storage.

In the order of every backend here: what it can do, check, resolve, submit and adopt, follow, end, result, deployments, models,
what it leaves behind, doctor. The parts are in `vertex_*.py`: the place and the clients, errors, requests as plain data,
reading, chat.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tuneport import catalog
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
from tuneport.errors import (
    BackendError,
    JobError,
    NotDeployedError,
    RejectedError,
    RemoteNotFoundError,
    SpecError,
    UnsupportedError,
)
from tuneport.methods import METHODS
from tuneport.objectives import OBJECTIVES
from tuneport.result import Checkpoint, FineTuneResult, ModelRef
from tuneport.spec import FineTuneSpec
from tuneport.status import Event, JobStatus
from tuneport_backends import common
from tuneport_backends import vertex_deploy as deploying
from tuneport_backends import vertex_read as read
from tuneport_backends import vertex_request as request
from tuneport_backends import vertex_service as service
from tuneport_backends.payload import Payload, mapping, objects, text
from tuneport_backends.vertex_chat import OpenModelChat, VertexChat
from tuneport_backends.vertex_errors import LOGIN
from tuneport_backends.vertex_wire import Wire

_PAGES = 20  # of the listing, that an adoption looks through at most
_MARGIN = timedelta(days=1)  # between this machine's clock and the service's
_HOURS_A_MONTH = 730.0
_NEVER = "nothing: the service does not offer it"
_OBJECTIVES: Mapping[str, Support] = {
    "cpt": Unsupported("the service tunes on conversations, not on plain text", _NEVER),
    "orpo": Unsupported("of the preference objectives the service has its own, near DPO", _NEVER),
    "rlhf": Unsupported("the service trains no reward model; it has rewards: reinforcement", _NEVER),
}
_REDEPLOY = Unsupported(
    "a tuned Gemini comes deployed; deploying it again is done in Vertex AI's model registry",
    "Google's word on how one is deployed again by its API",
)


class VertexBackend:
    """Tunes Gemini and open models at Vertex AI. Without state but for the clients that are kept."""

    name = "vertex"

    def capabilities(self) -> Capabilities:
        how = Unsupported("the service tunes by LoRA adapters, and open models whole too", _NEVER)
        return Capabilities(
            objectives={kind: _OBJECTIVES.get(kind) for kind in OBJECTIVES},
            methods={kind: None if kind in {"lora", "full"} else how for kind in METHODS},
            features={
                "cancel": None,
                "pause": Unsupported("the service has no call that pauses a job", _NEVER),
                "resume": Unsupported("a job that failed or was cancelled cannot be gone on with", _NEVER),
                "checkpoints": None,
                "events": None,
                "chat": None,
                "deploy": None,  # an open model's; a Gemini comes deployed
                "import-model": Unsupported(
                    "weights become a model there only on an endpoint, billed by the hour; those of its own jobs are deployed",
                    "the deployment of a local model's weights to Vertex AI",
                ),
                "estimate": Unsupported("how long a job takes is not published", "the provider's word"),
                "mix": None,
            },
            options=request.OPTIONS,
            polling=Polling(first=15.0, most=120.0, window=60.0),
            events="provider",
        )

    def check(self, spec: FineTuneSpec) -> list[Issue]:
        return [*refusals(self.capabilities(), spec, self.name), *request.check(spec)]

    def target(self, model: str, objective: str) -> Target:
        return request.target_of(model, objective)

    def resolve(self, spec: FineTuneSpec, splits: Mapping[str, int]) -> Resolved:
        return request.resolved(spec, splits)

    def submit(self, prepared: Prepared) -> Ref:
        """Uploads what is not there yet, then creates, once."""
        spec, model = prepared.spec, prepared.spec.model_id.model
        wire = Wire(service.place(spec.options))
        dialect = self.target(model, spec.objective.kind).dialect
        uris = {
            split: wire.upload(path, wire.place.object(prepared.tag, f"{split}.jsonl"))
            for split, path in common.uploads(prepared, dialect).items()
        }
        config = request.config(spec, prepared.resolved.hyperparameters, uris, prepared.tag, wire.place)
        job = wire.create(request.base_of(model), uris["train"], config, prepared.tag)
        return self._ref(job, prepared.tag, prepared.directory, spec.options)

    def adopt(self, tag: str, directory: Path) -> Ref | None:
        """By the label; a service that does not filter by it, or lists too little, is read page by page for the name too."""
        options = common.spec_in(directory).options
        wire = Wire(service.place(options))
        job = self._filtered(wire, tag) or self._newest(wire, tag, directory)
        return None if job is None else self._ref(job, tag, directory, options)

    def _filtered(self, wire: Wire, tag: str) -> Payload | None:
        try:
            page, _ = wire.jobs(wanted=f'labels.{request.TAG}="{tag}"')
        except RejectedError:
            return None  # it knows no such filter: the pages are read instead
        return next((job for job in page if read.is_of(job, tag)), None)

    def _newest(self, wire: Wire, tag: str, directory: Path) -> Payload | None:
        begun = datetime.fromtimestamp((directory / "spec.json").stat().st_mtime, UTC) - _MARGIN
        token: str | None = None
        for _ in range(_PAGES):
            page, following = wire.jobs(token)
            for job in page:
                if read.is_of(job, tag):
                    return job
            times = [made for job in page if (made := read.moment(job.get("createTime"))) is not None]
            if following in {None, token} or (times and max(times) < begun):
                return None
            token = following
        return None

    def _ref(self, job: Payload, tag: str, directory: Path, options: Mapping[str, Any]) -> Ref:
        found = service.place(options)
        return {
            "provider_id": str(job["name"]),
            "tag": tag,
            "directory": str(directory),
            "options": service.where(found, options),
        }

    # Following it

    def snapshots(self, refs: Sequence[Ref]) -> list[Snapshot]:
        return common.snapshots(refs, place=lambda ref: ref.get("options", {}), page=self._page, look=self._look)

    def _page(self, ref: Ref) -> dict[str, Payload]:
        page, _ = self._wire(ref).jobs()
        return {str(job.get("name")): job for job in page}

    def _look(self, ref: Ref, job: Payload | None) -> Snapshot:
        return read.snapshot(self._job(ref) if job is None else job, cancelling=common.cancel_noted(ref))

    def _job(self, ref: Ref) -> Payload:
        return self._wire(ref).job(ref["provider_id"])

    def events(self, ref: Ref, after: int) -> list[Event]:  # noqa: ARG002  (all of them: the job layer numbers and keeps)
        """Made of what a look at the job shows, since Vertex has no events."""
        return read.events(self._job(ref))

    def checkpoints(self, ref: Ref) -> list[Checkpoint]:
        return read.checkpoints(self._job(ref))

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

    # What came of it

    def result(self, ref: Ref) -> FineTuneResult:
        job = self._job(ref)
        ours, word = read.status(job)
        model = read.outcome(job)
        if ours is not JobStatus.SUCCEEDED or model is None:
            raise JobError(f"{ref['provider_id']} is {word!r}: it has no tuned model yet.", job_id=ref.get("tag"))
        spec = common.spec_in(common.directory_of(ref))
        rows, warnings = self._metrics(ref, job)
        effective = read.effective(job)
        if word == "JOB_STATE_PARTIALLY_SUCCEEDED":
            warnings.append(
                f"the provider calls the job partially succeeded: {read.reason(job) or 'it does not say why'}."
            )
        if (left_out := read.dropped(job)) is not None:
            warnings.append(f"{left_out}.")
        points = read.curve(rows, effective.get("epochs"))
        times = {"created": "createTime", "started": "startTime", "ended": "endTime"}
        return common.tuned(
            ref,
            model=ModelRef(backend=self.name, model=self._asked(ref) or model, base=spec.model_id.model, kind="hosted"),
            raw=job,
            metrics=read.final(rows),
            curve=points,
            checkpoints=read.checkpoints(job),
            trained_tokens=read.trained_tokens(job),
            effective=effective,
            timeline={ours: read.moment(job.get(theirs)) for ours, theirs in times.items()},
            warnings=warnings,
        )

    def _metrics(self, ref: Ref, job: Payload) -> tuple[list[dict[str, Any]], list[str]]:
        """From where the job says that its metrics are. The result must not be lost for them."""
        uri = text(job, "gcsMetricsUri")
        if uri is None or not uri.startswith("gs://"):
            return [], []
        try:
            return read.rows(self._wire(ref).texts(uri)), []
        except (BackendError, ValueError) as error:
            return [], [f"the metrics at {uri} could not be read, so there is no curve: {error}."]

    # Deployments: a tuned Gemini comes with an endpoint, an open model is given one

    def _asked(self, ref: Ref) -> str | None:
        """Of an open model, the endpoint where it answers once it is deployed; None for a Gemini."""
        return deploying.endpoint_of(self._wire(ref), ref["tag"]) if request.is_open(self._base(ref)) else None

    def _base(self, ref: Ref) -> str:
        return common.spec_in(common.directory_of(ref)).model_id.model

    def deployment_offer(self, ref: Ref, options: Mapping[str, Any]) -> Deployment:
        if (name := self._asked(ref)) is not None:
            return deploying.offer(name, self._base(ref), options)
        if options:
            raise SpecError(
                f"{min(options)} is an option of an open model's deployment; a tuned Gemini comes deployed."
            )
        standing = self.deployments(ref)
        if standing:
            return standing[0]
        raise UnsupportedError(
            f"{ref['provider_id']} has no endpoint that stands: {_REDEPLOY.reason}.",
            feature="deploy",
            reason=_REDEPLOY.reason,
        )

    def deploy(self, ref: Ref, options: Mapping[str, Any]) -> Deployment:
        if self._asked(ref) is None:
            return self.deployment_offer(ref, options)
        directory = common.directory_of(ref)
        return deploying.deploy(self._wire(ref), self._job(ref), ref["tag"], self._base(ref), directory, options)

    def deployments(self, ref: Ref) -> list[Deployment]:
        """The endpoints of the tuned model and of its checkpoints that still have a model on them."""
        wire = self._wire(ref)
        if self._asked(ref) is not None:
            return deploying.deployments(wire, ref["tag"], self._base(ref), common.directory_of(ref))
        price = self._price(ref)
        found: list[Deployment] = []
        for name in self._endpoints(self._job(ref)):
            payload = wire.endpoint(name)
            if payload is None or not objects(payload.get("deployedModels")):
                continue
            found.append(
                Deployment(
                    name=name,
                    kind="endpoint",
                    status="active",
                    model=name,
                    per_hour=price,
                    per_month=None if price is None else price * _HOURS_A_MONTH,
                    detail="made by the job; a tuned Gemini is billed by the tokens that it reads and writes",
                )
            )
        return found

    def undeploy(self, ref: Ref) -> list[str]:
        """Takes the models off their endpoints. An empty endpoint costs nothing, and is deleted where the service lets it."""
        wire = self._wire(ref)
        down: list[str] = []
        if (name := self._asked(ref)) is not None:
            down = deploying.undeploy(wire, ref["tag"], self._base(ref), common.directory_of(ref))
            self._delete(wire, name)  # refused while the service is still taking the model off
            return down
        for name in self._endpoints(self._job(ref)):
            payload = wire.endpoint(name)
            if payload is None:
                continue
            for deployed in objects(payload.get("deployedModels")):
                if (identity := text(deployed, "id")) is not None:
                    wire.undeploy(name, identity)
            self._delete(wire, name)  # refused while the service is still taking the model off
            down.append(name)
        return down

    def _delete(self, wire: Wire, name: str) -> bool:
        try:
            wire.delete(name)
        except (RejectedError, NotDeployedError):
            return False
        except RemoteNotFoundError:
            return True
        return True

    def _endpoints(self, job: Payload) -> list[str]:
        tuned = mapping(job.get("tunedModel"))
        names = [text(tuned, "endpoint"), *(text(item, "endpoint") for item in objects(tuned.get("checkpoints")))]
        return list(dict.fromkeys(name for name in names if name is not None))

    def _price(self, ref: Ref) -> float | None:
        entry = catalog.find(common.spec_in(common.directory_of(ref)).model)
        price = entry.price.hosting_per_hour if entry is not None else None
        return None if price is None else price.value

    # Models

    def open_model(self, model: str, options: Mapping[str, Any] | None = None) -> ChatSession:
        """A Gemini by its id, or a tuned model by its endpoint."""
        parts = model.split("/")
        if model.startswith("gs://"):
            raise NotDeployedError(
                f"{model} holds weights, which answer only when they are deployed: tuneport deploy ID for those of a job."
            )
        if model.startswith("projects/") and "/endpoints/" not in model:
            raise NotDeployedError(
                f"{model} is not an endpoint: {_REDEPLOY.reason}. Then ask vertex:projects/…/locations/…/endpoints/…"
            )
        named = {"project": parts[1], "location": parts[3]} if parts[0] == "projects" and len(parts) == 6 else {}
        wire = Wire(service.place({**(options or {}), **named}))
        return OpenModelChat(wire, model) if deploying.is_ours(model) else VertexChat(wire, model)

    # What it leaves behind

    def made(self, ref: Ref) -> list[str]:
        return [f"{kind} {name}" for kind, name in self._made(ref)]

    def clean_up(self, ref: Ref) -> list[str]:
        """The endpoint first: what may cost must not be left by a failure half-way. What the service still refuses to delete,
        as an endpoint whose model is being taken off, is not in the answer: `made` still names it, and this can be repeated."""
        wire = self._wire(ref)
        found = self._made(ref)
        if any(kind == "endpoint" for kind, _ in found):
            self.undeploy(ref)
        removed: list[str] = []
        for kind, name in found:
            if kind == "object":
                wire.delete_object(name)
            elif not self._delete(wire, name):
                continue
            removed.append(f"{kind} {name}")
        return removed

    def _made(self, ref: Ref) -> list[tuple[str, str]]:
        wire = self._wire(ref)
        found: list[tuple[str, str]] = []
        try:
            job = self._job(ref)
        except RemoteNotFoundError:
            job = {}
        found += [("endpoint", name) for name in self._endpoints(job) if wire.endpoint(name) is not None]
        if (asked := self._asked(ref)) is not None:
            uploaded = f"{wire.place.parent}/models/{ref['tag']}"  # by the deployment
            found += [("endpoint", asked)] if wire.endpoint(asked) is not None else []
            found += [("model", uploaded)] if wire.endpoint(uploaded) is not None else []
        model = text(mapping(job.get("tunedModel")), "model")
        if model is not None and wire.endpoint(unversioned := model.partition("@")[0]) is not None:
            found.append(("model", unversioned))
        if wire.place.bucket:
            found += [("object", name) for name in wire.objects(f"{wire.place.object(ref['tag'], '')}/")]
        return found

    def _wire(self, ref: Ref) -> Wire:
        return Wire(service.place(ref.get("options", {})))

    def diagnose(self) -> list[Diagnosis]:
        """Nothing is asked of the service, and no value of a credential is shown."""
        lines: list[Diagnosis] = []
        for package in ("google-genai", "google-cloud-storage"):
            try:
                lines.append(Diagnosis(f"vertex: {package}", True, version(package)))
            except PackageNotFoundError:
                lines.append(Diagnosis(f"vertex: {package}", False, "not installed", service.EXTRA))
        lines.append(_login())
        for name, variable in (("project", service.PROJECT), ("bucket", service.BUCKET)):
            value = service.setting({}, name)
            fix = "" if value else f"set {variable}, or the option {name}"
            lines.append(Diagnosis(f"vertex: {name}", True if value else None, value or "not set", fix))
        lines.append(Diagnosis("vertex: location", None, service.setting({}, "location") or ""))
        return lines


def _login() -> Diagnosis:
    variable = "GOOGLE_APPLICATION_CREDENTIALS"
    there = service.login().is_file()
    if os.environ.get(variable):
        said = f"found in {variable}" if there else f"{variable} names a file that is not there"
        return Diagnosis("vertex: credentials", there, said, "" if there else LOGIN)
    if there:
        return Diagnosis("vertex: credentials", True, "found: gcloud's application default login")
    return Diagnosis("vertex: credentials", None, "none found here; on Google's own machines, theirs are used", LOGIN)
