"""What the simulated Vertex AI holds and does: jobs, endpoints, models, and the answers of its models."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tuneport_backends.simulators import vertex_requests as requests
from tuneport_backends.simulators import vertex_rows as rows
from tuneport_backends.simulators.clock import Clock
from tuneport_backends.simulators.faults import Faults
from tuneport_backends.simulators.vertex_garden import Standing
from tuneport_backends.simulators.vertex_gcs import Objects
from tuneport_backends.simulators.vertex_jobs import ENDED, SPECS, Job, Timing
from tuneport_backends.simulators.vertex_requests import Refusal, Row, inner

# A text, or the parts of an answer, as [{"functionCall": {...}}].
Answer = Callable[[str, Sequence[Mapping[str, Any]]], str | Sequence[Mapping[str, Any]] | None]
UNLEARNT = rows.UNLEARNT
WEIGHTS = ("config.json", "model-00001-of-00001.safetensors", "tokenizer.json")  # of a tuned open model
BASE = "I am a base model, and have been tuned on nothing."
_ALL = frozenset({"supervised", "preference", "reinforcement"})
TUNABLE: dict[str, frozenset[str]] = {
    "gemini-3.5-flash": _ALL,
    "gemini-3.5-flash-lite": _ALL,
    "gemini-3.1-flash-lite": _ALL,
    "gemini-2.5-pro": _ALL,
    "gemini-2.5-flash": _ALL,
    "gemini-2.5-flash-lite": _ALL,
    "google/gemma-3-27b-it": frozenset({"supervised"}),
    "meta/llama3_1@llama-3.1-8b-instruct": frozenset({"supervised"}),
    "meta/llama3-2@llama-3.2-1b-instruct": frozenset({"supervised"}),
    "meta/llama3-2@llama-3.2-3b-instruct": frozenset({"supervised"}),
    "meta/llama3-3@llama-3.3-70b-instruct": frozenset({"supervised"}),
    "meta/llama4@llama-4-scout-17b-16e-instruct": frozenset({"supervised"}),
    "qwen/qwen3@qwen3-32b": frozenset({"supervised"}),
}
_FILTER = re.compile(r'\s*([\w.-]+)\s*=\s*"([^"]*)"\s*')


@dataclass
class State:
    """Everything behind the socket. `lock` is held by whoever asks."""

    clock: Clock
    faults: Faults
    timing: Timing
    objects: Objects
    project: str
    locations: frozenset[str]
    listing_lag: float
    filters: bool
    answer: Answer | None
    lock: threading.RLock = field(default_factory=threading.RLock)
    jobs: dict[str, Job] = field(default_factory=dict[str, Job])
    undeployed: set[str] = field(default_factory=set[str])
    deleted: set[str] = field(default_factory=set[str])
    measured: set[str] = field(default_factory=set[str])
    standing: dict[str, Standing] = field(default_factory=dict[str, Standing])  # open models, by their endpoints
    uploaded: set[str] = field(default_factory=set[str])  # the models of these

    def __post_init__(self) -> None:
        self.start = self.clock.now() - timedelta(seconds=self.clock.seconds())

    # Jobs

    def create_job(self, parent: str, body: Any) -> Row:
        location = self.place(parent)
        asked = requests.job(body)
        if location not in self.locations:
            raise Refusal(400, f"Tuning is not supported in the location {location}.", "FAILED_PRECONDITION")
        spec = next((name for name in SPECS if name in asked), None)
        if spec is None:
            raise Refusal(400, "This tuning spec is not supported.")
        base = self._base(asked)
        kind = SPECS[spec]
        if kind not in TUNABLE[base]:
            raise Refusal(400, f"Base model {base} does not support {spec}.")
        is_open = "/" in base
        self._settings(asked, inner(asked[spec]), kind, is_open)
        learns: rows.Kind = "open" if is_open else kind
        read, refused = self._read(inner(asked[spec]), learns)
        fails = self.faults.meet("jobs.create", "fail")
        job = Job(
            name=f"{parent}/tuningJobs/{4_000_000_000_000_000_000 + 100 * (len(self.jobs) + 1)}",
            asked=asked,
            created=self.clock.seconds(),
            start=self.start,
            timing=self.timing,
            kind=learns,
            base=base,
            read=read,
            refused=refused,
            fails=str(fails[0].value or "The job failed.") if fails else None,
            never_ends=bool(self.faults.meet("jobs.create", "never-ends")),
        )
        self.jobs[job.name] = job
        return self._payload(job)

    def _base(self, asked: Row) -> str:
        if "baseModel" in asked:
            base = str(asked["baseModel"]).removeprefix("publishers/google/models/")
            if base not in TUNABLE:
                raise Refusal(400, f"Base model {base} is not supported for tuning.")
            return base
        name = str(inner(asked["preTunedModel"]).get("tunedModelName", "")).partition("@")[0]
        for job in self.jobs.values():
            if job.model == name and job.state(self.clock.seconds())[0] == "JOB_STATE_SUCCEEDED":
                return job.base
        raise Refusal(404, f"The Model does not exist: {name}")

    def _settings(self, asked: Row, spec: Row, kind: str, is_open: bool) -> None:
        given = inner(spec.get("hyperParameters"))
        requests.number(given, "epochCount", 1)
        requests.number(given, "batchSize", 1)
        for name in ("learningRate", "learningRateMultiplier", "beta"):
            requests.number(given, name, 0, above=True)
        if is_open != ("outputUri" in asked):
            raise Refusal(400, "output_uri is required for open models, and only for them.")
        if is_open and "learningRateMultiplier" in given:
            raise Refusal(400, "learning_rate_multiplier is only supported for first-party models.")
        if not is_open:
            wrong: list[str] = [
                name for name in ("learningRate", "batchSize") if name in given and kind == "supervised"
            ]
            if wrong or "tuningMode" in spec:
                raise Refusal(400, f"{(wrong or ['tuningMode'])[0]} is only supported for open source models.")
            if given.get("adapterSize") == "ADAPTER_SIZE_THIRTY_TWO":
                raise Refusal(400, "adapter_size ADAPTER_SIZE_THIRTY_TWO is not supported for this model.")
        rewards = [name for name in ("singleRewardConfig", "compositeRewardConfig") if name in spec]
        if kind == "reinforcement" and len(rewards) != 1:
            raise Refusal(400, "Exactly one reward config must be set.")

    def _read(self, spec: Row, kind: rows.Kind) -> tuple[rows.Read | None, str | None]:
        try:
            if "validationDatasetUri" in spec:
                rows.read(self._content(str(spec["validationDatasetUri"])), kind)
            return rows.read(self._content(str(spec["trainingDatasetUri"])), kind), None
        except rows.Refused as error:
            return None, str(error)

    def _content(self, uri: str) -> bytes:
        content = self.objects.content(uri)
        if content is None:
            raise rows.Refused(f"The dataset {uri} does not exist, or the service agent may not read it.")
        return content

    def _payload(self, job: Job) -> Row:
        now = self.clock.seconds()
        payload = job.payload(now)
        if payload["state"] == "JOB_STATE_SUCCEEDED":
            bucket, _, name = f"{job.metrics_uri}metrics.jsonl".removeprefix("gs://").partition("/")
            if job.name not in self.measured:  # written once: who deletes it has it gone
                self.measured.add(job.name)
                self.objects.put(bucket, name, job.metrics())
                if job.kind == "open":
                    bucket, _, name = str(job.asked["outputUri"]).removeprefix("gs://").partition("/")
                    for file in WEIGHTS:
                        self.objects.put(
                            bucket, f"{name.rstrip('/')}/postprocess/node-0/checkpoints/final/{file}", b"{}"
                        )
        return payload

    def job(self, name: str) -> Row:
        return self._payload(self._job(name))

    def _job(self, name: str) -> Job:
        self.place(name)
        if name not in self.jobs:
            raise Refusal(404, f"The TuningJob does not exist: {name}")
        return self.jobs[name]

    def list_jobs(self, parent: str, query: Mapping[str, str]) -> Row:
        self.place(parent)
        if unknown := set(query) - {"pageSize", "pageToken", "filter", "$alt", "alt"}:
            raise Refusal(
                400, f'Invalid JSON payload received. Unknown name "{min(unknown)}": Cannot bind query parameter.'
            )
        seen = self.clock.seconds() - self.listing_lag
        found = [
            self._payload(job)
            for job in reversed(self.jobs.values())
            if job.created <= seen and job.name.startswith(f"{parent}/")
        ]
        found = [payload for payload in found if self._wanted(payload, query.get("filter", ""))]
        size = max(1, min(int(query.get("pageSize") or 100), 100))
        try:
            begin = int(base64.urlsafe_b64decode(query.get("pageToken", "")) or b"0")
        except ValueError:
            raise Refusal(400, "The page token is invalid.") from None
        page: Row = {"tuningJobs": found[begin : begin + size]} if found else {}
        if begin + size < len(found):
            page["nextPageToken"] = base64.urlsafe_b64encode(str(begin + size).encode()).decode()
        return page

    def _wanted(self, payload: Row, asked: str) -> bool:
        if not asked:
            return True
        if not self.filters:
            raise Refusal(400, "The filter is not supported.")
        for clause in asked.split(" AND "):
            match = _FILTER.fullmatch(clause)
            if match is None or not (match[1].startswith("labels.") or match[1] in {"state", "base_model"}):
                raise Refusal(400, f"Invalid filter: {asked}")
            name = {"base_model": "baseModel"}.get(match[1], match[1])
            value = inner(payload.get("labels")).get(name[7:]) if name.startswith("labels.") else payload.get(name)
            if value != match[2]:
                return False
        return True

    def cancel_job(self, name: str) -> Row:
        job = self._job(name)
        now = self.clock.seconds()
        if (state := job.state(now)[0]) in ENDED:
            raise Refusal(
                400, f"The TuningJob {name} is in the state {state}: it cannot be cancelled.", "FAILED_PRECONDITION"
            )
        if job.cancelled is None:
            job.cancelled = now
        return {}

    # Endpoints and models

    def endpoints(self) -> dict[str, Job]:
        """Those that were made and not deleted, each with the job that made it."""
        now = self.clock.seconds()
        made: dict[str, Job] = {}
        for job in self.jobs.values():
            tuned = inner(job.payload(now).get("tunedModel"))
            items: list[Row] = [tuned, *tuned.get("checkpoints", [])]
            made |= {str(item["endpoint"]): job for item in items if "endpoint" in item}
        return {name: job for name, job in made.items() if name not in self.deleted}

    def endpoint(self, name: str) -> Row:
        self.place(name)
        if (standing := self.standing.get(name)) is not None:
            return standing.payload(self.clock.seconds())
        job = self._endpoint(name)
        deployed = [] if name in self.undeployed else [{"id": f"{name.rpartition('/')[2]}1", "model": f"{job.model}@1"}]
        return {"name": name, "displayName": job.asked.get("tunedModelDisplayName", ""), "deployedModels": deployed}

    def _endpoint(self, name: str) -> Job:
        self.place(name)
        found = self.endpoints().get(name)
        if found is None:
            raise Refusal(404, f"The Endpoint does not exist: {name}")
        return found

    def undeploy(self, name: str, body: Any) -> Row:
        wanted = inner(body).get("deployedModelId")
        if wanted not in {item["id"] for item in self.endpoint(name)["deployedModels"]}:
            raise Refusal(404, f"DeployedModel {wanted} is not deployed on {name}.")
        if (standing := self.standing.get(name)) is not None:
            standing.empty = True
        self.undeployed.add(name)
        return {"name": f"{name}/operations/1", "done": True, "response": {}}

    def delete_endpoint(self, name: str) -> Row:
        standing = self.standing.get(name)
        if self.endpoint(name).get("deployedModels") or (
            standing is not None and standing.coming(self.clock.seconds())
        ):
            raise Refusal(400, f"Endpoint {name} has deployed or being-deployed models.", "FAILED_PRECONDITION")
        if standing is not None:
            del self.standing[name]
        self.deleted.add(name)
        return {"name": f"{name}/operations/2", "done": True, "response": {}}

    def model(self, name: str) -> Row:
        self.place(name)
        plain, now = name.partition("@")[0], self.clock.seconds()
        for job in self.jobs.values():
            if job.model == plain and plain not in self.deleted and job.state(now)[0] == "JOB_STATE_SUCCEEDED":
                return {"name": plain, "displayName": job.asked.get("tunedModelDisplayName", ""), "versionId": "1"}
        if plain in self.uploaded and plain not in self.deleted:
            return {"name": plain, "displayName": plain.rpartition("/")[2], "versionId": "1"}
        raise Refusal(404, f"The Model does not exist: {name}")

    def delete_model(self, name: str) -> Row:
        found = self.model(name)["name"]
        standing = [
            point for point, job in self.endpoints().items() if job.model == found and point not in self.undeployed
        ]
        standing += [name for name, one in self.standing.items() if one.model == found and not one.empty]
        if standing:
            raise Refusal(400, f"The Model is deployed at {standing[0]}.", "FAILED_PRECONDITION")
        self.deleted.add(found)
        return {"name": f"{found}/operations/3", "done": True, "response": {}}

    # Answers

    def generate(self, model: str, body: Any) -> Row:
        """`model`: an endpoint's name, or `…/publishers/google/models/<id>`."""
        self.place(model)
        given = requests.generate(body)
        learnt: Mapping[str, str | list[Row]] | None = None
        if "/endpoints/" in model:
            job = self._endpoint(model)
            if model in self.undeployed:
                raise Refusal(400, f"Endpoint {model} has no deployed model.", "FAILED_PRECONDITION")
            base, learnt = job.base, rows.lessons(job.read.rows if job.read else [], job.kind)
        else:
            base = model.rpartition("/")[2]
            if base not in TUNABLE:
                raise Refusal(
                    404, f"Publisher Model `{model}` was not found or your project does not have access to it."
                )
        config = inner(given.get("generationConfig"))
        self._thinking(base, inner(config.get("thinkingConfig")))
        contents: list[Row] = given["contents"]
        said = self.answer(model, contents) if self.answer is not None else None
        if said is None:
            said = (
                BASE
                if learnt is None
                else learnt.get(rows.prompt_key(contents, given.get("systemInstruction")), UNLEARNT)
            )
        words = said.split(" ") if isinstance(said, str) else [json.dumps(part) for part in said]
        most = config.get("maxOutputTokens") or len(words)
        asked = sum(len(str(content)) // 4 for content in contents)
        written = min(len(words), most)
        return {
            "candidates": [
                {
                    "content": {
                        "role": "model",
                        "parts": [{"text": " ".join(words[:most])}] if isinstance(said, str) else [*said[:most]],
                    },
                    "finishReason": "MAX_TOKENS" if len(words) > most else "STOP",
                    "index": 0,
                }
            ],
            "usageMetadata": {
                "promptTokenCount": asked,
                "candidatesTokenCount": written,
                "totalTokenCount": asked + written,
            },
            "modelVersion": base,
        }

    def _thinking(self, base: str, config: Row) -> None:
        """From Gemini 3 on, a level and no budget; before, a budget and no level."""
        newer = base.startswith("gemini-3")
        if newer and "thinkingBudget" in config:
            raise Refusal(400, f"thinking_budget is not supported for {base}: use thinking_level.")
        if not newer and "thinkingLevel" in config:
            raise Refusal(400, f"thinking_level is not supported for {base}.")
        if base == "gemini-2.5-pro" and config.get("thinkingBudget") == 0:
            raise Refusal(400, "Budget 0 is invalid. This model only works in thinking mode.")

    def place(self, name: str) -> str:
        """The location in a resource's name; another's project is refused as the service would."""
        parts = name.split("/")
        if parts[0] != "projects" or len(parts) < 4 or parts[2] != "locations":
            raise Refusal(404, f"Not found: {name}")
        if parts[1] != self.project:
            raise Refusal(403, f"Permission denied on resource project {parts[1]}.")
        return parts[3]
