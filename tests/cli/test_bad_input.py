"""A user's mistake is one clear sentence with the place and the fix, a status of 1 or 2, and nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuneport.cli.app import run

GOOD = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(home: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    def call(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            run(list(words))
        out, err = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), out, err

    return call


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "good.jsonl"
    path.write_text(
        "".join(
            json.dumps({"messages": [{"role": "user", "content": f"q{n}"}, GOOD["messages"][1]]}) + "\n"
            for n in range(8)
        )
    )
    return path


def nothing_left(home: Path) -> bool:
    jobs = home / "jobs"
    return not jobs.exists() or not list(jobs.iterdir())


def refused(answer: tuple[int, str, str], status: int, *says: str) -> None:
    code, out, err = answer
    assert code == status, err
    assert "Traceback" not in out + err
    for text in says:
        assert text in err, err


def test_data_that_cannot_be_used(cli: Cli, home: Path, tmp_path: Path) -> None:
    model = ["--model", "local:starter"]
    refused(cli("run", str(tmp_path / "none.jsonl"), *model), 1, "none.jsonl: no such file")
    (tmp_path / "empty.jsonl").write_text("")
    refused(cli("run", str(tmp_path / "empty.jsonl"), *model), 1, "empty.jsonl is empty")
    refused(cli("run", str(tmp_path), *model), 1, "is a directory")
    lines = [json.dumps(GOOD)] * 9
    lines[6] = '{"messages": ['
    (tmp_path / "bad.jsonl").write_text("\n".join(lines))
    refused(cli("run", str(tmp_path / "bad.jsonl"), *model), 1, "bad.jsonl, row 7: not JSON", "Fix:")
    lines[6] = json.dumps({"messages": GOOD["messages"][:1]})
    (tmp_path / "mute.jsonl").write_text("\n".join(lines))
    refused(cli("run", str(tmp_path / "mute.jsonl"), *model), 1, "mute.jsonl, row 7, messages: ")
    assert nothing_left(home)


def test_all_problems_are_told_at_once(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text(f'{json.dumps(GOOD)}\n{{"messages": []}}\nnope\n')
    answer = cli("run", str(tmp_path / "bad.jsonl"), "--model", "local:/no/such/model", "--objective", "dpo")
    refused(answer, 1, "row 2", "row 3", "no model at '/no/such/model'", "objective 'dpo' is not supported")


def test_models_that_cannot_be_used(cli: Cli, home: Path, data: Path, tmp_path: Path) -> None:
    refused(cli("run", str(data), "--model", "starter"), 2, "has no backend", "local:starter")
    refused(cli("run", str(data), "--model", "locale:x"), 2, "no backend is named 'locale': did you mean 'local'?")
    refused(cli("run", str(data)), 2, "no model is given")
    refused(cli("run", str(data), "--model", f"local:{tmp_path}"), 1, "is not a model: it has no config.json")
    refused(cli("run", str(data), "--model", f"local:{data}"), 1, "is a file")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text('{"model_type": "llama"}')
    (pickled / "pytorch_model.bin").write_bytes(b"x")
    refused(cli("run", str(data), "--model", f"local:{pickled}"), 1, "only as pickles (pytorch_model.bin)", "Convert")
    (pickled / "config.json").write_text("{")
    refused(cli("run", str(data), "--model", f"local:{pickled}"), 1, "config.json cannot be read")
    assert nothing_left(home)


def test_hyperparameters_that_cannot_be(cli: Cli, home: Path, data: Path) -> None:
    base = ["run", str(data), "--model", "local:starter"]
    refused(cli(*base, "--rank", "0"), 2, "'method.rank' is 0")
    refused(cli(*base, "--epochs", "-1"), 2, "'hyperparameters.epochs' is -1")
    refused(cli(*base, "--learning-rate", "fast"), 2, "'hyperparameters.learning_rate' is 'fast'")
    refused(cli(*base, "--set", "hyperparameters.epocs=3"), 2, "unknown field 'hyperparameters.epocs'", "'epochs'")
    refused(cli(*base, "--set", "epochs"), 2, "write it as path=value")
    refused(cli(*base, "--method", "lorra"), 2, "lorra")
    refused(cli(*base, "--epoch", "3"), 2, "--epochs")
    refused(cli(*base, "--set", "hyperparameters.learning_rate_multiplier=2"), 1, "give learning_rate")
    refused(cli(*base, "--set", "hyperparameters.early_stopping_patience=2"), 1, "needs a validation split")
    refused(cli(*base, "--method", "ia3"), 1, "method 'ia3' is not supported by the local backend", "use one of")
    refused(cli(*base, "--set", "resources.devices=64"), 1, "64")
    refused(cli(*base, "--set", "resources.processes=2"), 1, "one process on one device")
    refused(cli(*base, "--option", "colour=blue"), 1, "unknown option 'colour'")
    refused(cli(*base, "--test", "1.5"), 2, "'test' is 1.5")
    assert nothing_left(home)


def test_a_test_set_that_overlaps_is_refused(cli: Cli, data: Path) -> None:
    answer = cli("run", str(data), "--model", "local:starter", "--test", str(data))
    refused(answer, 1, "this test row repeats training row")


def test_job_files(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    refused(cli("run", str(path)), 2, "No such file")
    path.write_text("a: [")
    refused(cli("run", str(path)), 2, "is not YAML")
    path.write_text("- 1")
    refused(cli("run", str(path)), 2, "a job file is a mapping")
    path.write_text("model: local:starter\ndatset: d.jsonl\ndataset: d.jsonl\n")
    refused(cli("run", str(path)), 2, "unknown field 'datset': did you mean 'dataset'?")


def test_jobs_that_do_not_exist(cli: Cli) -> None:
    for command in ("show", "events", "cancel", "resume", "rm"):
        code, _, err = cli(command, "tp-nothing")
        assert code == 1
        assert "tp-nothing" in err


def test_unknown_command_and_option(cli: Cli) -> None:
    refused(cli("jbos"), 2, "did you mean 'jobs'?")
    refused(cli("jobs", "--statuss", "x"), 2, "--status")


def test_errors_are_json_for_machines(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli("run", str(tmp_path / "none.jsonl"), "--model", "local:starter", "--json")
    body: dict[str, Any] = json.loads(out)["error"]
    assert code == 1
    assert body["type"] == "PlanError"
    assert len(body["problems"]) == 1


def test_plan_shows_what_would_happen_and_writes_nothing(cli: Cli, home: Path, data: Path) -> None:
    code, out, _ = cli("plan", str(data), "--model", "local:starter", "--epochs", "2", "--json")
    made = json.loads(out)
    notes = {note["name"]: note for note in made["hyperparameters"]}
    assert code == 0
    assert notes["epochs"] == {"name": "epochs", "requested": 2.0, "effective": 2.0, "reason": ""}
    assert notes["batch_size"]["requested"] is None
    assert notes["batch_size"]["reason"]
    assert made["splits"] == {"train": 8}
    assert nothing_left(home)


def test_the_real_program_leaves_with_the_right_status(home: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tuneport.cli", "run", str(tmp_path / "none.jsonl"), "--model", "local:starter"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    "command", ["demo", "doctor", "models", "plan", "run", "jobs", "show", "events", "cancel", "resume", "rm", "chat"]
)
def test_every_command_has_help_with_an_example(cli: Cli, command: str) -> None:
    code, out, _ = cli(command, "--help")
    assert code == 0
    assert "Example: tuneport " + command in out
