"""Asking a model over chat completions: a base model, a tuned one, a checkpoint, or at Azure a deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuneport.errors import NotDeployedError, RejectedError
from tuneport.result import Message
from tuneport_backends.chat_completions import answered
from tuneport_backends.openai_deploy import name_of, undeployed
from tuneport_backends.openai_service import AZURE
from tuneport_backends.openai_wire import Wire

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
        asked = name_of(self._model) if self._wire.service is AZURE else self._model  # as `deploy` names it
        body: dict[str, Any] = {"model": asked, "messages": [dict(message) for message in messages]}
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
                return answered(self._wire.chat({**body, **settings}), self._wire.service.title, self._model)
            except RejectedError as error:
                refused = _refused(error)
                if refused is None or refused in self._refused:
                    raise
                self._refused.add(refused)
            except NotDeployedError as error:
                raise NotDeployedError(undeployed(self._model, error.message), request_id=error.request_id) from None

    def close(self) -> None:
        """Nothing is kept open for a session."""


def _refused(error: RejectedError) -> str | None:
    if not any(word in error.message for word in _REFUSALS):
        return None
    if "temperature" in error.message:
        return "temperature"
    return "max_tokens" if "max_tokens" in error.message else None
