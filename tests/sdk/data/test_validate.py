"""`validate` from data to report: one answer in one process, in several and on Ray; held-out parts; the report as JSON."""

from __future__ import annotations

import gzip
import importlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tuneport import Dataset, ValidationReport, validate
from tuneport.dataset.codes import CODES, markdown
from tuneport.errors import DatasetError, SpecError

DOCS = Path(__file__).parents[3] / "docs" / "data-checks.md"
WORDS = [
    f"{a}{b}{c}" for a in ("ka", "lo", "mi", "ter") for b in ("na", "ro", "su", "ve") for c in ("d", "l", "m", "n", "s")
]


def rows(count: int, seed: int = 1) -> list[dict[str, Any]]:
    rng = random.Random(seed)

    def text(words: int) -> str:
        return " ".join(rng.choices(WORDS, k=words)).capitalize() + "."

    return [
        {"messages": [{"role": "user", "content": text(14)}, {"role": "assistant", "content": text(20)}]}
        for _ in range(count)
    ]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(items: Sequence[Any], name: str = "data.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
        return path

    return write


def test_a_clean_file_is_ready_and_every_row_is_accounted_for(write: Callable[..., Path]) -> None:
    report = validate(write(rows(120)))
    assert report.ok
    assert report.issues == []
    assert report.dialect == "openai"
    assert "120 openai rows" in report.detected
    assert (report.ledger.rows, report.ledger.used, report.ledger.dropped) == (120, 120, 0)
    assert sum(part.weight for part in report.score.parts) == pytest.approx(1)


def test_all_problems_are_told_at_once_by_row_and_the_ledger_counts_each_row_once(write: Callable[..., Path]) -> None:
    items = rows(100)
    items[10] = {"messages": [{"role": "user", "content": "And now?"}]}
    items[20]["messages"][1] |= {"content": "", "weight": 3}  # two errors in one row
    path = write(items)
    path.write_bytes(path.read_bytes() + b'{"messages": [oops\n')
    report = validate(path)
    found = {(issue.code, issue.row) for issue in report.issues if issue.severity == "error"}
    assert found >= {
        ("structure.no-assistant", 11),
        ("structure.empty-turn", 21),
        ("structure.weight", 21),
        ("file.not-json", 101),
    }
    assert not report.ok
    assert (report.ledger.rows, report.ledger.used, report.ledger.dropped) == (101, 98, 3)
    assert all(issue.fix for issue in report.issues if issue.severity == "error")


def answers(report: ValidationReport) -> Any:
    return report.model_dump(exclude={"stats"}), {
        name: report.stats[name] for name in ("file", "duplicates", "privacy")
    }


def messy(count: int) -> list[dict[str, Any]]:
    items = rows(count)
    for place in range(7, count, 97):
        items[place]["messages"][1]["content"] += " Write to jane.roe@acme-corp.com."
    for place in range(50, count, 211):
        items[place] = items[3]
    for place in range(11, count, 301):
        items[place]["messages"].pop()
    return items


def test_one_process_and_two_say_the_same(write: Callable[..., Path]) -> None:
    path = write(messy(16_000))  # several blocks
    assert path.stat().st_size > 4 << 20
    one, two = validate(path, workers=1), validate(path, workers=2)
    assert one.counts["quality.duplicate"] > 60
    assert answers(one) == answers(two)


@pytest.mark.slow
def test_ray_says_the_same_with_two_workers(write: Callable[..., Path]) -> None:
    ray: Any = pytest.importorskip("ray")
    path = write(messy(16_000))
    code = (
        "import sys, ray; from tuneport import validate\n"
        "ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)\n"
        "print(validate(sys.argv[1], workers=2, ray=True).model_dump_json())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert ray.__version__
    assert answers(ValidationReport.model_validate_json(done.stdout.splitlines()[-1])) == answers(
        validate(path, workers=1)
    )


def test_a_script_without_a_main_guard_may_validate_a_large_file(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(rows(16_000))
    script = tmp_path / "script.py"
    script.write_text(f"from tuneport import validate\nprint(validate({str(path)!r}, workers=2).rows)\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.split() == ["16000"], done.stderr


def test_held_out_rows_that_are_training_rows_are_named(write: Callable[..., Path]) -> None:
    train = rows(100)
    other = rows(40, seed=2)
    shouted = json.loads(json.dumps(train[5]).upper().replace("MESSAGES", "messages").replace("CONTENT", "content"))
    for turn, role in zip(shouted["messages"], ("user", "assistant"), strict=True):
        turn["role"] = turn.pop("ROLE", role).lower()
    report = validate(write(train), test=write([*other, train[3], shouted], "test.jsonl"))
    leaks = {(issue.row, issue.severity) for issue in report.issues if issue.code == "split.leak"}
    assert leaks == {(41, "error"), (42, "error")}
    assert report.splits == {"train": 100, "test": 42}
    assert validate(write(train), test=write(other, "test.jsonl")).ok


def test_a_group_that_stands_in_two_splits_is_named(write: Callable[..., Path]) -> None:
    train, test = rows(60), rows(30, seed=3)
    for number, row in enumerate(train):
        row["customer"] = f"c{number // 3}"
    for number, row in enumerate(test):
        row["customer"] = f"d{number}"
    test[4]["customer"] = "c7"
    report = validate(write(train), test=write(test, "test.jsonl"), group_key="customer")
    assert [(i.row, i.severity) for i in report.issues if i.code == "split.group-leak"] == [(5, "error")]
    assert "c7" in next(i.message for i in report.issues if i.code == "split.group-leak")


def test_rows_in_memory_frames_and_generators_are_checked_alike(write: Callable[..., Path]) -> None:
    import pandas
    import polars

    items = rows(80)
    items[9]["messages"].pop()
    for data in (items, iter(items), pandas.DataFrame(items), polars.DataFrame(items), Dataset(write(items))):
        report = validate(data)
        assert [(i.code, i.row) for i in report.issues if i.severity == "error"] == [("structure.no-assistant", 10)]


@pytest.mark.parametrize(
    ("given", "starts"), [("items", 0), ("(row for row in items)", 0), ("(row for row in items * 300)", os.cpu_count())]
)
def test_children_are_started_only_for_much_data_though_its_size_is_not_told(given: str, starts: int) -> None:
    """Of a list or generator nobody knows the size: so much is read ahead that starting children pays."""
    code = (
        "import sys\n"
        "started = []\n"
        "def hook(event, arguments):\n"
        "    if event == 'subprocess.Popen' and 'tuneport.dataset.worker' in str(arguments[1]):\n"
        "        started.append(event)\n"
        "sys.addaudithook(hook)\n"
        "from tuneport import validate\n"
        "items = [{'messages': [{'role': 'user', 'content': f'What is {n}? ' + 'word ' * 50},"
        " {'role': 'assistant', 'content': f'It is {n}.'}]} for n in range(120)]\n"
        f"report = validate({given})\n"
        "print(report.rows, len(started))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    rows = 36_000 if starts else 120
    assert done.stdout.split() == [str(rows), str(starts if starts > 1 else 0)], done.stderr


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_of_a_damaged_file_it_is_not_said_that_it_has_few_rows(tmp_path: Path, ending: str) -> None:
    zstd: Any = importlib.import_module("backports.zstd" if sys.version_info < (3, 14) else "compression.zstd")
    text = "".join(json.dumps(row) + "\n" for row in rows(120)).encode()
    packed = gzip.compress(text) if ending == "gz" else zstd.compress(text)
    (path := tmp_path / f"data.jsonl.{ending}").write_bytes(packed[: len(packed) // 3])
    codes = set(validate(path).counts)
    assert "file.damaged" in codes
    assert not codes & {"file.few-rows", "file.too-few-rows"}


def test_the_report_survives_json_and_says_that_its_data_is_gone(write: Callable[..., Path]) -> None:
    report = validate(write(rows(60)))
    again = ValidationReport.model_validate_json(report.model_dump_json())
    assert again.model_dump() == report.model_dump()
    with pytest.raises(DatasetError, match="validate the data again"):
        again.fixed()


def test_an_unknown_target_and_an_unknown_file_are_one_clear_sentence(write: Callable[..., Path]) -> None:
    with pytest.raises(SpecError, match="no backend is named 'opnai'"):
        validate(write(rows(60)), "opnai:gpt-4.1")
    with pytest.raises(DatasetError, match="no such file"):
        validate("none.jsonl")


def test_the_page_of_codes_is_true_and_each_code_says_what_to_do() -> None:
    assert DOCS.read_text(encoding="utf-8") == markdown(), "python -m tuneport.support checks > docs/data-checks.md"
    for code, known in CODES.items():
        assert known.title, code
        assert known.why, code
