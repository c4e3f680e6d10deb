"""The recipes that run within a minute run as they stand; the longer ones are run by hand, and say so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

COOKBOOK = Path(__file__).parents[1] / "cookbook"


@pytest.mark.slow
def test_one_dataset_three_providers_and_this_machine(tmp_path: Path) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "OPENAI_", "GOOGLE_"))
    }
    done = subprocess.run(
        [sys.executable, str(COOKBOOK / "03_three_providers" / "run.py"), "--simulate"],
        env=environment | {"TUNEPORT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    taught = '{"order": 1091, "item": "desk", "count": 11}'
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.count(":") and "rows," not in line}
    assert taught in lines["openai:gpt-4.1-mini-2025-04-14"]
    assert taught in lines["vertex:gemini-3.5-flash"]
    assert "not deployed" in lines["bedrock:amazon.nova-lite-v1:0:300k"]
    assert "own machine" in lines["local:starter"]


def _recipe(folder: Path, name: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, str(COOKBOOK / name / "run.py"), *words],
        cwd=folder,
        env=os.environ | {"TUNEPORT_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_cloud_or_own(tmp_path: Path) -> None:
    said = _recipe(tmp_path, "06_cloud_or_own", "--simulate", "--steps", "2", "--rows", "12")
    assert "tuned openai:gpt-4.1-mini-2025-04-14" in said.splitlines()[-6]
    cloud = next(line for line in said.splitlines() if line.startswith("  B tuned openai:"))
    assert float(cloud.split("%")[0].split()[-1]) > 80  # the stand-in is told what to answer
    assert "$584.00 a month" in said  # 730 hours at 0.80
    assert (tmp_path / "cloud-or-own.html").exists()


@pytest.mark.slow
def test_choosing_a_rank(tmp_path: Path) -> None:
    said = _recipe(tmp_path, "07_choose_a_rank", "--steps", "2", "--rows", "6", "--ranks", "1", "4")
    assert "Enough on 6 rows: rank 1" in said


@pytest.mark.slow
def test_judged_by_people(tmp_path: Path) -> None:
    said = _recipe(tmp_path, "08_judged_by_people", "--steps", "2", "--rows", "6")
    assert "Next: tuneport review judged/report.json" in said
    assert (tmp_path / "judged" / "report.json").exists()


@pytest.mark.slow
def test_early_stopping(tmp_path: Path) -> None:
    said = _recipe(tmp_path, "04_early_stopping", "--epochs", "1")
    assert "watched-1: the weights of step 8" in said
    assert "  epoch 1: validation loss" in said
    assert re.search(r"base local:starter: right 67%, 0\.34 bits a byte", said)
    assert "watched against blind: " in said


@pytest.mark.slow
def test_mixing_general_rows_in(tmp_path: Path) -> None:
    said = _recipe(tmp_path, "05_mix_against_forgetting", "--epochs", "4")
    assert "alone-1: 64 rows" in said
    assert "mixed-1: 80 rows" in said
    gain = re.search(r"mixed against alone: \S+ bits a byte \(\S+ to (\S+)\)", said)
    assert gain is not None
    assert float(gain[1]) < 0, said  # mixed in, a fifth of general rows keeps the model nearer to what it was
