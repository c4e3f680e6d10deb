"""Every backend of this repository in the suite. One that is registered and missing here fails it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, cast

from tests.contract.case import Case

from tuneport import Hyperparameters, Reinforcement
from tuneport.status import JobStatus

PREPARING, VALIDATING, QUEUED, RUNNING = (
    JobStatus.PREPARING,
    JobStatus.VALIDATING,
    JobStatus.QUEUED,
    JobStatus.RUNNING,
)
LAMBDA = {"type": "lambda", "lambda": {"function": "arn:aws:lambda:us-west-2:123456789012:function:reward"}}


def chat_rows(count: int = 16) -> list[dict[str, Any]]:
    return [
        {
            "messages": [
                {"role": "user", "content": f"What comes after {n}?"},
                {"role": "assistant", "content": f"After {n} comes {n + 1}."},
            ]
        }
        for n in range(count)
    ]


class Hosted:
    """A simulator of ours, driven by its clock."""

    name: ClassVar[str]
    model: ClassVar[str]
    create: ClassVar[str] = "jobs.create"
    looks: ClassVar[Sequence[str]] = ("jobs.retrieve", "jobs.list")
    upload: ClassVar[str | None] = "files.create"
    states: ClassVar[Sequence[JobStatus]] = (VALIDATING, QUEUED, RUNNING)
    credentials: ClassVar[Sequence[str]] = ()
    # A day on which the provider still takes jobs for this model, whatever day it is here.
    today: ClassVar[str] = "2026-10-01"
    fields: Mapping[str, Any] = {}
    question = "What comes after 3?"
    answer: str | None = "After 3 comes 4."
    pace = 5.0  # of the provider's seconds in one step

    def __init__(self, folder: Path, **given: Any) -> None:
        self.rows: Sequence[Mapping[str, Any]] = chat_rows()
        self.says: Any = None  # by every model, before what it has learnt
        self.simulator = self.simulate(answer=lambda model, turns: self.says, **given).start()
        self.failing: dict[str, Any] | None = None

    def simulate(self, **given: Any) -> Any:
        raise NotImplementedError

    def calls(self, call: Mapping[str, Any]) -> Any:
        """An answer that calls a tool, as the provider's models say it: `call` has an id, a name and arguments."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        return {**self.simulator.environment(), "TUNEPORT_NOW": self.today}

    def step(self) -> None:
        self.advance(self.pace)

    def advance(self, seconds: float) -> None:
        self.simulator.clock.advance(seconds)

    def jobs(self, tag: str) -> int:
        return sum(tag in json.dumps(job, default=str) for job in self.simulator.jobs)

    def made(self) -> int:
        return len(self.simulator.jobs)

    def fail(self, reason: str | None) -> Mapping[str, Any]:
        if reason is not None:
            self.fault(on=self.create, do="fail", times=1, value=reason)
        return {}

    def fault(self, **fault: Any) -> None:
        self.simulator.faults.add(fault)

    def heal(self) -> None:
        script = self.simulator.faults
        with script._lock:
            script._faults.clear()
            script._met.clear()

    def log(self) -> Sequence[str]:
        return [entry.operation for entry in self.simulator.log]

    def close(self) -> None:
        self.simulator.stop()


class OpenAICase(Hosted):
    name = "openai"
    model = "openai:gpt-4.1-mini-2025-04-14"
    credentials = ("OPENAI_API_KEY",)

    def simulate(self, **given: Any) -> Any:
        from tuneport_backends.simulators.openai import OpenAISimulator

        return OpenAISimulator(service=cast("Any", self.name), **given)

    def calls(self, call: Mapping[str, Any]) -> Any:
        function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
        return {"tool_calls": [{"id": call["id"], "type": "function", "function": function}]}


class _NamesFiles(OpenAICase):
    """Services that keep no metadata: a job's tag is in the name of the file that it trains on."""

    def jobs(self, tag: str) -> int:
        mine = {
            entry.reply["id"]
            for entry in self.simulator.requests("files.create")
            if isinstance(entry.reply, dict) and tag in json.dumps(entry.body)
        }
        return sum(job["training_file"] in mine for job in self.simulator.jobs)


class AzureCase(_NamesFiles):
    name = "azure"
    model = "azure:gpt-4.1-mini-2025-04-14"
    credentials = ("AZURE_OPENAI_API_KEY", "AZURE_MANAGEMENT_TOKEN")


class BedrockOpenAICase(_NamesFiles):
    name = "bedrock-openai"
    model = "bedrock-openai:openai.gpt-oss-20b-1:0"
    credentials = ("AWS_BEARER_TOKEN_BEDROCK",)
    question = "What is 3 + 1?"
    answer = "4"

    def __init__(self, folder: Path, **given: Any) -> None:
        super().__init__(folder, **given)
        self.rows = [
            {"messages": [{"role": "user", "content": f"What is {n} + 1?"}], "reference_answer": str(n + 1)}
            for n in range(100)
        ]
        self.fields = {"objective": Reinforcement(grader=LAMBDA)}


class BedrockCase(Hosted):
    name = "bedrock"
    model = "bedrock:amazon.nova-lite-v1:0:300k"
    looks = ("jobs.get", "jobs.list")
    upload = "s3.put"
    states = (VALIDATING, PREPARING, RUNNING)
    credentials = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    pace = 20.0

    def simulate(self, **given: Any) -> Any:
        from tuneport_backends.simulators.bedrock import BedrockSimulator

        return BedrockSimulator(**given)

    def calls(self, call: Mapping[str, Any]) -> Any:
        return [{"toolUse": {"toolUseId": call["id"], "name": call["name"], "input": call["arguments"]}}]


class VertexCase(Hosted):
    name = "vertex"
    model = "vertex:gemini-3.5-flash"
    looks = ("jobs.get", "jobs.list")
    upload = None  # Google's own library repeats an upload by its own backoff, for two minutes, before we hear of it
    states = (QUEUED, VALIDATING, RUNNING)
    # Google's libraries are shown a token of no account on loopback: without the stand-in they need a real one.
    credentials = ("GOOGLE_APPLICATION_CREDENTIALS", "TUNEPORT_VERTEX_BASE_URL", "GOOGLE_VERTEX_BASE_URL")
    pace = 20.0

    def simulate(self, **given: Any) -> Any:
        from tuneport_backends.simulators.vertex import VertexSimulator

        return VertexSimulator(**given)

    def calls(self, call: Mapping[str, Any]) -> Any:
        return [{"functionCall": {"name": call["name"], "args": call["arguments"]}}]


class LocalCase:
    """The engine itself, on the CPU, with a tiny model of random weights."""

    name = "local"
    states: Sequence[JobStatus] = (QUEUED, RUNNING)
    credentials: Sequence[str] = ()
    question = "What comes after 3?"
    answer: str | None = None

    def __init__(self, folder: Path) -> None:
        import tests.local_engine.families as families

        self.model = f"local:{families.tiny_model_dir('llama', folder / 'llama')}"
        self.rows: Sequence[Mapping[str, Any]] = chat_rows()
        self.fields: Mapping[str, Any] = {"hyperparameters": Hyperparameters(max_steps=3), "options": {"threads": 1}}
        self._homes: list[Path] = []

    def environment(self) -> Mapping[str, str]:
        return {}

    def step(self) -> None:
        time.sleep(0.05)

    def jobs(self, tag: str) -> int:
        from tuneport.home import home

        return int((home() / "jobs" / tag / "state.json").exists())

    def made(self) -> int:
        from tuneport.home import home

        return len(list((home() / "jobs").glob("*/state.json")))

    def fail(self, reason: str | None) -> Mapping[str, Any]:
        return {} if reason is None else {"hyperparameters": Hyperparameters(max_length=8)}  # no row is left whole

    def close(self) -> None:
        from tuneport import registry

        registry.close_models()


CASES: Mapping[str, Callable[[Path], Case]] = {
    case.name: case for case in (OpenAICase, AzureCase, BedrockOpenAICase, BedrockCase, VertexCase, LocalCase)
}
PLUGIN = "acme"  # made and installed by the suite, from docs/adding-a-backend.md


def known() -> Mapping[str, Callable[[Path], Case]]:
    """Ours, and those that other packages bring by entry point."""
    others = {point.name: point.load() for point in entry_points(group="tuneport.contract")}
    return {**CASES, **others}
