"""What the simulated Bedrock holds, jobs, models and deployments, and what each operation does with it."""

from __future__ import annotations

import secrets
import string
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from tuneport_backends.simulators.bedrock_jobs import Job, Timing
from tuneport_backends.simulators.bedrock_rows import Refused, learnt
from tuneport_backends.simulators.bedrock_s3 import S3, S3Refusal, place
from tuneport_backends.simulators.bedrock_wire import Refusal, Row, inner, invalid, missing
from tuneport_backends.simulators.clock import Clock
from tuneport_backends.simulators.faults import Faults

ACCOUNT = "123456789012"
TUNABLE: Mapping[str, str] = {
    "amazon.nova-lite-v1:0:300k": "us-east-1",
    "amazon.nova-pro-v1:0:300k": "us-east-1",
    "amazon.nova-micro-v1:0:128k": "us-east-1",
    "amazon.nova-2-lite-v1:0:256k": "us-east-1",
    "anthropic.claude-3-haiku-20240307-v1:0:200k": "us-west-2",
    "meta.llama3-1-8b-instruct-v1:0:128k": "us-west-2",
    "meta.llama3-1-70b-instruct-v1:0:128k": "us-west-2",
    "meta.llama3-2-1b-instruct-v1:0:128k": "us-west-2",
    "meta.llama3-2-3b-instruct-v1:0:128k": "us-west-2",
    "meta.llama3-2-11b-instruct-v1:0:128k": "us-west-2",
    "meta.llama3-2-90b-instruct-v1:0:128k": "us-west-2",
}
# What each family's hyperParameters may be: name, least, most, whole numbers only.
_HYPERPARAMETERS: Mapping[str, tuple[tuple[str, float, float, bool], ...]] = {
    "amazon.nova": (
        ("epochCount", 1, 5, True),
        ("learningRate", 1e-6, 1e-4, False),
        ("learningRateWarmupSteps", 0, 100, True),
    ),
    "anthropic.claude": (
        ("epochCount", 1, 10, True),
        ("batchSize", 4, 256, True),
        ("learningRateMultiplier", 0.1, 2, False),
        ("earlyStoppingThreshold", 0, 0.1, False),
        ("earlyStoppingPatience", 1, 10, True),
    ),
    "meta.": (("epochCount", 1, 10, True), ("batchSize", 1, 1, True), ("learningRate", 5e-6, 0.1, False)),
}
# A text, or the blocks of an answer, as [{"toolUse": {...}}].
Answer = Callable[[str, Sequence[Mapping[str, Any]]], str | Sequence[Mapping[str, Any]] | None]


@dataclass
class Standing:
    """A deployment or provisioned throughput. `payload` is what get says, but for its status."""

    name: str
    arn: str
    model: str
    region: str
    created: float
    payload: Row
    words: tuple[str, str]  # while it is made, and after
    asked: Row = field(default_factory=dict[str, Any])


@dataclass
class State:
    clock: Clock
    faults: Faults
    timing: Timing
    s3: S3
    listing_lag: float = 0.0
    answer: Answer | None = None
    unassumable: frozenset[str] = frozenset()  # roles' ARNs
    jobs: list[Job] = field(default_factory=list[Job])
    standing: list[Standing] = field(default_factory=list[Standing])
    imports: list[Row] = field(default_factory=list[Row])
    gone: set[str] = field(default_factory=set[str])  # ARNs of models that were deleted
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._epoch: datetime = self.clock.now() - timedelta(seconds=self.clock.seconds())

    @property
    def now(self) -> float:
        return self.clock.seconds()

    def moment(self, seconds: float) -> datetime:
        return self._epoch + timedelta(seconds=seconds)

    def tick(self) -> None:
        """Let every job write what it has to show by now."""
        now = self.now
        for job in self.jobs:
            if job.finished:
                continue
            status = job.status(now)
            every, done = job.timing.metrics, job.done(now)
            if status == "Completed":
                self._write(job, job.steps)
                job.finished = True
            elif every and done > job.written:
                self._write(job, done)

    def _write(self, job: Job, steps: int) -> None:
        bucket, prefix = place(str(job.asked["outputDataConfig"]["s3Uri"]))
        root = "/".join(part for part in (prefix.strip("/"), f"model-customization-job-{job.id}") if part)
        at = self.moment(self.now)
        table = f"{root}/training_artifacts/step_wise_training_metrics.csv"
        self.s3.put(bucket, table, job.training_csv(steps).encode(), at)
        job.written = steps
        if steps == job.steps and inner(job.asked, "validationDataConfig").get("validators"):
            table = f"{root}/validation_artifacts/post_fine_tuning_validation/validation_metrics.csv"
            self.s3.put(bucket, table, job.validation_csv().encode(), at)

    # Jobs

    def create_job(self, asked: Row, region: str) -> Row:
        token = asked.get("clientRequestToken")
        for job in self.jobs:
            if token and job.asked.get("clientRequestToken") == token and job.region == region:
                if job.asked != asked:
                    raise Refusal(409, "ConflictException", "The client request token was used with other parameters.")
                return {"jobArn": job.arn}
        name = asked["jobName"]
        if any(job.asked["jobName"] == name and job.region == region for job in self.jobs):
            raise Refusal(409, "ConflictException", f"The job name {name} is already in use.")
        if any(j.asked["customModelName"] == asked["customModelName"] and j.region == region for j in self.jobs):
            raise Refusal(409, "ConflictException", f"The model name {asked['customModelName']} is already in use.")
        base = str(asked["baseModelIdentifier"]).rpartition("foundation-model/")[2]
        if TUNABLE.get(base) != region:
            raise invalid(f"The provided base model {base} does not support customization in {region}.")
        kind = asked.get("customizationType", "FINE_TUNING")
        _demand(asked, base, kind)
        if asked["roleArn"] in self.unassumable:
            raise invalid("Could not assume provided IAM role. Please verify the trust policy of the role.")
        for config in (asked["trainingDataConfig"], asked["outputDataConfig"]):
            bucket = place(str(config["s3Uri"]))[0]
            if self.s3.buckets.get(bucket, region) != region:
                raise invalid(f"The S3 bucket {bucket} must be in the same region as the job, {region}.")
        id_ = new_id()
        arn = f"arn:aws:bedrock:{region}:{ACCOUNT}:model-customization-job/{base}/{id_}"
        job = Job(
            id=id_,
            arn=arn,
            model_arn=f"arn:aws:bedrock:{region}:{ACCOUNT}:custom-model/{base}/{id_}",
            base_arn=f"arn:aws:bedrock:{region}::foundation-model/{base}",
            asked=asked,
            created=self.now,
            moment=self.moment,
            timing=self.timing,
            region=region,
        )
        self._read_rows(job, base, kind)
        for fault in self.faults.meet("jobs.create", "fail", "never-ends"):
            if fault.do == "fail":
                job.fails = str(fault.value or "The job failed by a fault script.")
            else:
                job.never_ends = True
        self.jobs.append(job)
        return {"jobArn": arn}

    def _read_rows(self, job: Job, base: str, kind: str) -> None:
        try:
            training = b"".join(body for _, body in self.s3.read(str(job.asked["trainingDataConfig"].get("s3Uri", ""))))
            validators = cast("list[Row]", inner(job.asked, "validationDataConfig").get("validators", []))
            held = [self.s3.read(str(one["s3Uri"])) for one in validators]
            if place(str(job.asked["outputDataConfig"]["s3Uri"]))[0] not in self.s3.buckets:
                raise S3Refusal(404, "NoSuchBucket", "The specified bucket does not exist")
        except S3Refusal as error:
            raise invalid(f"Bedrock could not read the S3 data: {error.message}") from None
        try:
            pairs = learnt(training, base, kind)
            job.rows = training.count(b"\n") + (0 if training.endswith(b"\n") else 1)
            for found in held:
                for _, body in found:
                    learnt(body, base, kind, training=False)
        except Refused as error:
            job.refused = str(error)
            return
        job.learnt = dict(pairs)

    def job(self, name: str) -> Job:
        for job in self.jobs:
            if name in {job.arn, job.asked["jobName"]}:
                return job
        raise missing("Could not find the model customization job.")

    def list_jobs(self, asked: Row, region: str) -> Row:
        now = self.now
        listed = [job for job in self.jobs if job.region == region and now >= job.created + self.listing_lag]
        items = [job.summary(now) for job in listed if asked.get("nameContains", "") in job.asked["jobName"]]
        if wanted := asked.get("statusEquals"):
            items = [item for item in items if item["status"] == wanted]
        return page(items, asked, "modelCustomizationJobSummaries")

    def stop_job(self, name: str) -> Row:
        job = self.job(name)
        if job.status(self.now) != "InProgress":
            raise Refusal(409, "ConflictException", f"The job is {job.status(self.now)} and cannot be stopped.")
        job.stopped = self.now
        return {}

    # Models

    def models(self) -> list[Job]:
        return [job for job in self.jobs if job.status(self.now) == "Completed" and job.model_arn not in self.gone]

    def model(self, name: str) -> Job:
        for job in self.models():
            if name in {job.model_arn, job.asked["customModelName"]}:
                return job
        raise missing("Could not find the custom model.")

    def model_payload(self, name: str) -> Row:
        job = self.model(name)
        found = job.payload(self.now)
        kept = ("jobArn", "jobName", "baseModelArn", "customizationType", "hyperParameters", "trainingDataConfig")
        further = ("outputDataConfig", "trainingMetrics", "validationMetrics", "creationTime")
        return {
            "modelArn": job.model_arn,
            "modelName": job.asked["customModelName"],
            **{name: found[name] for name in (*kept, *further) if name in found},
            "modelStatus": "Active",
        }

    def delete_model(self, name: str) -> Row:
        job = self.model(name)
        if any(one.model == job.model_arn for one in self.standing):
            raise Refusal(409, "ConflictException", "The custom model is deployed: delete its deployments first.")
        self.gone.add(job.model_arn)
        return {}


def _demand(asked: Row, base: str, kind: str) -> None:
    config = inner(asked, "customizationConfig")
    if kind in {"CONTINUED_PRE_TRAINING", "IMPORTED"}:
        raise invalid(f"customizationType {kind} is not supported for {base}.")
    if kind == "DISTILLATION" and "distillationConfig" not in config:
        raise invalid("distillationConfig is required for DISTILLATION.")
    if kind == "REINFORCEMENT_FINE_TUNING":
        if not base.startswith("amazon.nova-2-lite"):
            raise invalid(f"customizationType {kind} is not supported for {base}.")
        if "lambdaGrader" not in inner(config, "rftConfig", "graderConfig") or asked.get("hyperParameters"):
            raise invalid("rftConfig with a graderConfig is required; its hyperParameters stand in it.")
    rules = next(rules for family, rules in _HYPERPARAMETERS.items() if base.startswith(family))
    ranges = {name: (least, most, whole) for name, least, most, whole in rules}
    for name, value in inner(asked, "hyperParameters").items():
        if name not in ranges:
            raise invalid(f"Hyperparameter {name} is not supported for {base}.")
        least, most, whole = ranges[name]
        try:
            number = float(value)
        except ValueError:
            raise invalid(f"Hyperparameter {name} is {value!r}, which is no number.") from None
        if not least <= number <= most or (whole and not value.isdigit()):
            raise invalid(f"Hyperparameter {name} must be between {least:g} and {most:g}.")


def page(items: list[Row], asked: Row, key: str) -> Row:
    if asked.get("sortOrder", "Descending") == "Descending":
        items = items[::-1]
    begin, most = int(asked.get("nextToken") or 0), int(asked.get("maxResults") or 100)
    found: Row = {key: items[begin : begin + most]}
    if begin + most < len(items):
        found["nextToken"] = str(begin + most)
    return found


def new_id() -> str:
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(12))
