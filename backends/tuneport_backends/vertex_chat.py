"""Asking a model: a Gemini, or the endpoint of a tuned one, by generate_content; a deployed open model by chat completions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tuneport.dataset import dialects
from tuneport.errors import NotDeployedError, RejectedError, RemoteNotFoundError
from tuneport.result import Message
from tuneport_backends.chat_completions import answered
from tuneport_backends.payload import Payload, mapping, objects, text, whole
from tuneport_backends.vertex_errors import TITLE
from tuneport_backends.vertex_wire import Wire

# Google advises to ask a tuned model with thinking off or at its lowest, and its tokens would use up `max_tokens`. Which of
# the two a model takes is not published as data, so the service's own refusal decides, and is remembered for the session.
_THINKING: tuple[Mapping[str, Any] | None, ...] = ({"thinking_budget": 0}, {"thinking_level": "LOW"}, None)
_WITHHELD = frozenset({"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE"})


class VertexChat:
    """One model's session. No state at the service: `close` has nothing to end."""

    def __init__(self, wire: Wire, model: str) -> None:
        self._wire = wire
        self._model = model
        self._thinking = 1 if model.startswith("gemini-3") else 0  # from there on, a budget is a user's error

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        temperature: float = 0.0,
        max_tokens: int = 256,
        tools: Sequence[Mapping[str, Any]] | None = None,
        seed: int | None = None,
    ) -> Message:
        row: dict[str, Any] = {"messages": [dict(message) for message in messages]}
        if tools:
            row["tools"] = [dict(tool) for tool in tools]
        said, losses = dialects.get("vertex").write(row)
        if fatal := [loss for loss in losses if loss.fatal]:
            raise RejectedError(f"Vertex AI cannot be asked this: {fatal[0]}.")
        config: dict[str, Any] = {"temperature": temperature, "max_output_tokens": max_tokens}
        if system := mapping(said.get("systemInstruction")):
            config["system_instruction"] = {"parts": system.get("parts")}
        if seed is not None:
            config["seed"] = seed
        if declared := objects(said.get("tools")):
            config["tools"] = [_tool(tool) for tool in declared]
            config["automatic_function_calling"] = {"disable": True}
        return self._read(self._ask(objects(said.get("contents")), config))

    def _ask(self, contents: list[Payload], config: Mapping[str, Any]) -> Payload:
        while True:
            thinking = _THINKING[self._thinking]
            try:
                return self._wire.generate(
                    self._model, contents, config if thinking is None else {**config, "thinking_config": dict(thinking)}
                )
            except RejectedError as error:
                if thinking is None or "thinking" not in error.message.lower():
                    raise
                self._thinking += 1
            except (NotDeployedError, RemoteNotFoundError) as error:
                if not self._model.startswith("projects/"):
                    raise
                raise NotDeployedError(
                    f"{error.message} Nothing answers at {self._model}: it was undeployed or deleted, or belongs to another "
                    "project. Deploy the tuned model again in Vertex AI's model registry, and ask its new endpoint.",
                    request_id=error.request_id,
                ) from None

    def close(self) -> None:
        """Nothing is kept open for a session."""

    def _read(self, payload: Payload) -> Message:
        candidates = objects(payload.get("candidates"))
        usage = mapping(payload.get("usageMetadata"))
        if not candidates:
            blocked = text(mapping(payload.get("promptFeedback")), "blockReason")
            why = f": the prompt was blocked, {blocked}" if blocked else ""
            raise RejectedError(f"Vertex AI answered for {self._model} without a candidate{why}.")
        parts = objects(mapping(candidates[0].get("content")).get("parts"))
        finish = text(candidates[0], "finishReason")
        content = "".join(text(part, "text") or "" for part in parts if not part.get("thought"))
        named = [call for part in parts if (call := mapping(part.get("functionCall")))]
        calls = [_call(number, call) for number, call in enumerate(named)]
        if not content and not calls and finish in _WITHHELD:
            raise RejectedError(f"Vertex AI withheld the answer of {self._model}: {finish}.")
        return Message(
            content=content,
            tool_calls=calls,
            finish_reason="length" if finish == "MAX_TOKENS" else "stop",
            prompt_tokens=whole(usage.get("promptTokenCount")),
            completion_tokens=whole(usage.get("candidatesTokenCount")),
        )


class OpenModelChat:
    """An open model's session, by the endpoint that it was deployed to. `close` has nothing to end."""

    def __init__(self, wire: Wire, endpoint: str) -> None:
        self._wire = wire
        self._endpoint = endpoint

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        temperature: float = 0.0,
        max_tokens: int = 256,
        tools: Sequence[Mapping[str, Any]] | None = None,
        seed: int | None = None,
    ) -> Message:
        body: dict[str, Any] = {
            "model": "",  # the endpoint has one
            "messages": [dict(message) for message in messages],
            "temperature": temperature,
            "max_tokens": max_tokens,
        }
        if tools:
            body["tools"] = [dict(tool) for tool in tools]
        if seed is not None:
            body["seed"] = seed
        try:
            return answered(self._wire.complete(self._endpoint, body), TITLE, self._endpoint)
        except (NotDeployedError, RemoteNotFoundError) as error:
            raise NotDeployedError(
                f"{error.message} Nothing answers at {self._endpoint}: a tuned open model answers only when it is deployed, "
                "which costs by the hour: tuneport deploy ID, which first says what it would be. Then ask it by the same name.",
                request_id=error.request_id,
            ) from None

    def close(self) -> None:
        """Nothing is kept open for a session."""


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters go as JSON Schema: google-genai's own Schema knows only part of it."""
    made: list[dict[str, Any]] = []
    for declaration in objects(tool.get("functionDeclarations")):
        given = {name: declaration[name] for name in ("name", "description") if declaration.get(name)}
        if (parameters := declaration.get("parameters")) is not None:
            given["parameters_json_schema"] = parameters
        made.append(given)
    return {"function_declarations": made}


def _call(number: int, call: Mapping[str, Any]) -> dict[str, Any]:
    """In OpenAI's shape, as every backend here gives it."""
    arguments = json.dumps(mapping(call.get("args")), ensure_ascii=False)
    name = text(call, "name") or ""
    return {
        "id": text(call, "id") or f"call_{number}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }
