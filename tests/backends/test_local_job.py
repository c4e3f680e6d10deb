"""One real job on the local backend, from rows to answers: what a user would look at afterwards."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open

from tuneport import FineTuneJob, Hyperparameters, LoRA
from tuneport.errors import JobNotFoundError, NameTakenError
from tuneport.evaluate.report import write_report
from tuneport.evaluate.rows import read_scores
from tuneport.result import FineTuneResult
from tuneport.status import Event, JobStatus

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return []


@pytest.fixture(scope="module")
def job(home: Path, model: str, data: Path, events: list[Event]) -> FineTuneJob:
    made = FineTuneJob.create(
        model,
        data,
        method=LoRA(rank=4),
        hyperparameters=Hyperparameters(epochs=3, learning_rate=5e-3, max_length=96),
        validation=0.1,
        test=0.15,
        name="counting",
        options={"threads": 1},
    )
    assert not made.record.status.terminal
    made.wait(timeout=280, on_event=events.append)
    return made


@pytest.fixture(scope="module")
def result(job: FineTuneJob) -> FineTuneResult:
    return job.result()


def test_what_was_asked_and_what_was_used_stand_side_by_side(result: FineTuneResult) -> None:
    notes = {note.name: note for note in result.hyperparameters}
    assert (notes["epochs"].requested, notes["epochs"].effective) == (3.0, 3.0)
    assert notes["batch_size"].requested is None
    assert notes["batch_size"].effective == 8
    assert notes["batch_size"].reason
    assert result.method["rank"] == 4


def test_every_row_is_in_the_ledger(result: FineTuneResult) -> None:
    ledger = result.dataset.ledger
    assert sum(totals.rows for totals in ledger.values()) == 60
    assert sum(totals.used + totals.truncated + totals.dropped for totals in ledger.values()) == 60
    assert sum(totals.dropped for totals in ledger.values()) == 1
    path = Path(result.dataset.ledger_path or "")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(line["row"] for line in lines) == list(range(1, 61))
    (dropped,) = [line for line in lines if line["status"] == "dropped"]
    assert dropped["row"] == 31
    assert "cut off" in dropped["reason"]


def test_events_tell_the_run_and_metrics_have_what_a_curve_needs(events: list[Event], result: FineTuneResult) -> None:
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    statuses = [event.data["status"] for event in events if event.type == "status"]
    assert statuses[-1] == "succeeded"
    assert "running" in statuses
    points = [event.data for event in events if event.type == "metrics"]
    keys = {"step", "epoch", "loss", "token_accuracy", "learning_rate", "grad_norm", "tokens", "tokens_per_second"}
    assert keys <= set(points[0])
    assert any("validation_loss" in point for point in points)
    trained = [point.loss for point in result.curve if point.loss is not None]
    assert trained[-1] < trained[0]


def test_base_and_tuned_are_scored_on_rows_that_were_not_trained_on(job: FineTuneJob, result: FineTuneResult) -> None:
    assert result.test is not None
    metrics = {metric.name: metric for metric in result.test.metrics}
    assert set(metrics) == {"exact_match", "loss", "token_accuracy"}
    loss = metrics["loss"]
    assert loss.difference is not None
    assert loss.tuned is not None
    assert loss.base is not None
    assert loss.difference.estimate == pytest.approx(loss.tuned - loss.base)
    assert loss.difference.low <= loss.difference.estimate <= loss.difference.high
    tested = {row.row for row in read_scores(job.directory / "tuned_scores.jsonl")}
    trained = {json.loads(line)["row"] for line in (job.directory / "train.jsonl").read_text().splitlines()}
    assert tested
    assert tested.isdisjoint(trained)


def test_artifacts_are_safetensors_with_tokenizer_template_and_card(job: FineTuneJob, result: FineTuneResult) -> None:
    folder = Path(result.model.model)
    assert folder == job.directory / "artifacts"
    with safe_open(folder / "adapter_model.safetensors", framework="pt") as weights:
        assert any("lora_A" in name for name in weights.keys())  # noqa: SIM118
    names = {path.name for path in folder.iterdir()}
    assert {"tokenizer.json", "README.md", "adapter_config.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
    assert "## " in (folder / "README.md").read_text()


def test_row_hashes_of_the_training_rows_are_kept(job: FineTuneJob, result: FineTuneResult) -> None:
    from tuneport.store import Store

    store = Store.open()
    assert len(store.row_hashes(job.id, "train")) == result.dataset.splits["train"]


def test_checkpoints_are_whole_and_one_is_best(job: FineTuneJob, result: FineTuneResult) -> None:
    kept = job.checkpoints()
    assert kept
    assert all(Path(str(one.path)).is_dir() for one in kept)
    assert [one.step for one in kept] == [one.step for one in result.checkpoints]
    assert sum(one.best for one in result.checkpoints) == 1


def test_the_model_answers_also_after_the_result_was_reloaded_and_no_torch_is_loaded(result: FineTuneResult) -> None:
    assert FineTuneResult.model_validate_json(result.model_dump_json()) == result
    code = (
        "import sys\n"
        "from tuneport.result import FineTuneResult\n"
        "model = FineTuneResult.model_validate_json(sys.stdin.read()).model\n"
        "ask = lambda: model.chat([{'role': 'user', 'content': 'What comes after 3?'}], max_tokens=8)\n"
        "first, again = ask(), ask()\n"
        "assert first.content == again.content and 0 < first.completion_tokens <= 8, (first, again)\n"
        "assert 'torch' not in sys.modules\n"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, input=result.model_dump_json(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_new_process_finds_the_job_by_id_name_and_beginning(job: FineTuneJob) -> None:
    assert FineTuneJob.get(job.id).status is JobStatus.SUCCEEDED
    assert FineTuneJob.get("counting").id == job.id
    assert FineTuneJob.get(job.id[:20]).id == job.id
    assert [found.id for found in FineTuneJob.list(status="succeeded")] == [job.id]
    assert FineTuneJob.list(status="running") == []
    with pytest.raises(JobNotFoundError):
        FineTuneJob.get("tp-00000000000000000000000000")


def test_a_taken_name_says_which_job_has_it_and_leaves_nothing(
    job: FineTuneJob, home: Path, model: str, data: Path
) -> None:
    before = sorted((home / "jobs").iterdir())
    with pytest.raises(NameTakenError) as caught:
        FineTuneJob.create(model, data, name="counting")
    assert caught.value.job_id == job.id
    assert sorted((home / "jobs").iterdir()) == before


def test_the_report_is_written_from_the_job(job: FineTuneJob, result: FineTuneResult, tmp_path: Path) -> None:
    base, tuned = (
        read_scores(job.directory / name, rows=job.directory / "test.jsonl")
        for name in ("base_scores.jsonl", "tuned_scores.jsonl")
    )
    page = write_report(result, tmp_path / "report.html", base_rows=base, tuned_rows=tuned).read_text(encoding="utf-8")
    assert job.id in page
    assert "What comes after" in page


def test_the_async_twins(job: FineTuneJob, events: list[Event], result: FineTuneResult) -> None:
    async def look() -> tuple[FineTuneResult, list[Event]]:
        return await job.await_result(timeout=30), [event async for event in job.aevents()]

    assert asyncio.run(look()) == (result, events)


def test_the_command_line_shows_it(job: FineTuneJob, capsys: pytest.CaptureFixture[str]) -> None:
    from tuneport.cli.app import run

    def shown(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            run(list(words))
        assert ended.value.code in (0, None)
        return capsys.readouterr().out

    assert job.id in shown("jobs")
    assert "exact match" in shown("show", "counting")
    assert json.loads(shown("show", "counting", "--json"))["result"]["job_id"] == job.id
    lines = [json.loads(line) for line in shown("events", job.id, "--json").splitlines()]
    assert lines[-1]["data"]["status"] == "succeeded"


def test_removing_it_removes_every_file(job: FineTuneJob, result: FineTuneResult, until: Callable[..., None]) -> None:
    # The last test of this file: nothing is left afterwards.
    directory = job.directory
    assert job.delete() == [str(directory)]
    assert not directory.exists()
    with pytest.raises(JobNotFoundError):
        FineTuneJob.get(job.id)
