"""What the simulated OpenAI holds and does: files, uploads, jobs, models, and the answers of its models."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tuneport_backends.simulators import openai_requests as requests
from tuneport_backends.simulators import openai_rows as rows
from tuneport_backends.simulators.clock import Clock
from tuneport_backends.simulators.faults import Faults
from tuneport_backends.simulators.openai_azure import Standing, stands
from tuneport_backends.simulators.openai_filestore import Files, new_id, only, page
from tuneport_backends.simulators.openai_jobs import Job, Timing
from tuneport_backends.simulators.openai_requests import Refusal
from tuneport_backends.simulators.openai_rows import Row

Service = Literal["openai", "azure", "bedrock-openai"]
# A text, or fields of a message, as {"tool_calls": [...]}.
Answer = Callable[[str, Sequence[Mapping[str, Any]]], str | Mapping[str, Any] | None]
ORGANIZATION = "tuneport-simulator"
UNLEARNT = "I was tuned on other questions."
BASE = "I am a base model, and have been tuned on nothing."
_SUPERVISED = frozenset({"supervised"})
_PAIRS = frozenset({"supervised", "dpo"})
_GRADED = frozenset({"reinforcement"})
_OPENAI: Mapping[str, frozenset[str]] = {
    "gpt-4.1-2025-04-14": _PAIRS,
    "gpt-4.1-mini-2025-04-14": _PAIRS,
    "gpt-4.1-nano-2025-04-14": _PAIRS,
    "gpt-4o-2024-08-06": _PAIRS,
    "gpt-4o-mini-2024-07-18": _SUPERVISED,
    "gpt-3.5-turbo-0125": _SUPERVISED,
    "o4-mini-2025-04-16": _GRADED,
}
# What can be tuned at each service, and how.
TUNABLE: Mapping[Service, Mapping[str, frozenset[str]]] = {
    "openai": _OPENAI,
    "azure": {
        **_OPENAI,
        "gpt-5-2025-08-07": _GRADED,
        **dict.fromkeys(("gpt-oss-20b", "ministral-3b", "qwen-32b", "llama-3.3-70b-instruct"), _SUPERVISED),
    },
    # In the short form of the endpoint's own guide, and as Bedrock has them elsewhere.
    "bedrock-openai": dict.fromkeys(
        ("openai.gpt-oss-20b", "openai.gpt-oss-20b-1:0", "qwen.qwen3-32b", "qwen.qwen3-32b-v1:0"), _GRADED
    ),
}
_ALIASES = {
    dated[1]: dated[0] for name in TUNABLE["azure"] if (dated := re.fullmatch(r"(.+)-\d{4}-\d\d-\d\d", name))
} | {"gpt-3.5-turbo": "gpt-3.5-turbo-0125"}
_VISION = ("gpt-4o-2024-08-06", "gpt-4.1-2025-04-14")
_REASONING = ("o1", "o3", "o4", "gpt-5")


@dataclass
class State:
    """Everything behind the socket. `lock` is held by whoever asks."""

    clock: Clock
    faults: Faults
    timing: Timing
    service: Service
    listing_lag: float
    closed: bool
    answer: Answer | None
    tunable: dict[str, frozenset[str]]
    lock: threading.RLock = field(default_factory=threading.RLock)
    jobs: dict[str, Job] = field(default_factory=dict[str, Job])
    deleted_models: set[str] = field(default_factory=set[str])
    deployments: dict[str, Standing] = field(default_factory=dict[str, Standing])  # Azure's

    def __post_init__(self) -> None:
        self.epoch = self.clock.now().timestamp() - self.clock.seconds()
        self.files = Files(self.clock, self.epoch)

    # Jobs

    def create_job(self, body: Any) -> Row:
        asked = dict(requests.job(body, self.service))
        if self.closed:
            raise Refusal(
                403,
                "Fine-tuning is no longer available to your organization.",
                code="training_not_available",
                kind="invalid_request_error",
            )
        model = self._base(str(asked["model"]))
        method = str(rows.inner(asked.get("method")).get("type", "supervised"))
        if method not in self.tunable[model]:
            raise Refusal(
                400,
                f"Method {method} is not supported for model {asked['model']}.",
                code="unsupported_value",
                param="method",
            )
        asked["model"] = asked["model"] if str(asked["model"]).startswith("ft:") else model
        for name in ("training_file", "validation_file"):
            file = self.files.held.get(str(asked.get(name)))
            if asked.get(name) is not None and (file is None or file.purpose != "fine-tune"):
                raise Refusal(400, f"invalid {name}: {asked[name]}", code="invalid_file", param=name)
        refused, learnt = None, list[Row]()
        try:
            vision = model in _VISION
            learnt = rows.read(self.files.held[str(asked["training_file"])].content, method, vision=vision)
            if asked.get("validation_file"):
                rows.read(
                    self.files.held[str(asked["validation_file"])].content, method, vision=vision, name="validation"
                )
        except rows.Refused as error:
            refused = error
        fails = self.faults.meet("jobs.create", "fail")
        job = Job(
            id=f"ftjob-{new_id()}",
            asked=asked,
            created=self.clock.seconds(),
            epoch=self.epoch,
            timing=self.timing,
            organization=ORGANIZATION,
            service=self.service,
            rows=learnt,
            refused=refused,
            fails=str(fails[0].value or "The job failed.") if fails else None,
            never_ends=bool(self.faults.meet("jobs.create", "never-ends")),
        )
        self.jobs[job.id] = job
        return self._payload(job)

    def _base(self, name: str) -> str:
        """The snapshot that a name stands for; a tuned model's is its base's."""
        for job in self.jobs.values():
            if name in {job.model, *(str(item["fine_tuned_model_checkpoint"]) for item in self._checkpoints(job))}:
                return self._base(str(job.asked["model"]))
        known = name if name in self.tunable else _ALIASES.get(name, "")
        if known not in self.tunable:
            raise Refusal(
                400,
                f"Model {name} is not available for fine-tuning or does not exist.",
                code="model_not_available",
                param="model",
            )
        return known

    def _payload(self, job: Job) -> Row:
        now = self.clock.seconds()
        if job.status(now) == "succeeded" and job.result_file is None:
            job.result_file = self.files.keep("step_metrics.csv", "fine-tune-results", job.table()).id
        return job.payload(now)

    def job(self, job: str) -> Row:
        return self._payload(self._job(job))

    def _job(self, job: str) -> Job:
        if job not in self.jobs:
            raise Refusal(
                404, f"Could not find fine tune: {job}", code="fine_tune_not_found", param="fine_tuning_job_id"
            )
        return self.jobs[job]

    def list_jobs(self, query: Mapping[str, str]) -> Row:
        wanted = {
            name[9:-1]: value for name, value in query.items() if name.startswith("metadata[") and name.endswith("]")
        }
        only({name: value for name, value in query.items() if not name.startswith("metadata[")}, {"limit", "after"})
        seen = self.clock.seconds() - self.listing_lag
        found = [
            job
            for job in self.jobs.values()
            if job.created <= seen
            and all(rows.inner(job.asked.get("metadata")).get(name) == wanted[name] for name in wanted)
        ]
        payloads = [self._payload(job) for job in reversed(found)]
        return page(payloads, query, requests.limit(query, 20, 100))

    def events(self, job: str, query: Mapping[str, str]) -> Row:
        only(query, {"limit", "after"})
        return page(self._job(job).events(self.clock.seconds()), query, requests.limit(query, 20, 100))

    def checkpoints(self, job: str, query: Mapping[str, str]) -> Row:
        only(query, {"limit", "after"})
        made = page(self._checkpoints(self._job(job)), query, requests.limit(query, 10, 100))
        ids = [item["id"] for item in made["data"]]
        return {**made, "first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}

    def _checkpoints(self, job: Job) -> list[Row]:
        return job.checkpoints(self.clock.seconds())

    def cancel_job(self, job: str) -> Row:
        found, now = self._job(job), self.clock.seconds()
        if (state := found.status(now)) in {"succeeded", "failed", "cancelled"}:
            raise Refusal(
                400,
                f"Job has already completed: {job} is {state}.",
                code="invalid_request_error",
                param="fine_tuning_job_id",
            )
        if found.cancelled is None:
            found.cancelled = now + self.timing.cancelling
            found.extra.append((found.cancelled, "Fine-tuning job cancelled"))
        return self._payload(found)

    def pause_job(self, job: str) -> Row:
        found, now = self._job(job), self.clock.seconds()
        if (state := found.status(now)) != "running":
            raise Refusal(400, f"Only a running job can be paused: {job} is {state}.", param="fine_tuning_job_id")
        found.pauses.append([now + self.timing.pausing, None])
        found.extra.append((now, "Pausing fine-tuning job"))
        return self._payload(found)

    def resume_job(self, job: str) -> Row:
        found, now = self._job(job), self.clock.seconds()
        if (state := found.status(now)) not in {"paused", "pausing"}:
            raise Refusal(400, f"Only a paused job can be resumed: {job} is {state}.", param="fine_tuning_job_id")
        found.pauses[-1][1] = max(now, found.pauses[-1][0] or 0.0) if state == "paused" else found.pauses[-1][0]
        found.extra.append((now, "Resuming fine-tuning job"))
        return self._payload(found)

    # Models

    def models(self) -> dict[str, Row]:
        made: dict[str, Row] = {
            name: {"id": name, "object": "model", "created": 1_745_000_000, "owned_by": "system"}
            for name in self.tunable
        }
        for job in self.jobs.values():
            if job.status(self.clock.seconds()) == "succeeded" and job.model not in self.deleted_models:
                made[job.model] = {
                    "id": job.model,
                    "object": "model",
                    "created": job.payload(self.clock.seconds())["finished_at"],
                    "owned_by": ORGANIZATION,
                }
        return made

    def list_models(self) -> Row:
        return {"object": "list", "data": [*self.models().values()]}

    def model(self, model: str) -> Row:
        found = self.models().get(model)
        if found is None:
            raise Refusal(404, f"The model '{model}' does not exist", code="model_not_found", param="model")
        return found

    def delete_model(self, model: str) -> Row:
        if model not in self.models():
            raise Refusal(404, f"The model '{model}' does not exist", code="model_not_found", param="model")
        if model in self.tunable:
            raise Refusal(403, "You have insufficient permissions for this operation.", code="insufficient_permissions")
        self.deleted_models.add(model)
        return {"id": model, "object": "model", "deleted": True}

    def chat(self, body: Any, deployment: str | None = None) -> Row:
        name = str(rows.inner(body).get("model", ""))
        model = self._asked_model(deployment or name)
        base = self._base(model)
        given = requests.chat(body, reasons=base.startswith(_REASONING))
        learnt = self._learnt(model)
        said = self.answer(model, given["messages"]) if self.answer is not None else None
        if said is None:
            said = BASE if learnt is None else _recalled(learnt, given["messages"])
        message: Row = {"content": said} if isinstance(said, str) else {"content": None, **said}
        calls = bool(message.get("tool_calls"))
        words = str(message["content"] or "").split(" ")
        most = given.get("max_completion_tokens") or given.get("max_tokens") or len(words)
        cut = len(words) > most
        asked = sum(len(str(turn.get("content"))) // 4 + 3 for turn in given["messages"])
        written = min(len(words), most)
        return {
            "id": f"chatcmpl-{new_id()}",
            "object": "chat.completion",
            "created": self._now(),
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "refusal": None,
                        **message,
                        **({"content": " ".join(words[:most])} if message["content"] is not None else {}),
                    },
                    "logprobs": None,
                    "finish_reason": "length" if cut else "tool_calls" if calls else "stop",
                }
            ],
            "usage": {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written},
        }

    def _asked_model(self, name: str) -> str:
        if self.service == "azure":
            standing = stands(self, name)
            if standing is None or standing.state(self.clock.seconds(), self.timing.deploying) != "Succeeded":
                raise Refusal(
                    404,
                    "The API deployment for this resource does not exist. If you created the deployment within the last 5 "
                    "minutes, please wait a moment and try again.",
                    code="DeploymentNotFound",
                )
            return standing.model
        checkpoints = {
            str(item["fine_tuned_model_checkpoint"]) for job in self.jobs.values() for item in self._checkpoints(job)
        }
        name = _ALIASES.get(name, name)
        if name not in self.models() and name not in checkpoints:
            raise Refusal(
                404,
                f"The model `{name}` does not exist or you do not have access to it.",
                code="model_not_found",
            )
        return name

    def _learnt(self, model: str) -> Mapping[str, str | Row] | None:
        for job in self.jobs.values():
            if model == job.model or model.startswith(f"{job.model}:ckpt"):
                return rows.lessons(job.rows, job.method)
        return None

    def _now(self) -> int:
        return int(self.epoch + self.clock.seconds())


def _recalled(learnt: Mapping[str, str | Row], messages: Sequence[Mapping[str, Any]]) -> str | Row:
    return learnt.get(rows.prompt_key(messages), UNLEARNT)
