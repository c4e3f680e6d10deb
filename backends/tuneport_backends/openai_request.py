"""From a specification to the request that creates the job, and everything in it that the service would refuse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tuneport import catalog
from tuneport.backend import Resolved
from tuneport.catalog import Entry, Knob
from tuneport.dataset.checks.base import Target
from tuneport.dataset.issues import Issue, errors
from tuneport.errors import PlanError, SpecError
from tuneport.estimates import resolve_cloud, target
from tuneport.options import OpenAIOptions
from tuneport.spec import FineTuneSpec
from tuneport_backends import common
from tuneport_backends.openai_service import AZURE, BEDROCK, OPENAI, Service, base_url, missing

TAG = "tuneport_tag"
METHODS: Mapping[str, str] = {"sft": "supervised", "dpo": "dpo", "reinforcement": "reinforcement"}
_DIALECTS: Mapping[str, str] = {
    "sft": "openai",
    "dpo": "openai-preference",
    "reinforcement": "openai-reinforcement",
}
# What reinforcement has beside what every objective has. They are options, as no other provider has them.
REINFORCEMENT = ("compute_multiplier", "reasoning_effort", "eval_interval", "eval_samples")
_TEMPLATES: Mapping[str, str] = {
    "sft": "openai:gpt-4.1-2025-04-14",
    "dpo": "openai:gpt-4.1-2025-04-14",
    "reinforcement": "openai:o4-mini-2025-04-16",
}
_WANDB = frozenset({"project", "name", "entity", "tags"})


def known_options(service: Service) -> tuple[str, ...]:
    return (*service.options, *(REINFORCEMENT if service is not BEDROCK else ()))


def entry_for(service: Service, model: str, objective: str, options: Mapping[str, Any]) -> Entry | None:
    """What is known of the model, with the wire's own hyperparameters. For a model that is not in the catalog and a service at
    another address (`base_url`), what the API itself says; None at the provider's own."""
    found = catalog.find(f"{service.name}:{model}")
    template = catalog.find(_TEMPLATES.get(objective, _TEMPLATES["sft"]))
    if service is BEDROCK and found is not None and template is not None:
        # The catalog's names there are those of Bedrock's own API; this wire has OpenAI's.
        plain = {kind: wanted.model_copy(update={"hyperparameters": {}}) for kind, wanted in found.objectives.items()}
        return found.model_copy(update={"objectives": plain, "hyperparameters": template.hyperparameters})
    if found is not None or template is None:
        return found
    if service is not OPENAI or base_url(service, options) is None:
        return None
    objectives = {
        kind: entry.objectives[kind].model_copy(update={"limits": catalog.Limits()})
        for kind, ref in _TEMPLATES.items()
        if (entry := catalog.find(ref)) is not None
    }
    return template.model_copy(
        update={
            "id": model,
            "name": model,
            "aliases": [],
            "objectives": objectives,
            "limits": catalog.Limits(),
            "lifecycle": {},
            "price": catalog.Price(),
        }
    )


def target_of(service: Service, model: str, objective: str) -> Target:
    found = target(f"{service.name}:{model}", objective)
    if found is not None:
        return found
    return Target(model=f"{service.name}:{model}", dialect=_DIALECTS.get(objective, "openai"))


def resolved(service: Service, spec: FineTuneSpec, splits: Mapping[str, int]) -> Resolved:
    """`hyperparameters` hold the service's names and only what is sent. PlanError with every refusal."""
    entry = entry_for(service, spec.model_id.model, spec.objective.kind, spec.options)
    if entry is None:
        raise PlanError(
            f"{spec.model} is not in the catalog of models that can be tuned: tuneport models --backend {service.name}. "
            "For another service that speaks OpenAI's wire, give its base_url."
        )
    made = resolve_cloud(entry, spec, splits)
    if stopping := errors(made.issues):
        raise PlanError("; ".join(map(str, stopping)), problems=[str(issue) for issue in stopping])
    warnings = [str(issue) for issue in made.issues]
    if "seed" not in service.sends and spec.seed != FineTuneSpec.model_fields["seed"].default:
        warnings.append(f"seed {spec.seed} is not sent: {service.title} is not documented to take one.")
    knobs = _own(spec, entry)
    return Resolved(spec.method, {**made.provider, **knobs}, list(made.notes), made.steps, warnings)


def body(
    service: Service, spec: FineTuneSpec, hyperparameters: Mapping[str, Any], files: Mapping[str, str], tag: str
) -> dict[str, Any]:
    """The request that creates the job. `files`: the ids of the uploaded splits."""
    kind = METHODS[spec.objective.kind]
    settings: dict[str, Any] = {}
    if kind == "reinforcement":
        settings["grader"] = dict(getattr(spec.objective, "grader", None) or {})
    if hyperparameters:
        settings["hyperparameters"] = dict(hyperparameters)
    made: dict[str, Any] = {
        "model": _snapshot(service, spec.model_id.model, spec.options),
        "training_file": files["train"],
        "method": {"type": kind, kind: settings},
    }
    if "validation" in files:
        made["validation_file"] = files["validation"]
    optional = {
        "metadata": {**spec.metadata, TAG: tag},
        "seed": spec.seed,
        "suffix": spec.options.get("suffix"),
        "integrations": list(spec.integrations),
    }
    made |= {name: value for name, value in optional.items() if name in service.sends and value not in (None, [])}
    return made


def check(service: Service, spec: FineTuneSpec) -> list[Issue]:
    """What the service would refuse, beside the rows and the hyperparameters."""
    return [
        *_options(service, spec),
        *_grader(service, spec),
        *_metadata(service, spec.metadata),
        *_integrations(service, spec.integrations),
        *_reachable(service, spec),
    ]


def _options(service: Service, spec: FineTuneSpec) -> list[Issue]:
    known = known_options(service)
    issues = [
        Issue(
            code="options.unknown",
            message=f"unknown option {name!r} of the {service.name} backend: known: {', '.join(known)}.",
        )
        for name in spec.options
        if name not in known
    ]
    own = {name: value for name, value in spec.options.items() if name in service.options}
    try:
        OpenAIOptions.parse(own)
    except SpecError as error:
        issues += [Issue(code="options.invalid", message=f"{problem}.") for problem in error.problems]
    url = own.get("base_url")
    if isinstance(url, str):
        issues += common.address(
            "base_url", url, instead="the key comes from the environment", example="https://api.openai.com/v1"
        )
    asked = [name for name in REINFORCEMENT if name in spec.options and name in known]
    if asked and spec.objective.kind != "reinforcement":
        issues.append(
            Issue(
                code="options.not-for-objective",
                message=f"{', '.join(asked)}: only reinforcement has it, and the objective is {spec.objective.kind!r}.",
                fix="leave it away, or set the objective.",
            )
        )
    elif asked and (entry := entry_for(service, spec.model_id.model, "reinforcement", spec.options)) is not None:
        issues += [
            _refused(name, spec.options[name], knob)
            for name in asked
            if (knob := entry.options.get(name)) is not None and _unfit(spec.options[name], knob)
        ]
    return issues


def _unfit(value: Any, knob: Knob) -> bool:
    if value == "auto":
        return knob.default != "auto"
    if knob.choices:
        return value not in knob.choices
    return isinstance(value, bool) or not isinstance(value, (int, float)) or knob.refusal(value) is not None


def _refused(name: str, value: Any, knob: Knob) -> Issue:
    also = " or auto" if knob.default == "auto" else ""
    return Issue(
        code="hyperparameters.range",
        message=f"{name} is {value!r}: it is {knob.range}{also} ({knob.source.title}).",
        fix="give such a value, or leave it unset.",
    )


def _own(spec: FineTuneSpec, entry: Entry) -> dict[str, Any]:
    if spec.objective.kind != "reinforcement":
        return {}
    return {name: spec.options[name] for name in REINFORCEMENT if name in spec.options and name in entry.options}


def _grader(service: Service, spec: FineTuneSpec) -> list[Issue]:
    if spec.objective.kind != "reinforcement":
        return []
    grader = getattr(spec.objective, "grader", None)
    types = ", ".join(sorted(service.graders))
    if not isinstance(grader, dict) or not grader:
        return [
            Issue(
                code="objective.grader",
                message="reinforcement needs a grader: what makes an answer good.",
                fix=f"give objective.grader with one of these types: {types}.",
            )
        ]
    kind = cast("dict[str, Any]", grader).get("type")
    if kind not in service.graders:
        return [
            Issue(
                code="objective.grader",
                message=f"the grader's type is {kind!r}: {service.title} runs {types}.",
                fix="change it, or choose another target.",
            )
        ]
    return []


def _metadata(service: Service, metadata: Mapping[str, str]) -> list[Issue]:
    if "metadata" not in service.sends:
        return (
            [
                Issue(
                    code="unsupported.metadata",
                    message=f"metadata cannot be sent: {service.title} is not documented to keep any.",
                    fix="leave metadata unset; the job's name and tag are kept here.",
                )
            ]
            if metadata
            else []
        )
    wrong = [key for key, value in metadata.items() if not 1 <= len(key) <= 64 or len(value) > 512]
    issues = [
        Issue(
            code="metadata.length",
            message=f"metadata {key[:70]!r}: a key has 1 to 64 characters and a value at most 512.",
        )
        for key in wrong
    ]
    if len(metadata) > 15:
        issues.append(
            Issue(
                code="metadata.count",
                message=f"{len(metadata)} pairs of metadata: {service.title} keeps 16, and one is tuneport's own tag.",
                fix="give at most 15.",
            )
        )
    if TAG in metadata:
        issues.append(
            Issue(code="metadata.reserved", message=f"metadata {TAG!r} is tuneport's own: jobs are found again by it.")
        )
    return issues


def _integrations(service: Service, integrations: list[dict[str, Any]]) -> list[Issue]:
    if integrations and "integrations" not in service.sends:
        return [Issue(code="unsupported.integrations", message=f"{service.title} has no integrations.")]
    issues: list[Issue] = []
    for number, item in enumerate(integrations):
        wandb = item.get("wandb")
        inner = cast("dict[str, Any]", wandb) if isinstance(wandb, dict) else {}
        fits = (
            set(item) == {"type", "wandb"}
            and item["type"] == "wandb"
            and isinstance(inner.get("project"), str)
            and set(inner) <= _WANDB
        )
        if not fits:
            issues.append(
                Issue(
                    code="integrations.invalid",
                    message=f"integrations[{number}] is not one that {service.title} knows.",
                    fix="{'type': 'wandb', 'wandb': {'project': …}}, with name, entity and tags if you like. The key of "
                    "Weights & Biases is kept in the provider's own settings, never here.",
                )
            )
    if len(integrations) > 5:
        issues.append(Issue(code="integrations.count", message=f"{len(integrations)} integrations: at most 5."))
    return issues


def _reachable(service: Service, spec: FineTuneSpec) -> list[Issue]:
    """A plan needs no key, so this warns; the submit refuses."""
    said = missing(service)
    if said is None or (service is AZURE and spec.options.get("base_url") and "address" in said):
        return []
    return [Issue(code="credentials.missing", severity="warning", message=said)]


def _snapshot(service: Service, model: str, options: Mapping[str, Any]) -> str:
    """An alias as the snapshot that was planned and priced; any other name, and any of another service, as it was given."""
    other = service is OPENAI and base_url(service, options) is not None
    if service is BEDROCK or other or model.startswith("ft:"):
        return model
    entry = catalog.find(f"{service.name}:{model}")
    return entry.id if entry is not None and model in entry.aliases else model
