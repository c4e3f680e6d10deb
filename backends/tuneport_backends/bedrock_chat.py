"""Asking a model by Converse: a base model, or a tuned one by its deployment, provisioned throughput or import."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from tuneport import catalog
from tuneport.dataset import dialects
from tuneport.errors import NotDeployedError, RejectedError, RemoteNotFoundError
from tuneport.result import Message
from tuneport_backends import bedrock_deploy as deploying
from tuneport_backends.bedrock_aws import AWS
from tuneport_backends.payload import Payload, mapping, number, objects, text

CUSTOM = re.compile(r"arn:aws[^:]*:bedrock:([a-z0-9-]+):\d{12}:custom-model/")
_REGION = re.compile(r"arn:aws[^:]*:bedrock:([a-z0-9-]+):")
_CONTEXT = re.compile(r"(:\d+):\d+k$")  # tuning ids end in a context length that inference ids lack


class BedrockChat:
    """One model's session. No state at the service: `close` has nothing to end.

    The messages are written as the rows of the training data are. Converse has no seed: one that is given is not sent. A tuned
    model's own ARN does not answer: its deployment is looked for, once, and asked in its place.
    """

    def __init__(self, options: Mapping[str, Any], model: str) -> None:
        region = _REGION.match(model)
        self._aws = AWS({**options, "region": region[1]} if region is not None else options)
        self._name = model
        self._model: str | None = None

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        temperature: float = 0.0,
        max_tokens: int = 256,
        tools: Sequence[Mapping[str, Any]] | None = None,
        seed: int | None = None,  # noqa: ARG002  (Converse has none)
    ) -> Message:
        asked: dict[str, Any] = written(messages, tools)
        asked["inferenceConfig"] = {"maxTokens": max_tokens, "temperature": temperature}
        known = self._model
        if self._model is None:
            self._model = self._answering()
        try:
            answer = self._aws.call("converse", f"asking {self._name}", modelId=self._model, **asked)
        except RemoteNotFoundError:
            if known is None or CUSTOM.match(self._name) is None:
                raise
            self._model = self._answering()  # the deployment that it was asked by has been taken down since
            answer = self._aws.call("converse", f"asking {self._name}", modelId=self._model, **asked)
        return _read(answer, self._name)

    def close(self) -> None:
        """Nothing is kept open for a session."""

    def _answering(self) -> str:
        if CUSTOM.match(self._name) is None:
            return inference_id(self._name)
        standing = deploying.deployments(self._aws, self._name, "")
        for one in standing:
            if one.status == "active" and one.model:
                return one.model
        if coming := [one for one in standing if one.status == "creating"]:
            raise NotDeployedError(
                f"{self._name} is being deployed ({coming[0].name}, {coming[0].kind}): ask again in a while."
            )
        raise NotDeployedError(
            f"{self._name} is a tuned model, and answers only when it is deployed: tuneport deploy ID, which first says what "
            "it costs. Then ask it by the same name."
        )


def inference_id(model: str) -> str:
    """A base model's id as inference takes it; an ARN or an inference profile as it is."""
    if model.startswith("arn:"):
        return model
    entry = catalog.find(f"bedrock:{model}")
    if entry is not None and "." not in model:  # one of our short names
        model = entry.id
    return _CONTEXT.sub(r"\1", model)


def written(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    """OpenAI's chat messages as Converse's. RejectedError where it cannot say one."""
    row: dict[str, Any] = {"messages": [dict(message) for message in messages]}
    if tools:
        row["tools"] = [dict(tool) for tool in tools]
    said, losses = dialects.get("bedrock-converse").write(row)
    if fatal := [loss for loss in losses if loss.fatal]:
        raise RejectedError(f"Amazon Bedrock cannot be asked this: {fatal[0]}.")
    made = {name: said[name] for name in ("messages", "system", "toolConfig") if said.get(name)}
    for turn in objects(made.get("messages")):
        for block in objects(turn.get("content")):
            _bytes_of(block)
    return made


def _bytes_of(block: Payload) -> None:
    """The rows of a file hold images in base64; boto3 takes bytes and encodes them itself."""
    for kind in ("image", "video"):
        source = mapping(mapping(block.get(kind)).get("source"))
        if isinstance(source.get("bytes"), str):
            try:
                source["bytes"] = base64.b64decode(source["bytes"], validate=True)
            except (binascii.Error, ValueError):
                raise RejectedError(f"the {kind} in the messages is not base64.") from None


def _read(answer: Payload, model: str) -> Message:
    blocks = objects(mapping(mapping(answer.get("output")).get("message")).get("content"))
    reason = text(answer, "stopReason") or ""
    content = "".join(part for block in blocks if (part := text(block, "text")) is not None)
    calls = [_call(mapping(block["toolUse"])) for block in blocks if isinstance(block.get("toolUse"), dict)]
    if not content and not calls and reason in {"content_filtered", "guardrail_intervened"}:
        raise RejectedError(f"Amazon Bedrock withheld the answer of {model}: {reason}.")
    usage = mapping(answer.get("usage"))
    return Message(
        content=content,
        tool_calls=calls,
        finish_reason="length" if reason in {"max_tokens", "model_context_window_exceeded"} else "stop",
        prompt_tokens=_count(usage.get("inputTokens")),
        completion_tokens=_count(usage.get("outputTokens")),
    )


def _call(use: Payload) -> dict[str, Any]:
    arguments = json.dumps(cast("Any", use.get("input")) or {}, ensure_ascii=False)
    function = {"name": text(use, "name") or "", "arguments": arguments}
    return {"id": text(use, "toolUseId") or "", "type": "function", "function": function}


def _count(value: Any) -> int | None:
    found = number(value)
    return None if found is None else int(found)
