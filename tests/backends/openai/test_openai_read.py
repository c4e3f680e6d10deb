"""A provider's payload never makes us fail: nulls, absent and unknown keys, other types, and replies that are no JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tuneport.backend import Prepared
from tuneport.errors import TuneportError, UnavailableError
from tuneport.status import JobStatus
from tuneport_backends import openai_read as read
from tuneport_backends.chat_completions import answered
from tuneport_backends.openai import OpenAIBackend
from tuneport_backends.openai_service import OPENAI
from tuneport_backends.openai_wire import Wire
from tuneport_backends.simulators.openai import OpenAISimulator

Simulate = Callable[..., OpenAISimulator]
Prepare = Callable[..., Prepared]
VALUES: list[Any] = [None, "", "x", 0, -1, 1e400, float("nan"), True, [], [None], {}, {"a": None}, ["x"], 10**30]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
JOB = {
    "object": "fine_tuning.job",
    "id": "ftjob-1",
    "model": "m",
    "created_at": 1,
    "finished_at": 2,
    "fine_tuned_model": "ft:m",
    "organization_id": "o",
    "result_files": ["file-1"],
    "status": "succeeded",
    "hyperparameters": {"n_epochs": 3, "batch_size": "auto"},
    "trained_tokens": 7,
    "error": {},
    "method": {"type": "supervised", "supervised": {"hyperparameters": {"batch_size": 4}}},
}
EVENT = {
    "id": "ftevent-1",
    "created_at": 1,
    "level": "info",
    "message": "m",
    "type": "metrics",
    "data": {"step": 1, "train_loss": 1.0},
}
CHECKPOINT = {"id": "c", "step_number": 3, "fine_tuned_model_checkpoint": "ft:m:ckpt", "metrics": {"valid_loss": 1.0}}


def changed(payload: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The payload with some fields gone, some replaced by anything, and some that nobody knows."""
    replaced = st.fixed_dictionaries({}, optional=dict.fromkeys(payload, anything))
    gone = st.sets(st.sampled_from(sorted(payload)))
    extra = st.dictionaries(st.text(max_size=6), anything, max_size=2)
    return st.builds(
        lambda new, lost, more: {k: v for k, v in {**payload, **more, **new}.items() if k not in lost},
        replaced,
        gone,
        extra,
    )


@settings(max_examples=300)
@given(changed(JOB))
def test_any_job_is_read(job: dict[str, Any]) -> None:
    snapshot = read.snapshot(job)
    assert isinstance(snapshot.status, JobStatus)
    assert isinstance(snapshot.raw, str)
    assert all(not isinstance(value, dict) for value in read.effective(job).values())
    json.dumps(dict(snapshot.detail))


@settings(max_examples=300)
@given(changed(EVENT))
def test_any_event_is_read_the_same_each_time(payload: dict[str, Any]) -> None:
    event = read.event(payload)
    assert event.key == read.event(json.loads(json.dumps(payload))).key
    assert event.type in {"metrics", "message", "checkpoint"}
    read.curve([event.data])
    event.model_dump_json()


@settings(max_examples=200)
@given(changed(CHECKPOINT))
def test_any_checkpoint_is_read_or_left_out(payload: dict[str, Any]) -> None:
    found = read.checkpoint(payload)
    assert found is None or isinstance(found.step, int)


@settings(max_examples=200)
@example(b"\x00\r,")
@example(b"step,train_loss\n1,2,3,4\n\n1\n")
@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: b"step,train_loss\n1,0.5\n" + tail))
def test_any_result_file_is_read_or_refused(content: bytes) -> None:
    try:
        rows = read.results(read.decoded(content))
    except ValueError:
        return
    assert all(isinstance(row["step"], int) for row in rows)


def test_names_are_ours_and_the_better_figure_wins() -> None:
    data = {
        "step": 10,
        "train_loss": 0.5,
        "valid_loss": 0.9,
        "full_valid_loss": 0.7,
        "full_valid_mean_token_accuracy": None,
        "valid_mean_token_accuracy": "0.8",
        "train_reward_mean": 0.3,
        "total_steps": 20,
        "usage": {"samples": 4},
    }
    assert read.measured(data) == {
        "step": 10,
        "loss": 0.5,
        "validation_loss": 0.7,
        "validation_token_accuracy": 0.8,
        "train_reward_mean": 0.3,
        "total_steps": 20,
    }


def test_result_file_with_holes() -> None:
    table = b"step,train_loss,train_accuracy,valid_loss\n1,0.9,0.5,\n2,,,0.8\nx,1,1,1\n3,nan,0.7,inf\n"
    assert read.results(table) == [
        {"step": 1, "loss": 0.9, "token_accuracy": 0.5},
        {"step": 2, "validation_loss": 0.8},
        {"step": 3, "token_accuracy": 0.7},
    ]


FIELDS = [
    "status",
    "error",
    "fine_tuned_model",
    "finished_at",
    "created_at",
    "hyperparameters",
    "method",
    "result_files",
    "trained_tokens",
    "metadata",
    "estimated_finish",
    "integrations",
]


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_any_value_over_the_wire(
    field: str, simulate: Simulate, backend: OpenAIBackend, prepare: Prepare
) -> None:
    simulator = simulate()
    ref = backend.submit(prepare(backend))
    simulator.clock.advance(1000)
    for value in VALUES:
        simulator.faults.add({"on": "jobs.retrieve", "do": "field", "field": field, "value": value, "times": 2})
        (snapshot,) = backend.snapshots([ref])
        assert snapshot.status in {JobStatus.SUCCEEDED, JobStatus.UNKNOWN}
        try:
            result = backend.result(ref)
        except TuneportError:
            assert field in {"status", "fine_tuned_model"}
        else:
            json.loads(result.model_dump_json())


@pytest.mark.parametrize("operation", ["jobs.events", "jobs.checkpoints", "jobs.list", "files.list"])
@pytest.mark.parametrize("value", [None, "x", 7, {}, [None, 3, "x"]])
def test_a_list_that_is_none(
    operation: str,
    value: Any,
    simulate: Simulate,
    backend: OpenAIBackend,
    prepare: Prepare,
) -> None:
    simulator = simulate()
    job = prepare(backend)
    ref = backend.submit(job)
    simulator.clock.advance(1000)
    simulator.faults.add({"on": operation, "do": "field", "field": "data", "value": value})
    simulator.faults.add({"on": operation, "do": "field", "field": "has_more", "value": True})
    assert isinstance(backend.events(ref, 0), list)
    assert isinstance(backend.checkpoints(ref), list)
    assert backend.snapshots([ref] * 5)[0].status is JobStatus.SUCCEEDED
    backend.adopt(job.tag, job.directory)
    backend.made(ref)


def test_something_else_that_answers_is_said_to_be_that(
    simulate: Simulate, backend: OpenAIBackend, prepare: Prepare
) -> None:
    simulator = simulate()
    ref = backend.submit(prepare(backend))
    simulator.faults.add({"on": "jobs.retrieve", "do": "status", "status": 404, "body": {}})
    with pytest.raises(TuneportError):
        backend.snapshots([ref])
    wire = Wire(OPENAI, {})
    with pytest.raises(UnavailableError, match="not a JSON object"):
        wire._read(type("Answer", (), {"http_response": _Response(b"<html>hello</html>")}))


class _Response:
    def __init__(self, content: bytes) -> None:
        self.status_code = 200
        self.headers: dict[str, str] = {}
        self.content = content


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"content": "hello"}, "hello"),
        ({"content": None, "refusal": "I will not."}, "I will not."),
        ({"content": None, "tool_calls": [{"id": "c1"}]}, ""),
        ({"content": "Let me look.", "tool_calls": [{"id": "c1"}]}, "Let me look."),
        ({"content": None}, ""),
        ({}, ""),
    ],
)
def test_what_a_model_may_answer(message: dict[str, Any], said: str) -> None:
    answer = answered({"choices": [{"message": message, "finish_reason": "length"}], "usage": None}, "OpenAI", "m")
    assert answer.content == said
    assert answer.tool_calls == message.get("tool_calls", [])
    assert answer.finish_reason == "length"
    with pytest.raises(TuneportError, match="content filter"):
        answered({"choices": [{"message": {}, "finish_reason": "content_filter"}]}, "OpenAI", "m")
    with pytest.raises(TuneportError, match="without a choice"):
        answered({"choices": None}, "OpenAI", "m")


def test_memory_of_events_is_bounded_and_shared_by_threads(
    simulate: Simulate, backend: OpenAIBackend, prepare: Prepare
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    simulator = simulate()
    ref = backend.submit(prepare(backend))
    simulator.clock.advance(1000)
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: backend.events(ref, 0), range(16)))
    assert all(events == seen[0] for events in seen)
