"""Requests and replies held against the published OpenAPI document: what the backend sends, and what the simulator says.

openapi.json is the part of it that is needed, made by extract_openapi.py (MIT, see openapi.LICENSE).
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import jsonschema
import pytest

from tuneport.backend import Prepared
from tuneport.errors import TuneportError
from tuneport_backends import openai_files
from tuneport_backends.openai import OpenAIBackend
from tuneport_backends.simulators.openai import KEY, Entry, OpenAISimulator

Simulate = Callable[..., OpenAISimulator]
Prepare = Callable[..., Prepared]
DOCUMENT = json.loads(Path(__file__).with_name("openapi.json").read_text(encoding="utf-8"))


def operation(entry: Entry) -> dict[str, Any]:
    """The document's description of a request; the most literal path where several fit."""
    fitting = [
        (template.count("{"), item[entry.method.lower()])
        for template, item in DOCUMENT["paths"].items()
        if entry.method.lower() in item and re.fullmatch(re.sub(r"{[^}]+}", "[^/]+", template), entry.path)
    ]
    assert fitting, f"{entry.method} {entry.path} is not in the document"
    return min(fitting, key=lambda pair: pair[0])[1]


def schema(content: dict[str, Any]) -> dict[str, Any] | None:
    described = next(iter(content.values()), {}).get("schema")
    return None if described is None else {**described, "components": DOCUMENT["components"]}


def problems(described: dict[str, Any] | None, value: Any) -> list[str]:
    if described is None:
        return []
    return [error.message for error in jsonschema.Draft202012Validator(described).iter_errors(value)]


def wrong(entry: Entry) -> Iterator[str]:
    """What the document says against a request and its reply."""
    described = operation(entry)
    named = {item["name"]: item for item in described["parameters"] if item["in"] == "query"}
    for name in entry.query:
        if re.sub(r"\[.*\]$", "", name) not in named:
            yield f"query {name}"
    sent = described["requestBody"].get("content", {})
    if "application/json" in sent:
        yield from problems(schema(sent), entry.body)
    elif "multipart/form-data" in sent:
        fields = {name: "content" if isinstance(value, dict) else value for name, value in entry.body.items()}
        yield from problems(schema(sent), fields)
    if entry.status == 200 and entry.reply is not None:
        yield from problems(schema(described["responses"]["200"].get("content", {})), entry.reply)
    elif entry.status is not None and entry.status >= 400:
        error = {"$ref": "#/components/schemas/ErrorResponse", "components": DOCUMENT["components"]}
        yield from problems(error, entry.reply)


def everything(backend: OpenAIBackend, simulator: OpenAISimulator, prepare: Prepare, samples: SimpleNamespace) -> None:
    """Every kind of request, with every optional field, in every state."""
    rich: dict[str, Any] = {
        "validation": samples.chat(4),
        "options": {"suffix": "triage"},
        "metadata": {"team": "support"},
        "integrations": [{"type": "wandb", "wandb": {"project": "p", "name": "n", "entity": "e", "tags": ["a", "b"]}}],
    }
    epochs = {"epochs": 3, "batch_size": 2, "learning_rate_multiplier": 0.5}
    jobs = [
        prepare(backend, tag="tp-1", hyperparameters=epochs, **rich),
        prepare(backend, tag="tp-2"),
        prepare(
            backend,
            tag="tp-3",
            model="gpt-4.1-2025-04-14",
            objective={"kind": "dpo", "beta": 0.2},
            rows=samples.preference(),
        ),
        prepare(
            backend,
            tag="tp-4",
            model="o4-mini-2025-04-16",
            objective={"kind": "reinforcement", "grader": samples.grader},
            rows=samples.graded(),
            options={"eval_interval": 5, "eval_samples": 2, "compute_multiplier": 0.5, "reasoning_effort": "high"},
        ),
        prepare(backend, tag="tp-5", rows=samples.chat(3)),
    ]
    refs = [backend.submit(job) for job in jobs]
    for job in jobs:
        backend.adopt(job.tag, job.directory)
    for seconds in (0, 11, 25, 1000):
        simulator.clock.advance(seconds)
        backend.snapshots(refs)
        for ref in refs:
            backend.snapshots([ref])
            backend.events(ref, 0)
            backend.checkpoints(ref)
    late = backend.submit(prepare(backend, tag="tp-6"))
    backend.cancel(late)
    backend.snapshots([late])
    for ref in refs[:4]:
        result = backend.result(ref)
        backend.open_model(result.model.model).chat([{"role": "user", "content": "hello"}], seed=3)
        backend.clean_up(ref)
    for missing in ({**refs[0], "provider_id": "ftjob-none"},):
        with pytest.raises(TuneportError):
            backend.snapshots([missing])


def test_requests_and_replies_are_those_of_the_document(
    simulate: Simulate,
    backend: OpenAIBackend,
    prepare: Prepare,
    samples: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulator = simulate()
    everything(backend, simulator, prepare, samples)
    monkeypatch.setattr(openai_files, "PLAIN_BYTES", 10)
    monkeypatch.setattr(openai_files, "PART_BYTES", 500)
    backend.submit(prepare(backend, tag="tp-parts"))
    seen = {entry.operation for entry in simulator.log}
    assert seen >= {
        "files.create",
        "files.list",
        "files.retrieve",
        "files.delete",
        "files.content",
        "uploads.create",
        "uploads.part",
        "uploads.complete",
        "jobs.create",
        "jobs.retrieve",
        "jobs.list",
        "jobs.cancel",
        "jobs.events",
        "jobs.checkpoints",
        "models.retrieve",
        "models.delete",
        "chat",
    }
    found = {f"{entry.operation}: {problem}" for entry in simulator.log for problem in wrong(entry)}
    assert found == set()


def test_the_document_would_say_so_if_they_were_not(
    simulate: Simulate, backend: OpenAIBackend, prepare: Prepare
) -> None:
    simulator = simulate()
    backend.submit(prepare(backend, hyperparameters={"epochs": 3}))
    (entry,) = simulator.requests("jobs.create")
    body = copy.deepcopy(entry.body)
    body["method"]["supervised"]["hyperparameters"]["n_epochs"] = 51
    reply = {**entry.reply, "status": "pending"}
    changed = [
        Entry(entry.operation, entry.method, entry.path, {}, body, 200, entry.reply),
        Entry(entry.operation, entry.method, entry.path, {}, entry.body, 200, reply),
        Entry(entry.operation, entry.method, entry.path, {"order": "asc"}, entry.body, 200, entry.reply),
    ]
    assert all(list(wrong(item)) for item in changed)


# The simulator is stricter than the document: a backend that changes in one field must fail a test.


def mutations(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every body that differs from this one in one field: renamed, of another type, or out of its range."""
    if not isinstance(value, dict):
        return
    for name, inner in value.items():
        where = ".".join(map(str, (*path, name)))
        renamed = {(f"{key}s" if key == name else key): item for key, item in value.items()}
        yield f"{where} renamed", renamed
        for other in ({"x": 1}, -1, [1]):
            if type(other) is not type(inner):
                yield f"{where} is {other!r}", {**value, name: other}
        for said, changed in mutations(inner, (*path, name)):
            yield said, {**value, name: changed}


def test_a_body_that_differs_in_one_field_is_refused(
    simulate: Simulate, backend: OpenAIBackend, prepare: Prepare, samples: SimpleNamespace
) -> None:
    simulator = simulate()
    everything(backend, simulator, prepare, samples)
    bodies = [entry.body for entry in simulator.requests("jobs.create") if entry.status == 200]
    backend.submit(prepare(backend, tag="tp-again", validation=samples.chat(2)))
    files = [name for name, content in simulator.files.items() if content.startswith(b'{"messages"')]
    accepted: list[str] = []
    tried = 0
    with httpx2.Client(headers={"Authorization": f"Bearer {KEY}"}) as client:
        for body in bodies:
            whole = {**body, "training_file": files[0]}
            if "validation_file" in whole:
                whole["validation_file"] = files[0]
            assert client.post(f"{simulator.url}/fine_tuning/jobs", json=whole).status_code == 200
            for said, changed in mutations(whole):
                tried += 1
                # Metadata is the caller's: any name is one, and what the values are is checked.
                if said.startswith("metadata.") and said.endswith("renamed"):
                    continue
                if client.post(f"{simulator.url}/fine_tuning/jobs", json=changed).status_code != 400:
                    accepted.append(said)
    assert tried > 150
    assert accepted == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"training_file": "file-nowhere"}, "training_file"),
        ({"model": "gpt-7"}, "not available"),
        ({"method": {"type": "reinforcement", "reinforcement": {}}}, "grader"),
        ({"method": {"type": "orpo"}}, "method.type"),
        ({"seed": 2**31}, "seed"),
        ({"suffix": "x" * 65}, "suffix"),
        ({"metadata": {str(n): "" for n in range(17)}}, "16"),
        ({"hyperparameters": {"n_epochs": 1}}, "both"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}] * 6}, "5"),
    ],
)
def test_what_the_service_refuses(
    change: dict[str, Any], word: str, simulate: Simulate, backend: OpenAIBackend, prepare: Prepare
) -> None:
    simulator = simulate()
    backend.submit(prepare(backend))
    body = simulator.requests("jobs.create")[0].body
    with httpx2.Client(headers={"Authorization": f"Bearer {KEY}"}) as client:
        answer = client.post(f"{simulator.url}/fine_tuning/jobs", json={**body, **change})
    assert answer.status_code == 400
    assert word in answer.json()["error"]["message"]
    assert len(simulator.jobs) == 1
