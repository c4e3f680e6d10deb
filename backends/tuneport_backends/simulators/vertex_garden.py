"""Open models on the simulated Vertex AI: Model Garden's deployment of weights, and its endpoints' chat completions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pydantic.alias_generators import to_camel

from tuneport_backends.simulators import vertex_rows as rows
from tuneport_backends.simulators.vertex_requests import Refusal, Row, inner
from tuneport_backends.simulators.wire import Request

if TYPE_CHECKING:
    from tuneport_backends.simulators.vertex_jobs import Job
    from tuneport_backends.simulators.vertex_state import State

_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_CONFIGS = {
    "customModel": {"gcsUri"},
    "modelConfig": {"acceptEula", "modelDisplayName", "modelUserId"},
    "endpointConfig": {"endpointDisplayName", "endpointUserId", "dedicatedEndpointDisabled"},
    "deployConfig": {"dedicatedResources", "systemLabels"},
}
_ASKED = {"model", "messages", "temperature", "max_tokens", "tools", "tool_choice", "seed", "top_p", "stop", "stream"}
_USUAL = {"machineType": "g2-standard-12", "acceleratorType": "NVIDIA_L4", "acceleratorCount": 1}


@dataclass
class Standing:
    """One deployment. `failure`: why it will not come to stand."""

    name: str
    model: str
    folder: str
    resources: Row
    created: float
    ready: float
    operation: str
    failure: str | None = None
    empty: bool = False  # the model was taken off

    def coming(self, now: float) -> bool:
        return not self.empty and now < self.ready

    def payload(self, now: float) -> Row:
        made: Row = {"name": self.name, "displayName": self.name.rpartition("/")[2]}
        if now >= self.ready and self.failure is None and not self.empty:
            made["deployedModels"] = [{"id": "1", "model": f"{self.model}@1", "dedicatedResources": self.resources}]
        return made


def deploy(state: State, request: Request) -> Row:
    parent, body = request.args[0], inner(_camel(request.body))
    state.place(parent)
    for name, value in body.items():
        if name not in _CONFIGS or set(inner(value)) - _CONFIGS[name]:
            wrong = name if name not in _CONFIGS else min(set(inner(value)) - _CONFIGS[name])
            raise Refusal(400, f'Invalid JSON payload received. Unknown name "{wrong}": Cannot find field.')
    folder = str(inner(body.get("customModel")).get("gcsUri", ""))
    if not folder.startswith("gs://"):
        raise Refusal(400, "One of the artifacts must be set.")
    config, made = inner(body.get("endpointConfig")), inner(body.get("modelConfig"))
    name, model = str(config.get("endpointUserId", "")), str(made.get("modelUserId", ""))
    if not _ID.fullmatch(name) or not _ID.fullmatch(model):
        raise Refusal(400, f"The resource ID {name!r} or {model!r} is not valid.")
    resources = inner(inner(body.get("deployConfig")).get("dedicatedResources"))
    machine = inner(resources.get("machineSpec"))
    if machine and not {"machineType", "acceleratorType", "acceleratorCount"} <= set(machine):
        raise Refusal(400, "The machine spec is not complete.")
    endpoint = f"{parent}/endpoints/{name}"
    if endpoint in state.standing:
        raise Refusal(409, f"Endpoint {endpoint} already exists.", "ALREADY_EXISTS")
    held = {uri.rpartition("/")[2] for uri in _addresses(state) if uri.startswith(f"{folder.rstrip('/')}/")}
    whole = "config.json" in held and any(file.endswith(".safetensors") for file in held)
    fails = state.faults.meet("endpoints.deploy", "fail")
    failure = str(fails[0].value or "It failed.") if fails else None
    now = state.clock.seconds()
    operation = f"{parent}/operations/{1 + len(state.uploaded)}"
    state.uploaded.add(f"{parent}/models/{model}")
    state.deleted.discard(f"{parent}/models/{model}")
    state.standing[endpoint] = Standing(
        endpoint,
        f"{parent}/models/{model}",
        folder,
        {"minReplicaCount": 1, "maxReplicaCount": 1, **resources, "machineSpec": machine or dict(_USUAL)},
        now,
        now + state.timing.deploying,
        operation,
        failure if whole else f"The files config.json and *.safetensors are required in {folder}.",
    )
    return {"name": operation, "metadata": {"destination": parent}}


def operation(state: State, request: Request) -> Row:
    name = "".join(request.args)
    state.place(name)
    for one in state.standing.values():
        if one.operation == name:
            if one.coming(state.clock.seconds()):
                return {"name": name}
            if one.failure is not None:
                return {"name": name, "done": True, "error": {"code": 9, "message": one.failure}}
            return {"name": name, "done": True, "response": {"endpoint": one.name, "model": one.model}}
    raise Refusal(404, f"The Operation does not exist: {name}")


def complete(state: State, request: Request) -> Row:
    """As the serving container does: OpenAI's chat completions."""
    name = "".join(request.args)
    state.place(name)
    one, body = state.standing.get(name), inner(request.body)
    if one is None:
        raise Refusal(404, f"The Endpoint does not exist: {name}")
    if not one.payload(state.clock.seconds()).get("deployedModels"):
        raise Refusal(400, f"Endpoint {name} has no deployed model.", "FAILED_PRECONDITION")
    if unknown := sorted(set(body) - _ASKED):
        raise Refusal(400, f"Unknown field: {unknown[0]}.")
    messages = [cast("Row", item) for item in cast("list[Any]", body.get("messages") or []) if isinstance(item, dict)]
    if not messages:
        raise Refusal(400, "The messages are missing.")
    job = _tuned(state, one)
    said = state.answer(name, messages) if state.answer is not None else None
    if said is None:
        learnt = rows.lessons(job.read.rows if job is not None and job.read else [], "open")
        said = learnt.get(rows.open_key(messages), rows.UNLEARNT)
    message: Row = {"content": said} if isinstance(said, str) else {"content": None, **cast("Mapping[str, Any]", said)}
    words = str(message["content"] or "").split(" ")
    most = int(body.get("max_tokens") or len(words))
    if message["content"] is not None:
        message["content"] = " ".join(words[:most])
    finish = "tool_calls" if message.get("tool_calls") else "length" if len(words) > most else "stop"
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": sum(len(str(turn)) // 4 for turn in messages),
            "completion_tokens": min(len(words), most),
        },
    }


def _tuned(state: State, one: Standing) -> Job | None:
    """The job whose weights they are."""
    for job in state.jobs.values():
        output = str(job.asked.get("outputUri", "")).rstrip("/")
        if output and one.folder.startswith(f"{output}/"):
            return job
    return None


def _addresses(state: State) -> list[str]:
    return [f"gs://{held.bucket}/{held.name}" for held in state.objects.held.values()]


def _camel(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    given = cast("Row", value)
    return {(to_camel(key) if "_" in key else key): _camel(item) for key, item in given.items()}
