"""The service's words to ours: every published state has a home, and no payload makes us fail."""

from __future__ import annotations

import random
from typing import Any

import pytest
from google.genai import types

from tuneport.status import JobStatus
from tuneport_backends import vertex_read as read
from tuneport_backends.vertex import VertexBackend

Simulate = Any
Prepare = Any


@pytest.mark.parametrize("state", [*types.JobState])
def test_every_state_of_the_sdk_has_a_home(state: types.JobState) -> None:
    ours, word = read.status({"state": state.value})
    assert state.value in read.STATES
    assert word == state.value
    assert (ours is JobStatus.UNKNOWN) == (state is types.JobState.JOB_STATE_UNSPECIFIED)


@pytest.mark.parametrize("phase", [*types.TuningJobState])
def test_every_phase_of_the_sdk_has_a_home(phase: types.TuningJobState) -> None:
    assert phase.value in read.PHASES
    ours, word = read.status({"state": "JOB_STATE_RUNNING", "tuningJobState": phase.value})
    assert ours in {JobStatus.QUEUED, JobStatus.VALIDATING, JobStatus.RUNNING}
    assert word == f"JOB_STATE_RUNNING/{phase.value}"
    assert read.status({"state": "JOB_STATE_FAILED", "tuningJobState": phase.value})[0] is JobStatus.FAILED


def test_the_sizes_are_those_of_the_sdk() -> None:
    assert {*read.SIZES.values()} == {size.value for size in types.AdapterSize} - {"ADAPTER_SIZE_UNSPECIFIED"}


def test_an_unknown_state_is_unknown(backend: VertexBackend, simulate: Simulate, prepare: Prepare) -> None:
    """Through the SDK, whose own models would not have some of these."""
    simulator = simulate()
    ref = backend.submit(prepare(backend))
    for word, shown in (
        ("JOB_STATE_DREAMING", "JOB_STATE_DREAMING"),
        (None, "null"),
        (7, "7"),
        ({"a": 1}, '{"a": 1}'),
        ("", ""),
    ):
        simulator.faults.add({"on": "jobs.get", "do": "state", "value": word, "times": 1})
        (snapshot,) = backend.snapshots([ref])
        assert (snapshot.status, snapshot.raw) == (JobStatus.UNKNOWN, shown)
        assert snapshot.reason


@pytest.mark.parametrize(
    "field", ["tunedModel", "tuningDataStats", "labels", "createTime", "error", "supervisedTuningSpec"]
)
def test_a_field_that_is_not_what_was_expected(
    backend: VertexBackend, simulate: Simulate, prepare: Prepare, field: str
) -> None:
    simulator = simulate()
    ref = backend.submit(prepare(backend))
    simulator.clock.advance(1000)
    for value in (None, 7, "x", [], [None], {}, {"x": None}, True):
        simulator.faults.add({"on": "jobs.get", "do": "field", "field": field, "value": value, "times": 4})
        (snapshot,) = backend.snapshots([ref])
        assert snapshot.status is (JobStatus.UNKNOWN if field == "tunedModel" else JobStatus.SUCCEEDED)
        backend.events(ref, 0)
        assert isinstance(backend.checkpoints(ref), list)
        if snapshot.status is JobStatus.SUCCEEDED:
            assert backend.result(ref).raw[field] == value
        else:
            backend.snapshots([ref])


def test_no_payload_makes_us_fail() -> None:
    """Whole jobs with values put out of shape at random, read by everything that reads one."""
    odd = [None, 0, -1, 1e308, float("nan"), "", "x", "12", [], {}, [None], [{}], [{"step": "x"}], {"a": None}, True]
    dice = random.Random(7)

    def spoilt(value: Any) -> Any:
        if dice.random() < 0.15:
            return dice.choice(odd)
        if isinstance(value, dict):
            return {key: spoilt(item) for key, item in value.items()}
        return [spoilt(item) for item in value] if isinstance(value, list) else value

    whole = {
        "name": "projects/p/locations/l/tuningJobs/1",
        "state": "JOB_STATE_SUCCEEDED",
        "createTime": "2026-11-23T00:00:00.123456789Z",
        "endTime": "2026-11-23T01:00:00Z",
        "error": {"code": 3, "message": "m", "details": [{"a": 1}]},
        "labels": {"tuneport-tag": "tp"},
        "supervisedTuningSpec": {"hyperParameters": {"epochCount": "3", "adapterSize": "ADAPTER_SIZE_FOUR"}},
        "tuningJobMetadata": {"completedStepCount": "4", "completedEpochCount": "1"},
        "tuningDataStats": {
            "supervisedTuningDataStats": {
                "totalBillableTokenCount": "100",
                "totalTruncatedExampleCount": "1",
                "truncatedExampleIndices": ["3"],
                "droppedExampleReasons": ["too long"],
            }
        },
        "tunedModel": {
            "model": "m",
            "endpoint": "e",
            "checkpoints": [{"checkpointId": "1", "step": "2", "epoch": "1"}],
        },
        "gcsMetricsUri": "gs://b/x",
        "somethingNew": {"a": [1]},
    }
    for _ in range(3000):
        job = spoilt(whole)
        if not isinstance(job, dict):
            continue
        read.snapshot(job)
        read.events(job)
        read.checkpoints(job)
        read.effective(job)
        read.trained_tokens(job)
        read.dropped(job)
        read.is_of(job, "tp")
        read.moment(job.get("createTime"))
        points = [read.measured(item) for item in [job] if isinstance(item, dict)]
        read.curve([point for point in points if "step" in point], 3)


def test_a_job_that_partly_succeeded_says_so(backend: VertexBackend, simulate: Simulate, prepare: Prepare) -> None:
    simulator = simulate()
    ref = backend.submit(prepare(backend))
    simulator.clock.advance(1000)
    simulator.faults.add({"on": "jobs.get", "do": "state", "value": "JOB_STATE_PARTIALLY_SUCCEEDED"})
    assert backend.snapshots([ref])[0].status is JobStatus.SUCCEEDED
    assert "partially succeeded" in backend.result(ref).warnings[-1]


def test_metrics_that_cannot_be_read_do_not_cost_the_result(
    backend: VertexBackend, simulate: Simulate, prepare: Prepare
) -> None:
    simulator = simulate()
    ref = backend.submit(prepare(backend))
    simulator.clock.advance(1000)
    simulator.faults.add({"on": "gcs.list", "do": "status", "status": 403})
    result = backend.result(ref)
    assert result.curve == []
    assert "there is no curve" in result.warnings[-1]


def test_rows_that_were_left_out_are_told(backend: VertexBackend) -> None:
    stats = {"droppedExampleIndices": ["2", "5"], "droppedExampleReasons": ["too long", "too long"]}
    said = read.dropped({"tuningDataStats": {"preferenceOptimizationDataStats": stats}})
    assert said == "the provider left out 2 of the rows (rows 2, 5): too long"
