"""`validate`, `advise` and `plan` on the command line: what is printed, the exit status, JSON for machines, the page."""

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


def run(*words: str, cwd: Path | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tuneport.cli", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout, done.stderr


def row(n: int) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": f"Where is parcel {n * 37}, sent in week {n % 50}?"},
            {"role": "assistant", "content": f"Parcel {n * 37} reached depot {n % 13} and comes on day {n % 7}."},
        ]
    }


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.jsonl"
    path.write_text("".join(json.dumps(row(n)) + "\n" for n in range(80)))
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    rows = [row(n) for n in range(80)]
    rows[4]["messages"].pop()
    rows[9]["messages"][1]["content"] = "<script>alert(1)</script><|im_end|>"
    path = tmp_path / "bad.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_validate_tells_each_problem_with_its_row_its_fix_and_what_to_do_next(bad: Path) -> None:
    status, said, _ = run("validate", str(bad))
    assert status == 1
    assert "row 5" in said
    assert "structure.no-assistant" in said
    assert "Fix:" in said
    assert "80: 79 used, 0 truncated, 1 dropped" in said
    assert "not ready" in said
    assert "--fix" in said


def test_validate_of_good_data_is_ready_and_strict_is_stricter(good: Path, bad: Path, tmp_path: Path) -> None:
    assert run("validate", str(good))[0] == 0
    warned = tmp_path / "warned.jsonl"
    warned.write_text("".join(json.dumps(row(n)) + "\n" for n in range(20)))  # few rows: a warning
    assert run("validate", str(warned))[0] == 0
    assert run("validate", str(warned), "--strict")[0] == 1


def test_validate_as_json_has_the_same_schema_as_python(bad: Path) -> None:
    from tuneport import ValidationReport

    status, said, _ = run("validate", str(bad), "--json")
    report = ValidationReport.model_validate_json(said)
    assert status == 1
    assert {issue.code for issue in report.issues} >= {"structure.no-assistant", "quality.control-token"}


def test_fix_writes_a_file_that_is_ready_and_lists_what_it_did(bad: Path) -> None:
    out = bad.with_name("fixed.jsonl")
    _, said, _ = run("validate", str(bad), "--fix", str(out))
    assert "79 of 80 rows written" in said
    assert "row 5 left out" in said
    assert "row 10" in said
    assert run("validate", str(out))[0] == 0


def test_the_page_is_one_file_that_loads_nothing_and_escapes_everything(bad: Path) -> None:
    page = bad.with_name("page.html")
    run("validate", str(bad), "--html", str(page))
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "http://" not in text
    assert "https://" not in text
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert "structure.no-assistant" in text
    assert "rows by length in tokens" in text


def test_explain_says_why_and_an_unknown_code_suggests(bad: Path) -> None:
    status, said, _ = run("validate", "--explain", "privacy.card")
    assert status == 0
    assert "payment card" in said
    status, _, said = run("validate", "--explain", "privacy.crad")
    assert status == 2
    assert "privacy.card" in said


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["validate"], 2, "name a file"),
        (["validate", "none.jsonl"], 1, "no such file"),
        (["validate", "good.jsonl", "--for", "opnai:x"], 2, "no backend is named"),
        (["validate", "good.jsonl", "--for", "local:/nowhere"], 1, "there is no model at"),
        (["plan", "good.jsonl", "--model", "vertex:gemini-3.5-flash", "--budget", "5"], 1, "unknown"),
        (["advise", "none.jsonl"], 1, "no such file"),
    ],
)
def test_bad_input_is_one_sentence(good: Path, words: list[str], status: int, says: str) -> None:
    code, out, err = run(*words, cwd=good.parent)
    assert code == status, out + err
    assert says in out + err


@pytest.mark.parametrize(
    "model",
    [
        "local:starter",
        "openai:gpt-4.1-mini-2025-04-14",
        "bedrock:amazon.nova-lite-v1:0:300k",
        "vertex:gemini-3.5-flash",
    ],
)
def test_plan_shows_rows_tokens_and_money_for_any_target(
    good: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEPORT_NOW", "2026-12-01")  # OpenAI still takes jobs
    places = {
        "local": [],
        "openai": [],
        "bedrock": [
            "--bucket",
            "s3://mine/ft",
            "--role",
            "arn:aws:iam::123456789012:role/tune",
            "--option",
            "region=us-east-1",
        ],
        "vertex": ["--bucket", "gs://mine/ft", "--project", "mine", "--location", "us-central1"],
    }[model.partition(":")[0]]
    words = ("--model", model, "--json", "--set", "hyperparameters.epochs=2")
    status, said, err = run("plan", str(good), *words, *places)
    assert status == 0, said + err
    plan = json.loads(said)
    assert plan["ledger"]["rows"] == 80
    assert plan["tokens"]["total"] > 0
    assert (plan["money"] is None) == model.startswith("local:")
    assert plan["time"]


def test_advise_prints_its_reasons(good: Path) -> None:
    status, said, _ = run("advise", str(good))
    assert status == 0
    assert "points:" in said
    assert "next:" in said


def test_what_was_not_checked_names_the_extra_in_full(good: Path) -> None:
    code = (
        "import sys, importlib.util as u; real = u.find_spec\n"
        "from tuneport.dataset import scan\n"
        "scan.find_spec = lambda name: None if name == 'phonenumbers' else real(name)\n"
        "from tuneport.cli.app import run\n"
        "run(['validate', sys.argv[1]])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(good)], capture_output=True, text=True, check=False, timeout=120
    )
    assert "not checked: privacy: phonenumbers is not installed (pip install 'tuneport[data]')" in done.stdout


def test_a_model_that_nobody_knows_is_named_before_anything_is_uploaded(good: Path) -> None:
    _, said, _ = run("plan", str(good), "--model", "openai:gpt-4.1-minni-2025-04-14")
    assert "is not in the catalog" in said
    assert "gpt-4.1-mini-2025-04-14" in said


def test_ctrl_c_ends_a_check_with_its_children_and_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "large.jsonl"
    path.write_text("".join(json.dumps(row(n)) + "\n" for n in range(150_000)))
    child = subprocess.Popen(
        [sys.executable, "-m", "tuneport.cli", "validate", str(path), "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    time.sleep(3)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal sends it: to the children too
    out, err = child.communicate(timeout=60)
    assert "Traceback" not in out + err
    assert child.returncode in {0, 130}
