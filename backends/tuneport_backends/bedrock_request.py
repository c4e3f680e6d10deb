"""From a specification to the request that creates the job, and everything in it that Bedrock would refuse."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from tuneport import catalog
from tuneport.backend import Resolved
from tuneport.catalog import Knob
from tuneport.dataset.checks.base import Target
from tuneport.dataset.issues import Issue
from tuneport.errors import PlanError, SpecError
from tuneport.estimates import target
from tuneport.options import BedrockOptions
from tuneport.result import HyperparameterNote
from tuneport.spec import FineTuneSpec
from tuneport_backends import common
from tuneport_backends.bedrock_aws import missing, region_of

TAG = "tuneport-tag"
BUCKET_VARIABLE, ROLE_VARIABLE = "TUNEPORT_BEDROCK_BUCKET", "TUNEPORT_BEDROCK_ROLE"
TYPES: Mapping[str, str] = {
    "sft": "FINE_TUNING",
    "cpt": "CONTINUED_PRE_TRAINING",
    "reinforcement": "REINFORCEMENT_FINE_TUNING",
}
DISTILLATION = "DISTILLATION"
# What only one kind of job has, beside the options that all have: our name, Bedrock's, its least and its most.
REINFORCEMENT: Mapping[str, tuple[str, int, int | None]] = {
    "eval_interval": ("evalInterval", 1, 100),
    "max_prompt_length": ("maxPromptLength", 1, None),
    "inference_max_tokens": ("inferenceMaxTokens", 1, None),
}
EFFORTS = ("low", "medium", "high")
MAX_RESPONSE = "max_response_length"
KNOWN = (*BedrockOptions.model_fields, *REINFORCEMENT, "reasoning_effort", MAX_RESPONSE)
_BUCKET = re.compile(r"s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](/[-!_*'().a-z0-9A-Z]+)*/?")
_ROLE = re.compile(r"arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+")
_LAMBDA = re.compile(
    r"arn:(aws[a-zA-Z-]*)?:lambda:[a-z]{2}(-gov)?-[a-z]+-\d:\d{12}:function:[\w.-]+(:(\$LATEST|[\w-]+))?"
)
_TAG_TEXT = re.compile(r"[a-zA-Z0-9\s._:/=+@-]*")
_TAGS = 48  # AWS keeps 50 on a resource; two are left for tuneport's own


@dataclass(frozen=True)
class Place:
    """Where a job's objects are, and the role that reads them."""

    bucket: str
    prefix: str
    role: str

    def key(self, *parts: str) -> str:
        return "/".join(part for part in (self.prefix, *parts) if part)

    def uri(self, *parts: str) -> str:
        return f"s3://{self.bucket}/{self.key(*parts)}"


def place(options: Mapping[str, Any]) -> Place:
    """PlanError where the bucket or the role is not given."""
    bucket, role = _given(options, "bucket"), _given(options, "role")
    if not bucket or not role:
        raise PlanError("; ".join(str(issue) for issue in _places(options)))
    name, _, prefix = bucket.removeprefix("s3://").partition("/")
    return Place(name, prefix.strip("/"), role)


def target_of(model: str, objective: str) -> Target:
    found = target(f"bedrock:{model}", objective)
    if found is not None:
        return found
    dialects = {"cpt": "bedrock-text", "reinforcement": "openai-reinforcement"}
    return Target(model=f"bedrock:{model}", dialect=dialects.get(objective, "bedrock-converse"))


def resolved(spec: FineTuneSpec, splits: Mapping[str, int]) -> Resolved:
    """`hyperparameters` hold Bedrock's names and only what is sent. PlanError with every refusal."""
    made = common.resolved(spec, splits)
    own: dict[str, Any] = {}
    notes = list(made.notes)
    for name, knob in _knobs(spec).items():
        if name in spec.options:
            own[knob.name] = spec.options[name]
            notes.append(
                HyperparameterNote(
                    name=name, requested=spec.options[name], effective=spec.options[name], reason=f"sent as {knob.name}"
                )
            )
    if spec.objective.kind == "reinforcement":
        for name, (theirs, _, _) in REINFORCEMENT.items():
            if name in spec.options:
                own[theirs] = int(spec.options[name])
        if "reasoning_effort" in spec.options:
            own["reasoningEffort"] = spec.options["reasoning_effort"]
    warnings = list(made.warnings)
    if spec.seed != FineTuneSpec.model_fields["seed"].default:
        warnings.append(f"seed {spec.seed} is not sent: Amazon Bedrock takes none.")
    return Resolved(made.method, {**made.hyperparameters, **own}, notes, made.steps, warnings)


def body(
    spec: FineTuneSpec, hyperparameters: Mapping[str, Any], at: Place, uploads: Mapping[str, str], tag: str
) -> dict[str, Any]:
    """The request that creates the job. `uploads`: the S3 URIs of the splits.

    The tag is the job's name, the model's name and the client request token: sent again, it makes no second job.
    """
    kind = spec.objective.kind
    options = spec.options
    entry = catalog.find(spec.model)
    tags = [{"key": TAG, "value": tag}, *({"key": key, "value": value} for key, value in spec.metadata.items())]
    made: dict[str, Any] = {
        "jobName": tag,
        "customModelName": tag,
        "clientRequestToken": tag,
        "roleArn": at.role,
        "baseModelIdentifier": entry.id if entry is not None else spec.model_id.model,
        "customizationType": DISTILLATION if options.get("customization") else TYPES[kind],
        "trainingDataConfig": {"s3Uri": uploads["train"]},
        "outputDataConfig": {"s3Uri": at.uri(tag, "output")},
        "jobTags": tags,
        "customModelTags": tags,
    }
    if "validation" in uploads:
        made["validationDataConfig"] = {"validators": [{"s3Uri": uploads["validation"]}]}
    if kind == "reinforcement":
        grader = {"lambdaGrader": {"lambdaArn": grader_of(spec)}}
        made["customizationConfig"] = {"rftConfig": {"graderConfig": grader}}
        if hyperparameters:
            made["customizationConfig"]["rftConfig"]["hyperParameters"] = dict(hyperparameters)
    elif hyperparameters:
        made["hyperParameters"] = {name: written(value) for name, value in hyperparameters.items()}
    if options.get("customization"):
        teacher: dict[str, Any] = {"teacherModelIdentifier": options["teacher"]}
        if MAX_RESPONSE in options:
            teacher["maxResponseLengthForInference"] = int(options[MAX_RESPONSE])
        made["customizationConfig"] = {"distillationConfig": {"teacherModelConfig": teacher}}
    if options.get("kms_key"):
        made["customModelKmsKeyId"] = options["kms_key"]
    if options.get("subnets"):
        made["vpcConfig"] = {"subnetIds": options["subnets"], "securityGroupIds": options["security_groups"]}
    return made


def written(value: Any) -> str:
    """A hyperparameter as Bedrock takes it: text, without an exponent."""
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f").removesuffix(".0")
    return str(value)


def grader_of(spec: FineTuneSpec) -> str | None:
    """The Lambda that grades: the option, or a grader of type lambda as the OpenAI-compatible endpoint has it."""
    if spec.options.get("grader_lambda"):
        return str(spec.options["grader_lambda"])
    grader: Any = getattr(spec.objective, "grader", None)
    inner: Any = cast("dict[str, Any]", grader).get("lambda") if isinstance(grader, dict) else None
    function: Any = cast("dict[str, Any]", inner).get("function") if isinstance(inner, dict) else None
    return str(function) if function else None


def check(spec: FineTuneSpec) -> list[Issue]:
    """What Bedrock would refuse, beside the rows and the hyperparameters. Nothing is asked of AWS."""
    return [
        *_options(spec),
        *_places(spec.options),
        *_region(spec),
        *_grader(spec),
        *_distillation(spec),
        *_tags(spec.metadata),
        *_rest(spec),
    ]


def _given(options: Mapping[str, Any], name: str) -> str | None:
    variable = BUCKET_VARIABLE if name == "bucket" else ROLE_VARIABLE
    found = options.get(name) or os.environ.get(variable)
    return str(found).strip() if found else None


def _places(options: Mapping[str, Any]) -> list[Issue]:
    rules = (
        ("bucket", _BUCKET, BUCKET_VARIABLE, "s3://bucket/prefix, for the rows and the artifacts", "--bucket"),
        ("role", _ROLE, ROLE_VARIABLE, "the ARN of a role that Bedrock may assume, arn:aws:iam::…:role/…", "--role"),
    )
    issues: list[Issue] = []
    for name, pattern, variable, what, flag in rules:
        value = _given(options, name)
        if not value:
            issues.append(
                Issue(
                    code="options.missing",
                    message=f"the {name} is not given: {what}.",
                    fix=f"set the option {name} ({flag}), or {variable}.",
                )
            )
        elif pattern.fullmatch(value) is None:
            issues.append(Issue(code="options.invalid", message=f"{name} is {value!r}: it is {what}."))
    return issues


def _options(spec: FineTuneSpec) -> list[Issue]:
    knobs = _knobs(spec)
    issues = common.unknown_options(spec, [*KNOWN, *knobs])
    own = {name: value for name, value in spec.options.items() if name in BedrockOptions.model_fields}
    try:
        parsed = BedrockOptions.parse(own)
    except SpecError as error:
        issues += [Issue(code="options.invalid", message=f"{problem}.") for problem in error.problems]
    else:
        if bool(parsed.subnets) != bool(parsed.security_groups):
            issues.append(
                Issue(
                    code="options.invalid",
                    message="subnets and security_groups belong together: one is set and the other is not.",
                    fix="set both, or neither.",
                )
            )
    if isinstance(url := own.get("endpoint_url"), str):
        issues += common.address("endpoint_url", url, instead="credentials come from the environment")
    issues += [
        Issue(
            code="hyperparameters.range",
            message=f"{name} is {spec.options[name]!r}: it is {knob.range} ({knob.source.title}).",
        )
        for name, knob in knobs.items()
        if name in spec.options and (not _is_number(spec.options[name]) or knob.refusal(spec.options[name]))
    ]
    asked = [
        name for name in (*REINFORCEMENT, "reasoning_effort", "grader_lambda") if spec.options.get(name) is not None
    ]
    if asked and spec.objective.kind != "reinforcement":
        issues.append(
            Issue(
                code="options.not-for-objective",
                message=f"{', '.join(asked)}: only reinforcement has it, and the objective is {spec.objective.kind!r}.",
                fix="leave it away, or set the objective.",
            )
        )
    for name, (_, least, most) in REINFORCEMENT.items():
        value = spec.options.get(name)
        if value is not None and not _whole(value, least, most):
            span = f"{least} to {most}" if most else f"{least} and more"
            issues.append(
                Issue(code="hyperparameters.range", message=f"{name} is {value!r}: it is a whole number, {span}.")
            )
    effort = spec.options.get("reasoning_effort")
    if effort is not None and effort not in EFFORTS:
        issues.append(
            Issue(
                code="hyperparameters.range",
                message=f"reasoning_effort is {effort!r}: it is one of {', '.join(EFFORTS)}.",
            )
        )
    return issues


def _knobs(spec: FineTuneSpec) -> Mapping[str, Knob]:
    entry = catalog.find(spec.model)
    return entry.options if entry is not None and spec.objective.kind == "sft" else {}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(value: Any, least: int, most: int | None) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value and (most is None or value <= most)


def _region(spec: FineTuneSpec) -> list[Issue]:
    entry = catalog.find(spec.model)
    region = region_of(spec.options)
    offered = ", ".join(entry.regions) if entry is not None else ""
    if region is None:
        return [
            Issue(
                code="region.missing",
                message="no region is set.",
                fix="set the option region, or AWS_DEFAULT_REGION"
                + (f"; {entry.name} is tuned in {offered}." if entry else "."),
            )
        ]
    if entry is not None and entry.regions and region not in entry.regions:
        return [
            Issue(
                code="region.model",
                message=f"{entry.name} ({entry.ref}) is not tuned in {region}: in {offered} ({entry.source}).",
                fix=f"set the option region to {entry.regions[0]}, with a bucket there; or another model: tuneport models.",
            )
        ]
    return []


def _grader(spec: FineTuneSpec) -> list[Issue]:
    if spec.objective.kind != "reinforcement":
        return []
    grader: Any = getattr(spec.objective, "grader", None)
    if grader and not spec.options.get("grader_lambda") and grader_of(spec) is None:
        return [
            Issue(
                code="objective.grader",
                message="Amazon Bedrock grades by a Lambda function of yours, not by OpenAI's graders.",
                fix="write the grader as a Lambda and give its ARN in the option grader_lambda.",
            )
        ]
    function = grader_of(spec)
    if function is None or _LAMBDA.fullmatch(function) is None:
        return [
            Issue(
                code="objective.grader",
                message=f"reinforcement needs a grader: grader_lambda is {function!r}, and it is a Lambda function's ARN.",
                fix="set the option grader_lambda to arn:aws:lambda:REGION:ACCOUNT:function:NAME.",
            )
        ]
    return []


def _distillation(spec: FineTuneSpec) -> list[Issue]:
    wanted, teacher = spec.options.get("customization"), spec.options.get("teacher")
    if wanted and spec.objective.kind != "sft":
        return [
            Issue(
                code="options.not-for-objective",
                message=f"customization {wanted!r} goes with the objective 'sft', not {spec.objective.kind!r}.",
            )
        ]
    if bool(wanted) != bool(teacher):
        return [
            Issue(
                code="options.invalid",
                message="distillation needs both: customization 'distillation' and teacher, a model's id.",
                fix="set both, or neither.",
            )
        ]
    value = spec.options.get(MAX_RESPONSE)
    if value is not None and (not wanted or not _whole(value, 1, None)):
        return [
            Issue(code="options.invalid", message=f"{MAX_RESPONSE} is {value!r}: a whole number, of distillation only.")
        ]
    return []


def _tags(metadata: Mapping[str, str]) -> list[Issue]:
    issues: list[Issue] = []
    for key, value in metadata.items():
        fits = 1 <= len(key) <= 128 and len(value) <= 256 and _TAG_TEXT.fullmatch(key) and _TAG_TEXT.fullmatch(value)
        if not fits or key.lower().startswith("aws:"):
            issues.append(
                Issue(
                    code="metadata.invalid",
                    message=f"metadata {key[:70]!r} cannot be a tag of AWS: letters, digits, spaces and . _ : / = + @ -, a key "
                    "of 1 to 128 that does not begin with aws:, a value of at most 256.",
                )
            )
    if TAG in metadata:
        issues.append(
            Issue(code="metadata.reserved", message=f"metadata {TAG!r} is tuneport's own: jobs are found again by it.")
        )
    if len(metadata) > _TAGS:
        issues.append(Issue(code="metadata.count", message=f"{len(metadata)} pairs of metadata: at most {_TAGS}."))
    return issues


def _rest(spec: FineTuneSpec) -> list[Issue]:
    issues: list[Issue] = []
    if spec.integrations:
        issues.append(Issue(code="unsupported.integrations", message="Amazon Bedrock has no integrations."))
    if (said := missing()) is not None:  # a plan needs no key, so this warns; the submit refuses
        issues.append(Issue(code="credentials.missing", severity="warning", message=said))
    return issues
