"""From a specification to the request that creates the job, and everything in it that the service would refuse."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, cast

from tuneport import catalog
from tuneport.backend import Resolved
from tuneport.dataset.checks.base import Target
from tuneport.dataset.issues import Issue
from tuneport.errors import SpecError
from tuneport.estimates import target
from tuneport.options import VertexOptions
from tuneport.spec import FineTuneSpec
from tuneport_backends import common
from tuneport_backends.vertex_service import BUCKET, PROJECT, Place, is_loopback, missing, setting, split_uri

_DISTILLING = ("customization", "teacher")  # the options by which bedrock is asked for it
TAG = "tuneport-tag"
OPTIONS = tuple(VertexOptions.model_fields)
METHODS: Mapping[str, str] = {
    "sft": "SUPERVISED_FINE_TUNING",
    "dpo": "PREFERENCE_TUNING",
    "reinforcement": "REINFORCEMENT_TUNING",
}
SIZES: Mapping[int, str] = {
    1: "ADAPTER_SIZE_ONE",
    2: "ADAPTER_SIZE_TWO",
    4: "ADAPTER_SIZE_FOUR",
    8: "ADAPTER_SIZE_EIGHT",
    16: "ADAPTER_SIZE_SIXTEEN",
    32: "ADAPTER_SIZE_THIRTY_TWO",
}
_DIALECTS: Mapping[str, str] = {"sft": "vertex", "dpo": "vertex-preference", "reinforcement": "vertex-reinforcement"}
_MODES: Mapping[str, str] = {"full": "TUNING_MODE_FULL", "lora": "TUNING_MODE_PEFT_ADAPTER"}
_TUNED = "projects/*/locations/*/models/*"
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_BUCKET = re.compile(r"(gs://)?[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/.*)?")
_PLACEHOLDER = re.compile(r"\{\{\s*item\.([A-Za-z0-9_-]+)\s*\}\}")
_GRADERS = "string_check with operation eq on {{sample.output_text}}, and python"
# OpenAI's graders define grade(sample, item); Vertex's code defines evaluate(example, response).
_PYTHON = """
def evaluate(example, response):
    parts = response.get("parts", [])
    text = "".join(part.get("text", "") for part in parts if not part.get("thought"))
    return float(grade({"output_text": text}, dict(example.get("references", {}))))
"""


def target_of(model: str, objective: str) -> Target:
    found = target(f"vertex:{model}", objective)
    if found is not None:
        return found
    return Target(model=f"vertex:{model}", dialect=_DIALECTS.get(objective, "vertex"))


def is_open(model: str) -> bool:
    """Whether it is an open model, whose weights land in a bucket and answer only once they are deployed."""
    entry = catalog.find(f"vertex:{model}")
    return entry is not None and entry.deploys


def resolved(spec: FineTuneSpec, splits: Mapping[str, int]) -> Resolved:
    """By the catalog. `hyperparameters` hold google-genai's names and only what is sent."""
    made = common.resolved(spec, splits)
    warnings = list(made.warnings)
    if spec.seed != FineTuneSpec.model_fields["seed"].default:
        warnings.append(f"seed {spec.seed} is not sent: Vertex AI's tuning takes none.")
    if is_open(spec.model_id.model):
        warnings.append(
            f"{spec.model} is tuned into weights in the bucket: they answer only after they are deployed in Vertex AI's model "
            "registry, which costs by the hour."
        )
    return Resolved(made.method, made.hyperparameters, made.notes, made.steps, warnings)


def config(
    spec: FineTuneSpec, hyperparameters: Mapping[str, Any], uris: Mapping[str, str], tag: str, found: Place
) -> dict[str, Any]:
    """`CreateTuningJobConfig`'s fields. A learning rate is sent as one or not at all, never as a multiplier."""
    made: dict[str, Any] = {
        "method": METHODS[spec.objective.kind],
        "tuned_model_display_name": tag,
        "labels": {**spec.metadata, TAG: tag},
        **hyperparameters,
    }
    size = made.pop("adapter_size", None) or spec.options.get("adapter_size")
    if size is not None:
        made["adapter_size"] = SIZES[int(size)]
    if "validation" in uris:
        made["validation_dataset"] = {"gcs_uri": uris["validation"]}
    if spec.objective.kind == "reinforcement":
        made["reward_config"] = reward(getattr(spec.objective, "grader", None) or {})
    if is_open(spec.model_id.model):
        made["output_uri"] = spec.options.get("output") or found.uri(found.object(tag, "output"))
        if spec.method is not None:
            made["tuning_mode"] = _MODES[spec.method.kind]
    return made


def base_of(model: str) -> str:
    """The id that the service knows the model by: an alias as what it stands for, a tuned model's name as it is."""
    entry = catalog.find(f"vertex:{model}")
    if entry is None or fnmatchcase(model, _TUNED):
        return model
    return entry.id


def reward(grader: Mapping[str, Any]) -> dict[str, Any]:
    """A grader in OpenAI's shape as a single reward; SpecError where it cannot be said exactly."""
    kind, name = grader.get("type"), re.sub(r"[^a-z0-9_]", "_", str(grader.get("name") or "reward").lower())
    if kind == "python" and isinstance(source := grader.get("source"), str):
        return {"reward_name": name, "code_execution_reward_scorer": {"python_code_snippet": f"{source}\n{_PYTHON}"}}
    if kind == "string_check":
        looked, reference = str(grader.get("input", "")), str(grader.get("reference", ""))
        plain = re.fullmatch(r"\{\{\s*sample\.output_text\s*\}\}", looked.strip()) is not None
        expression = _PLACEHOLDER.sub(r"{{references.\1}}", reference)
        rest = re.sub(r"\{\{references\.[A-Za-z0-9_-]+\}\}", "", expression)
        if plain and grader.get("operation") == "eq" and "{{" not in rest:
            return {
                "reward_name": name,
                "string_match_reward_scorer": {
                    "correct_answer_reward": 1.0,
                    "wrong_answer_reward": 0.0,
                    "string_match_expression": {"match_operation": "EXACT_MATCH", "expression": expression},
                },
            }
    raise SpecError(
        f"the grader {json.dumps(dict(grader), default=str)[:120]} cannot be said exactly to Vertex AI: it takes {_GRADERS}."
    )


def check(spec: FineTuneSpec) -> list[Issue]:
    """What the service would refuse, beside the rows and the hyperparameters."""
    return [
        *common.unknown_options(_apart(spec), OPTIONS),
        *_distillation(spec.options),
        *_options(spec),
        *_place(spec),
        *_grader(spec),
        *_labels(spec.metadata),
        *_integrations(spec),
        *_packages(),
    ]


def _apart(spec: FineTuneSpec) -> FineTuneSpec:
    """Without the options that have a refusal of their own."""
    return spec.model_copy(update={"options": {k: v for k, v in spec.options.items() if k not in _DISTILLING}})


def _distillation(options: Mapping[str, Any]) -> list[Issue]:
    asked = [name for name in _DISTILLING if options.get(name)]
    if not asked:
        return []
    return [
        Issue(
            code="unsupported.option",
            message=f"{asked[0]} is {options[asked[0]]!r}: distillation is not offered at Vertex AI from here, as the "
            "models and teachers that it takes are not documented.",
            fix="let the teacher write the answers and tune on them (objective sft), or distil at bedrock.",
        )
    ]


def _options(spec: FineTuneSpec) -> list[Issue]:
    own = {name: value for name, value in spec.options.items() if name in OPTIONS}
    issues: list[Issue] = []
    try:
        VertexOptions.parse(own)
    except SpecError as error:
        issues += [Issue(code="options.invalid", message=f"{problem}.") for problem in error.problems]
    rank = getattr(spec.method, "rank", None) if spec.method and "rank" in spec.method.model_fields_set else None
    size = own.get("adapter_size")
    if rank is not None and size is not None and rank != size:
        issues.append(
            Issue(
                code="options.conflict",
                message=f"adapter_size is {size!r} and the method's rank is {rank}: they are the same setting.",
                fix="give one of them.",
            )
        )
    url = setting(own, "base_url")
    if url is not None:
        issues += common.address("base_url", url, instead="Google's own login is used", plain=is_loopback(url))
    output = own.get("output")
    if output and not is_open(spec.model_id.model):
        issues.append(
            Issue(
                code="options.not-for-model",
                message=f"output is {output!r}: only open models have it, and {spec.model} is none.",
                fix="leave it away.",
            )
        )
    if own.get("machine_type"):
        issues.append(
            Issue(
                code="unsupported.option",
                message=f"machine_type is {own['machine_type']!r}, but tuning makes no endpoint.",
                fix="leave it away, and say it when the tuned model is deployed, with accelerator_type and accelerator_count.",
            )
        )
    if isinstance(output, str) and not output.startswith("gs://"):
        issues.append(Issue(code="options.invalid", message=f"output is {output!r}: it begins with gs://."))
    return issues


def _place(spec: FineTuneSpec) -> list[Issue]:
    issues: list[Issue] = []
    if setting(spec.options, "project") is None:
        issues.append(
            Issue(
                code="options.project",
                message="no Google Cloud project is named.",
                fix=f"set {PROJECT}, or the option project (--project).",
            )
        )
    bucket = setting(spec.options, "bucket")
    if bucket is None:
        issues.append(
            Issue(
                code="options.bucket",
                message="no bucket is named: Vertex AI reads the rows from Cloud Storage.",
                fix=f"set {BUCKET}, or the option bucket (--bucket gs://bucket/prefix), in the location of the job.",
            )
        )
    elif not _BUCKET.fullmatch(bucket) or not split_uri(bucket)[0]:
        issues.append(
            Issue(
                code="options.invalid",
                message=f"bucket is {bucket!r}: it is gs://bucket or gs://bucket/prefix.",
            )
        )
    location = setting(spec.options, "location")
    entry = catalog.find(spec.model)
    if location == "global":
        issues.append(
            Issue(
                code="options.location",
                message="location is 'global': jobs are tuned in a region.",
                fix=f"use one of: {', '.join(entry.regions) if entry and entry.regions else 'us-central1, europe-west4'}.",
            )
        )
    elif entry is not None and entry.regions and location not in entry.regions:
        issues.append(
            Issue(
                code="options.location",
                severity="warning",  # the list may have grown since it was read
                message=f"location is {location!r}: {entry.name} is documented to be tuned in {', '.join(entry.regions)}.",
                fix="use one of them, if the service refuses.",
            )
        )
    return issues


def _grader(spec: FineTuneSpec) -> list[Issue]:
    if spec.objective.kind != "reinforcement":
        return []
    grader = getattr(spec.objective, "grader", None)
    if not isinstance(grader, dict) or not grader:
        return [
            Issue(
                code="objective.grader",
                message="reinforcement needs a grader: what makes an answer good.",
                fix=f"give objective.grader; Vertex AI takes {_GRADERS}.",
            )
        ]
    try:
        reward(cast("dict[str, Any]", grader))
    except SpecError as error:
        return [Issue(code="objective.grader", message=error.message, fix="change it, or choose another target.")]
    return []


def _labels(metadata: Mapping[str, str]) -> list[Issue]:
    issues = [
        Issue(
            code="metadata.label",
            message=f"metadata {key[:70]!r}: {value[:70]!r} cannot be a Google label: lower-case letters, digits, _ and -, at "
            "most 63 of them, and a key that begins with a letter.",
            fix="change it, or leave it unset.",
        )
        for key, value in metadata.items()
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value)
    ]
    if len(metadata) > 63:
        issues.append(
            Issue(
                code="metadata.count",
                message=f"{len(metadata)} pairs of metadata: a job has at most 64 labels, and one is tuneport's own tag.",
            )
        )
    if TAG in metadata:
        issues.append(
            Issue(code="metadata.reserved", message=f"metadata {TAG!r} is tuneport's own: jobs are found again by it.")
        )
    return issues


def _integrations(spec: FineTuneSpec) -> list[Issue]:
    if not spec.integrations:
        return []
    return [
        Issue(code="unsupported.integrations", message="Vertex AI's tuning has no integrations.", fix="leave them out.")
    ]


def _packages() -> list[Issue]:
    """A plan needs no package and no login, so this warns; the submit refuses."""
    said = missing()
    return [] if said is None else [Issue(code="credentials.missing", severity="warning", message=f"{said}.")]
