"""What the simulated Vertex AI takes: each request held against google.genai.types, the SDK's own description of the wire.

Both key cases are understood, as Google's JSON does; a field that the types do not have is refused in Google's own words.
"""

from __future__ import annotations

import re
import types as python_types
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, Union, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from tuneport_backends.simulators.wire import Refused, Reply

Row = dict[str, Any]
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_MESSAGES = {
    401: "Request had invalid authentication credentials. Expected OAuth 2 access token.",
    403: "Permission denied on resource.",
    404: "Not found.",
    429: "Resource has been exhausted (e.g. check quota).",
    500: "Internal error encountered.",
    503: "The service is currently unavailable.",
}
# Of a TuningJob, what its creator may set; the rest is the service's to say.
_SETTABLE = (
    "baseModel",
    "preTunedModel",
    "supervisedTuningSpec",
    "preferenceOptimizationSpec",
    "reinforcementTuningSpec",
    "distillationSpec",
    "tunedModelDisplayName",
    "description",
    "labels",
    "encryptionSpec",
    "outputUri",
    "customBaseModel",
    "serviceAccount",
    "evaluationConfig",
)
_GENERATE = {
    "contents": "Content",
    "systemInstruction": "Content",
    "generationConfig": "GenerationConfig",
    "tools": "Tool",
    "toolConfig": "ToolConfig",
    "safetySettings": "SafetySetting",
}
_LABEL_KEY = re.compile(r"[a-z][\w-]{0,62}")
_LABEL_VALUE = re.compile(r"[\w-]{0,63}")


class Refusal(Refused):
    """An error, in Google's shape. `status` None: the usual word for the code."""

    def __init__(self, code: int, message: str, status: str | None = None) -> None:
        body = {"error": {"code": code, "message": message, "status": status or _STATUS.get(code, "UNKNOWN")}}
        super().__init__(message, Reply(code, body))


def usual(code: int) -> Refusal:
    return Refusal(code, _MESSAGES.get(code, "Request contains an invalid argument."))


def inner(value: Any) -> Row:
    return cast("Row", value) if isinstance(value, dict) else {}


@lru_cache
def _types() -> Any:
    from google.genai import types

    return types


def job(body: Any) -> Row:
    """A TuningJob as its creator may send it, with keys in camelCase."""
    given = _fits(body, _types().TuningJob, "tuning_job", _SETTABLE)
    specs = [name for name in given if name.endswith("Spec") and name != "encryptionSpec"]
    if ("baseModel" in given) == ("preTunedModel" in given):
        raise Refusal(400, "Exactly one of base_model and pre_tuned_model must be set.")
    if len(specs) != 1:
        raise Refusal(400, "Exactly one tuning spec must be set.")
    spec = inner(given[specs[0]])
    uri = spec.get("trainingDatasetUri")
    if not isinstance(uri, str) or not re.fullmatch(r"gs://[^/]+/.+", uri):
        raise Refusal(400, f"training_dataset_uri {uri!r} is not a Cloud Storage URI.")
    labels = inner(given.get("labels"))
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value) or (key + value).lower() != key + value:
            raise Refusal(400, f"Label {key!r}: {value!r} is invalid.")
    if len(labels) > 64:
        raise Refusal(400, "At most 64 labels are allowed.")
    if len(str(given.get("tunedModelDisplayName", ""))) > 128:
        raise Refusal(400, "The display name has more than 128 characters.")
    return given


def generate(body: Any) -> Row:
    if not isinstance(body, dict):
        raise Refusal(400, "Invalid JSON payload received.")
    made: Row = {}
    for name, value in cast("Row", body).items():
        key = to_camel(name) if "_" in name else name
        if key == "labels":
            made[key] = value
            continue
        if key not in _GENERATE:
            raise _unknown(name, "")
        model = getattr(_types(), _GENERATE[key])
        many = isinstance(value, list)
        items = cast("list[Any]", value) if many else [value]
        read = [_fits(item, model, key) for item in items]
        made[key] = read if many else read[0]
    contents = made.get("contents")
    if not contents or not isinstance(contents, list):
        raise Refusal(400, "Unable to submit request because at least one contents field is required.")
    for content in cast("list[Row]", contents):
        if content.get("role", "user") not in {"user", "model", "function"}:
            raise Refusal(400, "Please use a valid role: user, model.")
        if not content.get("parts"):
            raise Refusal(400, "Unable to submit request because it must have a parts field.")
    config = inner(made.get("generationConfig"))
    temperature = config.get("temperature")
    if temperature is not None and not 0 <= temperature <= 2:
        raise Refusal(400, f"temperature {temperature} is out of the supported range from 0 to 2.")
    if config.get("maxOutputTokens") is not None and config["maxOutputTokens"] < 1:
        raise Refusal(400, "maxOutputTokens must be at least 1.")
    return made


def _unknown(name: str, path: str) -> Refusal:
    at = f" at '{path}'" if path else ""
    return Refusal(400, f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.')


def _wrong(path: str, value: Any) -> Refusal:
    return Refusal(400, f"Invalid value at '{path}', {value!r}")


def _fits(value: Any, model: type[BaseModel], path: str, only: tuple[str, ...] | None = None) -> Row:
    if not isinstance(value, dict):
        raise _wrong(path, value)
    known = {to_camel(name): field.annotation for name, field in model.model_fields.items()}
    made: Row = {}
    for name, item in cast("Row", value).items():
        key = name if name in known else to_camel(name)
        if key not in known or (only is not None and key not in only) or key == "sdkHttpResponse":
            raise _unknown(name, path)
        if key in made:
            raise Refusal(400, f"Field {name} at '{path}' is set twice.")
        made[key] = _typed(item, known[key], f"{path}.{name}")
    return made


def _typed(value: Any, wanted: Any, path: str) -> Any:
    origin = get_origin(wanted)
    if origin in {Union, python_types.UnionType}:
        choices = [choice for choice in get_args(wanted) if choice is not type(None)]
        for number, choice in enumerate(choices):
            try:
                return _typed(value, choice, path)
            except Refusal:
                if number == len(choices) - 1:
                    raise
    if origin is list:
        if not isinstance(value, list):
            raise _wrong(path, value)
        (of,) = get_args(wanted) or (Any,)
        return [_typed(item, of, f"{path}[{n}]") for n, item in enumerate(cast("list[Any]", value))]
    if origin is dict or wanted is dict:
        if not isinstance(value, dict):
            raise _wrong(path, value)
        of = (get_args(wanted) or (Any, Any))[1]
        return {key: _typed(item, of, f"{path}.{key}") for key, item in cast("Row", value).items()}
    if isinstance(wanted, type):
        return _scalar(value, wanted, path)
    return value


def _scalar(value: Any, wanted: type[Any], path: str) -> Any:
    if issubclass(wanted, BaseModel):
        return _fits(value, wanted, path)
    if issubclass(wanted, Enum):
        if value not in {member.value for member in wanted}:
            raise _wrong(path, value)
        return value
    if wanted is bool:
        if not isinstance(value, bool):
            raise _wrong(path, value)
    elif wanted is int:
        if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
            return int(value)  # 64-bit integers are also written as strings
        if isinstance(value, bool) or not isinstance(value, (int, float)) or int(value) != value:
            raise _wrong(path, value)
        return int(value)
    elif wanted is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _wrong(path, value)
    elif wanted is str and not isinstance(value, str):
        raise _wrong(path, value)
    return value


def number(spec: Mapping[str, Any], name: str, low: float, *, above: bool = False) -> None:
    """A hyperparameter's range."""
    value = spec.get(name)
    if value is not None and (value < low or (above and value == low)):
        raise Refusal(
            400, f"hyper_parameters.{name} is {value}: it must be {'above' if above else 'at least'} {low:g}."
        )
