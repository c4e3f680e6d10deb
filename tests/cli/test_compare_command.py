"""`compare` and `evaluate` as typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuneport.cli.app import run as run_cli

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def called(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            run_cli(list(words))
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return called


@pytest.fixture
def files(tmp_path: Path) -> Path:
    def write(name: str, rows: list[dict[str, Any]]) -> None:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    names = ["refund", "shipping", "account"]
    write(
        "test.jsonl",
        [
            {"messages": [{"role": "user", "content": f"Ticket {n}"}, {"role": "assistant", "content": names[n % 3]}]}
            for n in range(60)
        ],
    )
    write("good.jsonl", [{"row": n + 1, "answer": names[n % 3] if n % 10 else "account"} for n in range(60)])
    write("bad.jsonl", [{"row": n + 1, "answer": names[(n + n % 2) % 3]} for n in range(60)])
    return tmp_path


def test_side_by_side(run: Run, files: Path) -> None:
    status, out, _ = run("compare", "file:good.jsonl", "file:bad.jsonl", "--test", "test.jsonl")
    assert status == 0
    assert out.startswith("file:good.jsonl is best: Label accuracy")
    assert "B against A: worse by" in out
    assert "label_accuracy" in out
    assert "60 rows of test.jsonl" in out


def test_one_model_measured(run: Run, files: Path) -> None:
    status, out, _ = run("evaluate", "file:good.jsonl", "--test", "test.jsonl", "--metric", "macro_f1")
    assert status == 0
    assert out.startswith("file:good.jsonl: Macro F1")


def test_json_is_the_comparison(run: Run, files: Path) -> None:
    status, out, err = run("compare", "file:good.jsonl", "file:bad.jsonl", "--test", "test.jsonl", "--json")
    found = json.loads(out)
    assert (status, err) == (0, "")
    assert found["schema_version"] == 1
    assert set(found["confusion"]) == {"A", "B"}
    assert found["rows"][0]["scores"]["label_accuracy"] == {"A": 0.0, "B": 1.0}


def test_the_report_comes_as_a_page_as_json_and_as_markdown(run: Run, files: Path) -> None:
    status, out, _ = run(
        "compare", "file:good.jsonl", "file:bad.jsonl", "--test", "test.jsonl", "--report", "out/report.html"
    )
    assert status == 0
    assert "tuneport review out/report.json" in out
    for name in ("report.html", "report.json", "report.md"):
        assert (files / "out" / name).stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["compare"], 2, "CONTENDER"),
        (["compare", "file:good.jsonl"], 2, "no test set"),
        (["compare", "file:good.jsonl", "--test", "nowhere.jsonl"], 1, "nowhere.jsonl"),
        (["compare", "file:good.jsonl", "--test", "test.jsonl", "--metric", "exact_mach"], 2, "exact_match"),
        (["compare", "file:good.jsonl", "--test", "test.jsonl", "--report", "x.pdf"], 2, "OUT.html"),
        (["compare", "file:good.jsonl", "--test", "test.jsonl", "--price", "nobody=1,2"], 2, "which is no contender"),
        (["compare", "file:good.jsonl", "--test", "test.jsonl", "--price", "x=cheap"], 2, "NAME=IN,OUT"),
        (["compare", "file:good.jsonl", "--test", "test.jsonl", "--schema", "nowhere.json"], 2, "cannot be read"),
        (["compare", "openai:gpt-4.1-mini-2025-04-14", "--test", "test.jsonl"], 2, "--yes"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(
    run: Run, files: Path, words: list[str], status: int, said: str
) -> None:
    code, out, err = run(*words)
    assert (code, "Traceback" in out + err) == (status, False)
    assert said in out + err
