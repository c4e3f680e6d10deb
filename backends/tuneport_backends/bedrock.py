"""Amazon Bedrock's model customization as a backend: fine-tuning, continued pre-training, distillation, reinforcement.

In the order of every backend here: what it can do, check, resolve, submit and adopt, follow, end, result, models, doctor.
The parts are in `bedrock_*.py`: errors, the clients, requests as plain data, objects in S3, reading, deployments, chat.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tuneport.backend import (
    Capabilities,
    ChatSession,
    Deployment,
    Diagnosis,
    Import,
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
    AccessDeniedError,
    BackendError,
    JobError,
    RejectedError,
    RemoteNotFoundError,
)
from tuneport.methods import METHODS
from tuneport.objectives import OBJECTIVES
from tuneport.result import Artifact, FineTuneResult, ModelRef
from tuneport.spec import FineTuneSpec
from tuneport.status import Event, JobStatus
from tuneport_backends import bedrock_deploy as deploying
from tuneport_backends import bedrock_files as files
from tuneport_backends import bedrock_import as importing
from tuneport_backends import bedrock_read as read
from tuneport_backends import bedrock_request as request
from tuneport_backends import common
from tuneport_backends.bedrock_aws import AWS, credentials, missing, region_of, where
from tuneport_backends.bedrock_chat import BedrockChat
from tuneport_backends.bedrock_errors import EXTRA
from tuneport_backends.bedrock_request import Place
from tuneport_backends.payload import Payload, mapping, text

_NEVER = "nothing: the service does not offer it"
_ELSEWHERE = "DPO is tuned at openai, azure, vertex and by the local engine"
_OBJECTIVES: Mapping[str, Support] = {
    "dpo": Unsupported(f"Amazon Bedrock has no training on preferences; {_ELSEWHERE}", _NEVER),
    "orpo": Unsupported("Amazon Bedrock has no training on preferences; the local engine has ORPO", _NEVER),
    "rlhf": Unsupported(
        "Amazon Bedrock trains no reward model; it has reinforcement with a Lambda that grades", _NEVER
    ),
}


class BedrockBackend:
    """Tunes at Amazon Bedrock, by boto3. Without state but for the clients.

    The tag is the job's name, its model's name and its client request token, so that a create is idempotent: a lost reply is
    found again by the name, at once, and even a create sent twice would make one job.
    """

    name = "bedrock"

    def capabilities(self) -> Capabilities:
        how = Unsupported("Amazon Bedrock does not say how it tunes, and takes no method", _NEVER)
        return Capabilities(
            objectives={kind: _OBJECTIVES.get(kind) for kind in OBJECTIVES},
            methods={
                kind: None if kind == "lora" else how for kind in METHODS
            },  # Nova's; the catalog knows which models
            features={
                "cancel": None,
                "pause": Unsupported("Amazon Bedrock cannot pause a job", _NEVER),
                "resume": Unsupported("a job that failed or was stopped cannot be gone on with", _NEVER),
                "checkpoints": Unsupported("Amazon Bedrock keeps none that can be reached", _NEVER),
                "events": None,
                "chat": None,
                "deploy": None,
                "import-model": None,
                "estimate": Unsupported("how long a job takes is not published", "the provider's word"),
                "mix": None,
            },
            options=request.KNOWN,
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
        """Uploads what is not there yet, then creates, once; what the tag has made before is taken up, not made again."""
        spec, aws = prepared.spec, AWS(prepared.spec.options)
        at = request.place(spec.options)
        files.demand_bucket(aws, at)
        dialect = self.target(spec.model_id.model, spec.objective.kind).dialect
        files.remember(prepared.directory, _where(aws, at))
        uploads = {
            split: files.uploaded(aws, at, path, prepared.tag)
            for split, path in common.uploads(prepared, dialect).items()
        }
        body = request.body(spec, prepared.resolved.hyperparameters, at, uploads, prepared.tag)
        try:
            arn = aws.create(body, prepared.tag)
        except RejectedError:
            # Of a name that is in use the service says so in words alone: it is this tag's own job, of a submit cut short.
            earlier: Ref | None = None
            with contextlib.suppress(BackendError):
                earlier = self.adopt(prepared.tag, prepared.directory)
            if earlier is None:
                raise
            return earlier
        return _ref(arn, prepared.tag, prepared.directory, _where(aws, at))

    def adopt(self, tag: str, directory: Path) -> Ref | None:
        """By its name, which is the tag; then by the list, in case what asks for one job lags behind."""
        known = files.remembered(directory)
        if known is None:
            return None  # no submit from here came as far as AWS
        aws = AWS(known)
        try:
            job = aws.call("get_model_customization_job", f"looking for {tag}", jobIdentifier=tag)
        except RemoteNotFoundError:
            listed = aws.listed(
                "list_model_customization_jobs",
                "modelCustomizationJobSummaries",
                f"looking for {tag}",
                nameContains=tag,
            )
            job = next((item for item in listed if item.get("jobName") == tag), Payload())
        arn = text(job, "jobArn")
        return None if arn is None else _ref(arn, tag, directory, known)

    # Following it

    def snapshots(self, refs: Sequence[Ref]) -> list[Snapshot]:
        return common.snapshots(refs, place=where, page=self._page, look=self._look)

    def _page(self, ref: Ref) -> dict[str, Payload]:
        page = AWS(ref).listed(
            *("list_model_customization_jobs", "modelCustomizationJobSummaries", "listing jobs"),
            pages=1,
            maxResults=1000,
            sortBy="CreationTime",
            sortOrder="Descending",
        )
        return {str(job.get("jobArn")): job for job in page}

    def _look(self, ref: Ref, job: Payload | None) -> Snapshot:
        whole = job is not None and job.get("status") != "Failed"  # the list does not say why
        return read.snapshot(job if job is not None and whole else self._job(ref))

    def _job(self, ref: Ref) -> Payload:
        try:
            return AWS(ref).call(
                "get_model_customization_job", f"looking at {ref['tag']}", jobIdentifier=ref["provider_id"]
            )
        except RemoteNotFoundError as error:
            raise RemoteNotFoundError(
                f"{error.message} It was made in {ref.get('region')}: look at the account, AWS_PROFILE and the region.",
                request_id=error.request_id,
            ) from None

    def events(self, ref: Ref, after: int) -> list[Event]:  # noqa: ARG002  (all of them: the job layer numbers and keeps)
        """Bedrock has none: each step of its step-wise tables, as far as they stand in S3, is one. The states are polling's."""
        events: list[Event] = []
        for name, kind in ((read.TRAINING, "step"), (read.VALIDATION, "validation")):
            try:
                rows = read.table(self._artifact(ref, name))
            except RemoteNotFoundError:
                continue  # not written yet
            except AccessDeniedError as error:  # S3's answer for what is not there, too, to who may not list
                said = f"the metrics in S3 cannot be read (or are not there yet): {error.message}"
                events.append(Event(seq=0, level="warning", message=said, key=f"{kind}:denied"))
                continue
            events += read.metric_events(rows, kind)
        return events

    def _artifact(self, ref: Ref, name: str) -> bytes:
        return AWS(ref).read(ref["bucket"], _output(ref, name))

    # Ending it

    def cancel(self, ref: Ref) -> None:
        """Asks. It stands as cancelling until Bedrock says that it stopped; what was trained until then is billed."""
        try:
            AWS(ref).call("stop_model_customization_job", f"stopping {ref['tag']}", jobIdentifier=ref["provider_id"])
        except RejectedError:
            now = read.snapshot(self._job(ref)).status
            if not now.terminal and now is not JobStatus.CANCELLING:
                raise

    # What came of it

    def result(self, ref: Ref) -> FineTuneResult:
        job = self._job(ref)
        ours, word = read.status(job)
        model = text(job, "outputModelArn")
        if ours is not JobStatus.SUCCEEDED or model is None:
            raise JobError(f"{ref['provider_id']} is {word!r}: it has no tuned model yet.", job_id=ref.get("tag"))
        directory = common.directory_of(ref)
        spec = common.spec_in(directory)
        warnings: list[str] = []
        artifacts: list[Artifact] = []
        tables: dict[str, list[dict[str, float]]] = {read.TRAINING: [], read.VALIDATION: []}
        for name in tables:
            try:
                raw = self._artifact(ref, name)
            except (RemoteNotFoundError, AccessDeniedError, RejectedError) as error:
                if name == read.TRAINING or mapping(job.get("validationDataConfig")).get("validators"):
                    warnings.append(f"the table {name} is not in the curve: {error}")
                continue
            tables[name] = read.table(raw)
            artifacts.append(common.kept(directory, name.rpartition("/")[2], raw))
        points = read.curve(tables[read.TRAINING], tables[read.VALIDATION])
        times: dict[str, datetime | None] = read.timeline(job)
        return common.tuned(
            ref,
            model=ModelRef(backend=self.name, model=model, base=spec.model_id.model, kind="hosted"),
            raw=job,
            metrics=read.metrics(job, points),
            curve=points,
            effective=read.effective(job, spec.model, spec.objective.kind),
            timeline=times,
            artifacts=artifacts,
            warnings=warnings,
        )

    def deployment_offer(self, ref: Ref, options: Mapping[str, Any]) -> Deployment:
        return deploying.offer("", ref["tag"], self._base(ref), self._deploying(ref, options))

    def deploy(self, ref: Ref, options: Mapping[str, Any]) -> Deployment:
        chosen = self._deploying(ref, options)
        return deploying.deploy(AWS(ref), self._model(ref), ref["tag"], self._base(ref), chosen)

    def deployments(self, ref: Ref) -> list[Deployment]:
        return deploying.deployments(AWS(ref), self._model(ref), self._base(ref))

    def undeploy(self, ref: Ref) -> list[str]:
        return deploying.undeploy(AWS(ref), self._model(ref), self._base(ref))

    def _deploying(self, ref: Ref, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """`model_units` of the job's own options counts where the deployment says none."""
        units = common.spec_in(common.directory_of(ref)).options.get("model_units")
        if options.get("kind") == deploying.PROVISIONED and not options.get("units") and units:
            return {**options, "units": units}
        return options

    def _base(self, ref: Ref) -> str:
        return common.spec_in(common.directory_of(ref)).model_id.model

    def _model(self, ref: Ref) -> str:
        job = self._job(ref)
        model = text(job, "outputModelArn")
        if model is None:
            raise JobError(f"{ref['tag']} is {read.status(job)[1]!r}: it has no tuned model.", job_id=ref["tag"])
        return model

    def open_model(self, model: str, options: Mapping[str, Any] | None = None) -> ChatSession:
        return BedrockChat(options or {}, model)

    def import_model(self, source: str, name: str, options: Mapping[str, Any]) -> Import:
        return importing.begin(source, name, options)

    def imported(self, name: str, options: Mapping[str, Any]) -> Import:
        return importing.look(name, options)

    def made(self, ref: Ref) -> list[str]:
        found = [f"object s3://{ref['bucket']}/{key}" for key in self._keys(ref)]
        model = self._tuned(ref)
        return [*found, f"model {model}"] if model is not None else found

    def clean_up(self, ref: Ref) -> list[str]:
        """The model first: what could still answer must not be left by a failure half-way. A deployed one is refused."""
        aws = AWS(ref)
        removed: list[str] = []
        if (model := self._tuned(ref)) is not None:
            standing = deploying.deployments(aws, model, "")
            if standing:
                raise RejectedError(
                    f"{model} is deployed ({', '.join(one.name for one in standing)}): take that down first, tuneport undeploy."
                )
            aws.call("delete_custom_model", f"deleting {model}", modelIdentifier=model)
            removed.append(f"model {model}")
        keys = self._keys(ref)
        aws.delete(ref["bucket"], keys)
        return [*removed, *(f"object s3://{ref['bucket']}/{key}" for key in keys)]

    def _keys(self, ref: Ref) -> list[str]:
        try:
            return AWS(ref).keys(ref["bucket"], f"{_key(ref, ref['tag'])}/")
        except RemoteNotFoundError:
            return []  # the bucket itself is gone

    def _tuned(self, ref: Ref) -> str | None:
        """The model's ARN, if it is still there."""
        try:
            answer = AWS(ref).call(
                "get_custom_model", f"looking for the model of {ref['tag']}", modelIdentifier=ref["tag"]
            )
        except RemoteNotFoundError:
            return None
        return text(answer, "modelArn")

    def diagnose(self) -> list[Diagnosis]:
        """Nothing is asked of AWS, and no value of a credential is shown."""
        try:
            lines = [Diagnosis("bedrock: boto3", True, version("boto3"))]
        except PackageNotFoundError:
            return [Diagnosis("bedrock: boto3", False, "not installed", EXTRA)]
        said, names = missing(), credentials()
        detail = said or (f"found by {', '.join(names)}" if names else "found in AWS's own files")
        lines.append(Diagnosis("bedrock: credentials", None if said else True, detail))
        region = region_of({})
        lines.append(
            Diagnosis("bedrock: region", None, region or "not set", "" if region else "set AWS_DEFAULT_REGION")
        )
        return lines


def _where(aws: AWS, at: Place) -> dict[str, Any]:
    return {**aws.options, "region": aws.region, "bucket": at.bucket, "prefix": at.prefix}


def _ref(arn: str, tag: str, directory: Path, known: Mapping[str, Any]) -> Ref:
    return {"provider_id": arn, "tag": tag, "directory": str(directory), **known}


def _key(ref: Ref, *parts: str) -> str:
    return "/".join(part for part in (str(ref.get("prefix") or ""), *parts) if part)


def _output(ref: Ref, name: str) -> str:
    """The key of an artifact: Bedrock writes into a folder named after the last part of the job's ARN."""
    return _key(ref, ref["tag"], "output", f"model-customization-job-{ref['provider_id'].rpartition('/')[2]}", name)
