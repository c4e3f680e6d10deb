"""Asking a model over chat completions: a base model, a tuned one, a checkpoint, or at Azure a deployment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tuneport.errors import NotDeployedError, RejectedError
from tuneport.result import Message
from tuneport_backends.openai_service import AZURE
from tuneport_backends.openai_wire import Wire
from tuneport_backends.payload import mapping, objects, text, whole

_REFUSALS = frozenset({"unsupported_parameter", "unsupported_value"})


class OpenAIChat:
    """One model's session. No state at the service: `close` has nothing to end.

    Reasoning models refuse `max_tokens` and any temperature but their own. Which models those are is not published as data,
    so the service's own refusal decides: the request is then sent in the words that it asks for, and so from there on.
    `max_tokens` then also counts the tokens of the reasoning, and `temperature` is the model's own.
    """

    def __init__(self, wire: Wire, model: str) -> None:
        self._wire = wire
        self._model = model
        self._refused: set[str] = set()

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        temperature: float = 0.0,
        max_tokens: int = 256,
        tools: Sequence[Mapping[str, Any]] | None = None,
        seed: int | None = None,
    ) -> Message:
        body: dict[str, Any] = {"model": self._model, "messages": [dict(message) for message in messages]}
        if tools:
            body["tools"] = [dict(tool) for tool in tools]
        if seed is not None:
            body["seed"] = seed
        while True:
            limit = "max_completion_tokens" if "max_tokens" in self._refused else "max_tokens"
            settings: dict[str, Any] = {limit: max_tokens}
            if "temperature" not in self._refused:
                settings["temperature"] = temperature
            try:
                return self._read(self._wire.chat({**body, **settings}))
            except RejectedError as error:
                refused = _refused(error)
                if refused is None or refused in self._refused:
                    raise
                self._refused.add(refused)
            except NotDeployedError as error:
                raise NotDeployedError(undeployed(self._model, error.message), request_id=error.request_id) from None

    def close(self) -> None:
        """Nothing is kept open for a session."""

    def _read(self, payload: Mapping[str, Any]) -> Message:
        choices = objects(payload.get("choices"))
        if not choices:
            raise RejectedError(f"{self._wire.service.title} answered for {self._model} without a choice.")
        said = mapping(choices[0].get("message"))
        finish = choices[0].get("finish_reason")
        calls = objects(said.get("tool_calls"))
        content = text(said, "content") or text(said, "refusal") or ""
        if calls and not content:
            content = json.dumps({"tool_calls": calls}, ensure_ascii=False)
        if not content and finish == "content_filter":
            raise RejectedError(f"{self._wire.service.title} withheld the answer of {self._model}: its content filter.")
        usage = mapping(payload.get("usage"))
        return Message(
            content=content,
            finish_reason="length" if finish == "length" else "stop",
            prompt_tokens=whole(usage.get("prompt_tokens")),
            completion_tokens=whole(usage.get("completion_tokens")),
        )


def undeployed(model: str, said: str = "") -> str:
    """What to do for a tuned model of Azure's, which answers only under a deployment's name."""
    name = model.replace(".", "-")[:40].strip("-")
    return (
        f"{AZURE.title} has no deployment named {model!r}{f' ({said})' if said else ''}. A deployment costs by the hour, used "
        "or not, and is made with Azure's own tool: az cognitiveservices account deployment create --resource-group GROUP "
        f"--name RESOURCE --deployment-name {name} --model-name {model} --model-version 1 --model-format OpenAI "
        f"--sku-name Standard --sku-capacity 1. Then ask azure:{name}; az cognitiveservices account deployment delete ends "
        "it. A deployment made a moment ago may take some minutes to answer."
    )


def _refused(error: RejectedError) -> str | None:
    if not any(word in error.message for word in _REFUSALS):
        return None
    if "temperature" in error.message:
        return "temperature"
    return "max_tokens" if "max_tokens" in error.message else None
