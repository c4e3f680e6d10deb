"""Comparisons as a user makes them: refusals before anything is spent, answers that are kept, failures that count."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.evaluate.conftest import WriteRows, chat_row

from tuneport import FewShot, FineTuneJob, Recorded, SystemPrompt, compare
from tuneport.errors import BudgetExceededError, CredentialsError, DatasetError, RemoteNotFoundError, SpecError
from tuneport.evaluate.comparison import Comparison

BASE = "openai:gpt-4.1-mini-2025-04-14"


def answers(path: Path, said: dict[int, str]) -> Recorded:
    path.write_text("".join(json.dumps({"row": row, "answer": text}) + "\n" for row, text in said.items()))
    return Recorded(path)


def test_recorded_answers_are_scored_paired_and_flips_are_told(
    home: Path, tmp_path: Path, write_rows: WriteRows, sums: list[dict[str, Any]]
) -> None:
    right = {n + 1: str(2 * n + 1) for n in range(20)}
    worse = {**right, 3: "no idea", 7: "8"}
    other = {**worse, 3: right[3], 11: "12"}
    found = compare(
        [answers(tmp_path / "a.jsonl", worse), answers(tmp_path / "b.jsonl", other)],
        write_rows(sums),
        metrics=["exact_match"],
    )
    assert found.value("A", "exact_match") == pytest.approx(18 / 20)
    assert found.value("file:b.jsonl", "exact_match") == pytest.approx(18 / 20)
    (gap,) = found.differences
    assert (gap.base, gap.other, gap.gained, gap.lost) == ("A", "B", [3], [11])
    assert gap.outcome == "undecided"
    assert "20 rows" in gap.words


def test_a_row_without_a_recorded_answer_counts_as_wrong_and_is_said(
    home: Path, tmp_path: Path, write_rows: WriteRows, sums: list[dict[str, Any]]
) -> None:
    found = compare([answers(tmp_path / "a.jsonl", {1: "1", 2: "3"})], write_rows(sums), metrics=["exact_match"])
    assert found.value("A", "exact_match") == pytest.approx(2 / 20)
    assert found["A"].failed == 18
    assert any("18 of 20 rows" in line for line in found.warnings)


def test_answers_that_fit_no_row_are_refused(
    home: Path, tmp_path: Path, write_rows: WriteRows, sums: list[dict[str, Any]]
) -> None:
    with pytest.raises(DatasetError, match="answers none of the 20 test rows"):
        compare([answers(tmp_path / "a.jsonl", {900: "1"})], write_rows(sums))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "not JSON"),
        ("[1]", "not an object"),
        ('{"answer": "x"}', "names no row"),
        ('{"row": "three", "answer": "x"}', "not a whole number"),
        ('{"row": 1, "answer": 7}', "not a text"),
        ('{"row": 1, "answer": "x", "seconds": "fast"}', "seconds"),
        ('{"messages": 3, "answer": "x"}', "not a list of turns"),
    ],
)
def test_a_recorded_line_that_is_wrong_is_named(
    home: Path, tmp_path: Path, write_rows: WriteRows, sums: list[dict[str, Any]], line: str, said: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"row": 2, "answer": "3"}\n' + line + "\n")
    with pytest.raises(DatasetError, match="line 2") as caught:
        compare([Recorded(path)], write_rows(sums))
    assert said in str(caught.value)


def test_recorded_answers_are_found_by_their_messages(
    home: Path, tmp_path: Path, write_rows: WriteRows, sums: list[dict[str, Any]]
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in sums))  # a dataset that answers is a file of answers
    found = compare([Recorded(path)], write_rows(sums), metrics=["exact_match"])
    assert found.value("A", "exact_match") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("few-shot:many", "few-shot:4"),
        ("few-shot:0", "from 1 to 1000"),
        ("file:nowhere.jsonl", "cannot be read"),
        ("system:nowhere.txt", "cannot be read"),
        ("base", "no contender is a job"),
        ("nobody", "no job has the id or the name"),
        ("nobody:else", "no backend is named"),
    ],
)
def test_words_that_name_no_contender(
    home: Path, write_rows: WriteRows, sums: list[dict[str, Any]], words: str, said: str
) -> None:
    with pytest.raises(Exception, match=said):
        compare([words], write_rows(sums))


def test_a_test_set_without_answers_is_refused(home: Path, tmp_path: Path, write_rows: WriteRows) -> None:
    rows = [{"messages": [{"role": "user", "content": "How are you?"}]}]
    with pytest.raises(DatasetError, match="no row to test on"):
        compare([answers(tmp_path / "a.jsonl", {1: "x"})], write_rows(rows))


def test_rows_without_an_answer_are_left_out_and_counted(
    home: Path, tmp_path: Path, write_rows: WriteRows, sums: list[dict[str, Any]]
) -> None:
    path = write_rows([*sums, {"messages": [{"role": "user", "content": "And this?"}]}])
    found = compare([answers(tmp_path / "a.jsonl", {1: "1"})], path, metrics=["exact_match"])
    assert (found.test.rows, found.test.used) == (21, 20)
    assert sum(found.test.left_out.values()) == 1


@pytest.fixture
def tuned(openai_simulator: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FineTuneJob:
    """A job at the simulator that has learnt its rows by heart."""
    monkeypatch.setenv("TUNEPORT_NOW", "2026-10-01")
    rows = [chat_row(f"What is the capital of country {n}?", f"City {n}") for n in range(30)]
    job = FineTuneJob.create(BASE, rows, name="capitals")
    openai_simulator.clock.advance(36_000)
    job.wait(timeout=60)
    return job


def test_a_test_set_that_was_trained_on_is_refused_and_the_rows_are_named(
    tuned: FineTuneJob, write_rows: WriteRows
) -> None:
    rows = [chat_row(f"What is the capital of country {n}?", f"City {n}") for n in (100, 4, 101, 9)]
    with pytest.raises(SpecError, match="rows 2, 4") as caught:
        compare([tuned], write_rows(rows))
    assert tuned.id in str(caught.value)


def test_the_tuned_model_against_its_base_and_prompts(
    tuned: FineTuneJob, openai_simulator: Any, write_rows: WriteRows
) -> None:
    rows = [chat_row(f"What is the capital of country {n}?", f"Town {n}") for n in range(12)]
    told: list[str] = []
    found = compare(
        ["capitals", "base", FewShot(shots=2), SystemPrompt("Answer with the name of a town.")],
        write_rows(rows),
        metrics=["exact_match"],
        progress=lambda name, done, of: told.append(f"{name} {done}/{of}"),
    )
    assert [one.kind for one in found.contenders] == ["job", "base", "few-shot", "system-prompt"]
    assert found["capitals"].overlap == "none"
    assert {row.answers["A"].content for row in found.rows} == {f"City {n}" for n in range(12)}
    assert "12/12" in told[-1]
    sent = [call for call in openai_simulator.log if "chat/completions" in str(call)]
    assert len(sent) == 4 * 12


def test_nothing_is_paid_for_twice(tuned: FineTuneJob, openai_simulator: Any, write_rows: WriteRows) -> None:
    rows = [chat_row(f"Where is {n}?", f"There {n}") for n in range(10)]
    path = write_rows(rows)
    first = compare(["capitals", "base"], path, metrics=["exact_match"])
    before = len(openai_simulator.log)
    again = compare(["base", "capitals"], path, metrics=["exact_match"])
    assert len(openai_simulator.log) == before
    assert again.value("capitals", "exact_match") == first.value("capitals", "exact_match")
    compare([BASE], path, metrics=["exact_match"], fresh=True)
    assert len(openai_simulator.log) == before + 10


KILLED = """
import os, sys
from tuneport import compare
compare(["capitals"], sys.argv[1], metrics=["exact_match"], concurrency=2)
"""


def test_a_comparison_that_is_killed_goes_on_where_it_was(
    tuned: FineTuneJob, openai_simulator: Any, write_rows: WriteRows
) -> None:
    path = write_rows([chat_row(f"Where is {n}?", f"There {n}") for n in range(60)])
    openai_simulator.faults.add({"on": "chat", "do": "delay", "seconds": 0.1, "times": 40})
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], env=os.environ)
    while sum("chat/completions" in str(call) for call in openai_simulator.log) < 20:
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    found = compare(["capitals"], path, metrics=["exact_match"])
    assert found["A"].failed == 0
    asked = sum("chat/completions" in str(call) for call in openai_simulator.log)
    assert 60 <= asked <= 62  # at most what was under way when it was killed


def test_a_price_that_is_unknown_refuses_a_budget(
    tuned: FineTuneJob, openai_simulator: Any, write_rows: WriteRows
) -> None:
    path = write_rows([chat_row(f"Where is {n}?", f"There {n}") for n in range(10)])
    before = len(openai_simulator.log)
    with pytest.raises(BudgetExceededError, match="unknown"):
        compare([f"{BASE}"], path, budget_usd=1)
    with pytest.raises(BudgetExceededError, match="above budget_usd"):
        compare([BASE], path, budget_usd=0.000001, prices={BASE: (100, 100)})
    assert len(openai_simulator.log) == before
    found = compare([BASE], path, budget_usd=1, prices={BASE: (0.4, 1.6)}, metrics=["exact_match"])
    assert found["A"].asked.estimated is not None
    assert found["A"].asked.estimated > 0


def test_a_model_that_does_not_answer_stops_before_the_others_are_paid(
    tuned: FineTuneJob, openai_simulator: Any, write_rows: WriteRows
) -> None:
    path = write_rows([chat_row(f"Where is {n}?", f"There {n}") for n in range(10)])
    with pytest.raises((RemoteNotFoundError, CredentialsError), match="gpt-nowhere"):
        compare(["capitals", "openai:gpt-nowhere"], path)
    assert sum("chat/completions" in str(call) for call in openai_simulator.log) <= 3


def test_jobs_that_held_out_different_rows_and_share_none_are_refused(
    openai_simulator: Any, monkeypatch: pytest.MonkeyPatch, write_rows: WriteRows
) -> None:
    monkeypatch.setenv("TUNEPORT_NOW", "2026-10-01")
    jobs = []
    for part in (0, 1):
        rows = [chat_row(f"Question {part} {n}", f"Answer {n}") for n in range(40)]
        jobs.append(FineTuneJob.create(BASE, rows, test=0.2))
    openai_simulator.clock.advance(36_000)
    for job in jobs:
        job.wait(timeout=60)
    with pytest.raises(SpecError, match="none in common"):
        compare(jobs)
    found = compare([jobs[0]], metrics=["exact_match"])
    assert found.test.used == FineTuneJob.get(jobs[0].id).result().dataset.splits["test"]


@pytest.mark.slow
def test_a_local_model_says_how_likely_the_answers_were(
    home: Path, write_rows: WriteRows, sums: list[dict[str, Any]]
) -> None:
    found = compare(["local:starter"], write_rows(sums[:4]), metrics=["exact_match", "perplexity", "bits_per_byte"])
    perplexity, bits = found.value("A", "perplexity"), found.value("A", "bits_per_byte")
    assert perplexity is not None
    assert bits is not None
    assert perplexity > 1
    assert bits > 0


def test_a_comparison_reads_back_as_it_was(
    home: Path, tmp_path: Path, write_rows: WriteRows, sums: list[dict[str, Any]]
) -> None:
    found = compare([answers(tmp_path / "a.jsonl", {1: "1"})], write_rows(sums), metrics=["exact_match"])
    found.to_json(tmp_path / "report.json")
    assert Comparison.load(tmp_path / "report.json") == found
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(DatasetError, match="is not a comparison"):
        Comparison.load(tmp_path / "other.json")


def test_two_metrics_of_ones_own_need_two_names(
    home: Path, tmp_path: Path, write_rows: WriteRows, sums: list[dict[str, Any]]
) -> None:
    recorded = [answers(tmp_path / "a.jsonl", {1: "1"})]
    with pytest.raises(SpecError, match="<lambda>"):
        compare(recorded, write_rows(sums), metrics=[lambda a, e, r: 1.0, lambda a, e, r: 0.0])

    def exact_match(answer: str, expected: str, row: Any) -> bool:
        return True

    with pytest.raises(SpecError, match="is taken"):
        compare(recorded, write_rows(sums), metrics=[exact_match])


def test_a_metric_of_ones_own_is_a_function(
    home: Path, tmp_path: Path, write_rows: WriteRows, sums: list[dict[str, Any]]
) -> None:
    def close(answer: str, expected: str, row: Any) -> float:
        """How near the number is"""
        return 1 / (1 + abs(int(answer) - int(expected)))

    found = compare(
        [answers(tmp_path / "a.jsonl", {n + 1: str(2 * n + 2) for n in range(20)})], write_rows(sums), metrics=[close]
    )
    assert found.value("A", "close") == pytest.approx(0.5)
    assert found.metrics[0].says == "How near the number is"
