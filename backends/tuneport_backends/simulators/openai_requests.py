"""What the simulated OpenAI refuses in a request: an unknown field, a wrong type, a value out of range.

Stricter than the OpenAPI document, which closes few of its objects: the service itself refuses fields that it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

from tuneport_backends.simulators.openai_rows import Row, inner, one_of
from tuneport_backends.simulators.wire import Refused, Reply

Check = Callable[[Any], bool]
_JOB_FIELDS = frozenset(
    {
        "model",
        "training_file",
        "validation_file",
        "hyperparameters",
        "method",
        "seed",
        "suffix",
        "metadata",
        "integrations",
    }
)
_BEDROCK_FIELDS = frozenset({"model", "training_file", "validation_file", "method"})
_WANDB = frozenset({"project", "name", "entity", "tags"})
_PURPOSES = frozenset({"assistants", "batch", "fine-tune", "vision", "user_data", "evals"})
_UPLOAD_PURPOSES = frozenset({"assistants", "batch", "fine-tune", "vision"})
_CHAT_FIELDS = frozenset(
    {
        "model",
        "messages",
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "n",
        "seed",
        "stop",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "stream",
        "user",
        "metadata",
        "presence_penalty",
        "frequency_penalty",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "reasoning_effort",
        "store",
    }
)
_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_ARN = re.compile(r"arn:aws[\w-]*:lambda:[\w-]+:\d{12}:function:.+")


class Part(NamedTuple):
    """A file in a form."""

    name: str
    content: bytes


class Refusal(Refused):
    """An error, in the service's shape."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
    ) -> None:
        body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
        super().__init__(message, Reply(status, body))


def _number(low: float, high: float | None = None, *, above: bool = False) -> Check:
    def check(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return (value > low if above else value >= low) and (high is None or value <= high)

    return check


def _whole(low: int, high: int | None = None) -> Check:
    inside = _number(low, high)
    return lambda value: isinstance(value, int) and inside(value)


_COMMON: Mapping[str, Check] = {
    "n_epochs": _whole(1, 50),
    "batch_size": _whole(1, 256),
    "learning_rate_multiplier": _number(0, above=True),
}
HYPERPARAMETERS: Mapping[str, Mapping[str, Check]] = {
    "supervised": _COMMON,
    "dpo": {**_COMMON, "beta": _number(0, 2, above=True)},
    "reinforcement": {
        **_COMMON,
        "compute_multiplier": _number(0.00001, 10, above=True),
        "eval_interval": _whole(1),
        "eval_samples": _whole(1),
        "reasoning_effort": lambda value: one_of(value, ("default", "low", "medium", "high")),
    },
}


def job(body: Any, service: str) -> Row:
    """The body of a create, whole and in range; `Refusal` for the first thing that is wrong with it."""
    given = _object(body, "the request body")
    allowed = _BEDROCK_FIELDS if service == "bedrock-openai" else _JOB_FIELDS
    _closed(given, allowed)
    for name in ("model", "training_file"):
        if name not in given:
            raise Refusal(400, f"you must provide a {name} parameter", param=name)
        _demand(isinstance(given[name], str) and given[name], name, "a non-empty string")
    _optional(given, "validation_file", lambda value: isinstance(value, str) and bool(value), "a string")
    _optional(given, "seed", _whole(0, 2**31 - 1), "an integer between 0 and 2147483647")
    _optional(
        given,
        "suffix",
        lambda value: isinstance(value, str) and 1 <= len(value) <= 64,
        "a string of 1 to 64 characters",
    )
    if given.get("metadata") is not None:
        metadata(given["metadata"])
    if given.get("integrations") is not None:
        _integrations(given["integrations"])
    if given.get("hyperparameters") is not None:
        if "method" in given:
            raise Refusal(
                400, "'hyperparameters' and 'method' cannot both be set: use 'method'.", param="hyperparameters"
            )
        _hyperparameters(given["hyperparameters"], "supervised", "hyperparameters")
    if given.get("method") is not None:
        _method(given["method"], service)
    elif service == "bedrock-openai":
        raise Refusal(400, "method is required", param="method")
    return given


def metadata(value: Any) -> None:
    pairs = _object(value, "metadata", "metadata")
    if len(pairs) > 16:
        raise Refusal(400, f"Metadata has {len(pairs)} pairs, but at most 16 are allowed.", param="metadata")
    for name, item in pairs.items():
        _demand(1 <= len(name) <= 64, "metadata", "a map whose keys have 1 to 64 characters")
        _demand(isinstance(item, str) and len(item) <= 512, f"metadata.{name}", "a string of at most 512 characters")


def _method(value: Any, service: str) -> None:
    method = _object(value, "method", "method")
    kind = method.get("type")
    if not one_of(kind, HYPERPARAMETERS) or (service == "bedrock-openai" and kind != "reinforcement"):
        raise Refusal(400, f"Invalid value for method.type: {kind!r}", code="invalid_value", param="method.type")
    _closed(method, frozenset({"type", str(kind)}), "method.")
    said = _object(method.get(str(kind), {}), f"method.{kind}", f"method.{kind}")
    allowed = ["hyperparameters", *(["grader"] if kind == "reinforcement" else [])]
    _closed(said, frozenset(allowed), f"method.{kind}.")
    if said.get("hyperparameters") is not None:
        _hyperparameters(said["hyperparameters"], str(kind), f"method.{kind}.hyperparameters")
    if kind == "reinforcement":
        if "grader" not in said:
            raise Refusal(
                400,
                "Missing required parameter: 'method.reinforcement.grader'.",
                code="missing_required_parameter",
                param="method.reinforcement.grader",
            )
        grader(said["grader"], service)


def grader(value: Any, service: str, where: str = "method.reinforcement.grader") -> None:
    given = _object(value, where, where)
    kind = given.get("type")
    if service == "bedrock-openai":
        arn = inner(given.get("lambda")).get("function")
        fits = kind == "lambda" and set(given) == {"type", "lambda"} and isinstance(arn, str) and _ARN.fullmatch(arn)
        _demand(fits, where, "a grader of type lambda with a function's ARN")
        return
    shapes: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
        "string_check": (frozenset({"name", "input", "reference", "operation"}), frozenset()),
        "text_similarity": (frozenset({"name", "input", "reference", "evaluation_metric"}), frozenset()),
        "python": (frozenset({"name", "source"}), frozenset({"image_tag"})),
        "score_model": (frozenset({"name", "input", "model"}), frozenset({"range", "sampling_params"})),
        "multi": (frozenset({"name", "graders", "calculate_output"}), frozenset()),
    }
    if not one_of(kind, shapes):
        raise Refusal(400, f"Invalid value for {where}.type: {kind!r}", code="invalid_value", param=f"{where}.type")
    needed, free = shapes[str(kind)]
    for name in sorted(needed):
        _demand(name in given, f"{where}.{name}", "present")
    _closed(given, needed | free | {"type"}, f"{where}.")
    for name in needed & {"input", "reference", "source", "operation", "evaluation_metric", "calculate_output", "name"}:
        # A score model's input is a list of messages.
        fits = isinstance(given[name], list if kind == "score_model" and name == "input" else str)
        _demand(fits, f"{where}.{name}", "of its type")
    if kind == "string_check":
        _demand(
            one_of(given["operation"], ("eq", "ne", "like", "ilike")),
            f"{where}.operation",
            "one of eq, ne, like and ilike",
        )
    if kind == "multi":
        for name, one in _object(given["graders"], f"{where}.graders", f"{where}.graders").items():
            grader(one, service, f"{where}.graders.{name}")


def _hyperparameters(value: Any, kind: str, where: str) -> None:
    given = _object(value, where, where)
    known = HYPERPARAMETERS[kind]
    _closed(given, frozenset(known), f"{where}.")
    for name, item in given.items():
        if item == "auto" and name != "reasoning_effort":
            continue
        _demand(known[name](item), f"{where}.{name}", "'auto' or a number in its range")


def _integrations(value: Any) -> None:
    items = cast("list[Any]", value) if isinstance(value, list) else None
    if items is None or len(items) > 5:
        raise Refusal(400, "integrations must be a list of at most 5", param="integrations")
    for item in items:
        given = _object(item, "integrations", "integrations")
        _demand(set(given) == {"type", "wandb"} and given["type"] == "wandb", "integrations", "of type wandb")
        wandb = _object(given["wandb"], "integrations.wandb", "integrations.wandb")
        _closed(wandb, _WANDB, "integrations.wandb.")
        _demand(isinstance(wandb.get("project"), str), "integrations.wandb.project", "a string")


def file(form: Mapping[str, Any]) -> tuple[str, str, bytes]:
    """A file's name, purpose and content."""
    _closed(form, frozenset({"file", "purpose", "expires_after[anchor]", "expires_after[seconds]"}))
    purpose, part = form.get("purpose"), form.get("file")
    if not isinstance(part, Part):
        raise Refusal(400, "'file' is a required property", param="file")
    if not one_of(purpose, _PURPOSES):
        raise Refusal(400, f"'{purpose}' is not one of {sorted(_PURPOSES)} - 'purpose'", param="purpose")
    name, content = part
    _jsonl(str(purpose), name)
    if len(content) > 512 * 2**20:
        raise Refusal(413, "The file is too large: at most 512 MB", param="file")
    if not content:
        raise Refusal(400, "File is empty.", param="file")
    return name, str(purpose), content


def upload(body: Any) -> Row:
    given = _object(body, "the request body")
    _closed(given, frozenset({"filename", "purpose", "bytes", "mime_type", "expires_after"}))
    for name in ("filename", "mime_type"):
        _demand(isinstance(given.get(name), str) and given[name], name, "a non-empty string")
    _demand(one_of(given.get("purpose"), _UPLOAD_PURPOSES), "purpose", f"one of {sorted(_UPLOAD_PURPOSES)}")
    _demand(_whole(1, 8 * 2**30)(given.get("bytes")), "bytes", "an integer of at most 8 GB")
    _jsonl(str(given["purpose"]), str(given["filename"]))
    return given


def complete(body: Any) -> Row:
    given = _object(body, "the request body")
    _closed(given, frozenset({"part_ids", "md5"}))
    parts = given.get("part_ids")
    fits = isinstance(parts, list) and all(isinstance(part, str) for part in cast("list[Any]", parts))
    _demand(fits, "part_ids", "a list of strings")
    _optional(given, "md5", lambda value: isinstance(value, str), "a string")
    return given


def chat(body: Any, *, reasons: bool) -> Row:
    """`reasons`: the model is one that takes neither max_tokens nor a temperature."""
    given = _object(body, "the request body")
    _closed(given, _CHAT_FIELDS)
    _demand(isinstance(given.get("model"), str), "model", "a string")
    messages = given.get("messages")
    turns = cast("list[Any]", messages) if isinstance(messages, list) else []
    _demand(turns, "messages", "a non-empty list")
    for index, item in enumerate(turns):
        turn = _object(item, f"messages[{index}]", f"messages[{index}]")
        _demand(
            one_of(turn.get("role"), _ROLES),
            f"messages[{index}].role",
            "a known role",
        )
    _optional(given, "temperature", _number(0, 2), "a number between 0 and 2")
    for name in ("max_tokens", "max_completion_tokens"):
        _optional(given, name, _whole(1), "an integer of at least 1")
    _optional(given, "seed", lambda value: isinstance(value, int) and not isinstance(value, bool), "an integer")
    if given.get("stream"):
        raise Refusal(400, "The simulator does not stream.", code="unsupported_value", param="stream")
    if reasons and "max_tokens" in given:
        raise Refusal(
            400,
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            code="unsupported_parameter",
            param="max_tokens",
        )
    if reasons and given.get("temperature", 1) != 1:
        raise Refusal(
            400,
            "Unsupported value: 'temperature' does not support this value with this model. Only the default (1) value is "
            "supported.",
            code="unsupported_value",
            param="temperature",
        )
    return given


def limit(query: Mapping[str, str], default: int, most: int) -> int:
    text = query.get("limit")
    if text is None:
        return default
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise Refusal(
            400, f"Invalid 'limit': {text!r} is not between 1 and {most}", code="invalid_value", param="limit"
        )
    return int(text)


def _jsonl(purpose: str, name: str) -> None:
    if purpose == "fine-tune" and not name.endswith(".jsonl"):
        extension = name.rpartition(".")[2]
        raise Refusal(400, f'Invalid extension {extension}. Supported formats: "jsonl"', param="file")


def _object(value: Any, what: str, param: str | None = None) -> Row:
    if not isinstance(value, dict):
        raise Refusal(400, f"{what} must be an object", code="invalid_type", param=param)
    return cast("Row", value)


def _closed(given: Mapping[str, Any], allowed: frozenset[str], prefix: str = "") -> None:
    for name in given:
        if name not in allowed:
            raise Refusal(
                400, f"Unknown parameter: '{prefix}{name}'.", code="unknown_parameter", param=f"{prefix}{name}"
            )


def _optional(given: Mapping[str, Any], name: str, check: Check, rule: str) -> None:
    if given.get(name) is not None:
        _demand(check(given[name]), name, rule)


def _demand(fits: object, param: str, rule: str) -> None:
    if not fits:
        raise Refusal(400, f"Invalid value for '{param}': must be {rule}.", code="invalid_value", param=param)
