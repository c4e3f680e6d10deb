"""Every command and every example of the README runs as it stands."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tuneport_backends.simulators.bedrock import BedrockSimulator
from tuneport_backends.simulators.clock import Clock
from tuneport_backends.simulators.openai import OpenAISimulator
from tuneport_backends.simulators.vertex import VertexSimulator
from tuneport_local.layout import STARTER_DATA

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^\$ (.+)$", README, re.MULTILINE)
HOSTED = re.findall(r"^tuneport run .+$", README, re.MULTILINE)
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("readme")
    lines = (STARTER_DATA / "train.jsonl").read_text(encoding="utf-8").splitlines()[:60]
    (path / "mydata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


OPEN = "2026-12-01"  # a day on which every provider still takes these jobs, whatever day it is


def _run(words: list[str], folder: Path) -> str:
    done = subprocess.run(
        words,
        cwd=folder,
        env=os.environ | {"TUNEPORT_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_commands_run_in_their_order(folder: Path) -> None:
    assert len(COMMANDS) >= 8
    for command in COMMANDS:
        program, *words = shlex.split(command)
        assert program == "tuneport"
        assert _run([sys.executable, "-m", "tuneport.cli", *words], folder).strip(), command
    assert (folder / "triage.html").exists()


@pytest.mark.parametrize("command", HOSTED, ids=lambda command: command.split("--model ")[1].partition(":")[0])
def test_the_hosted_commands_run_against_their_stand_ins(folder: Path, command: str) -> None:
    provider = command.split("--model ")[1].partition(":")[0]
    hours_in_seconds = Clock(speed=1200)
    simulator: Any = {
        "openai": lambda: OpenAISimulator(hours_in_seconds),
        "bedrock": lambda: BedrockSimulator(hours_in_seconds, buckets={"mine": "us-east-1"}),
        "vertex": lambda: VertexSimulator(hours_in_seconds, buckets={"mine": "us-central1"}, project="p"),
    }[provider]()
    (folder / "tickets.jsonl").write_bytes((folder / "mydata.jsonl").read_bytes())
    program, *words = shlex.split(command)
    assert program == "tuneport"
    with simulator, pytest.MonkeyPatch.context() as patch:
        for name, value in {**simulator.environment(), "TUNEPORT_POLL_SECONDS": "0.1", "TUNEPORT_NOW": OPEN}.items():
            patch.setenv(name, value)
        said = _run([sys.executable, "-m", "tuneport.cli", *words], folder)
    assert f"model: {provider}:" in said


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_examples_run(folder: Path, code: str) -> None:
    assert "exact_match" in _run([sys.executable, "-c", code], folder)


def test_the_two_commands_exist_and_do_what_they_say() -> None:
    for target, says in (("demo", "tuneport demo"), ("test", "pytest")):
        planned = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert says in planned
        assert f"make {target}" in README


def test_every_link_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link


def test_starter_rows_share_no_value_between_training_and_test() -> None:
    def values(name: str) -> set[str]:
        rows = (STARTER_DATA / name).read_text(encoding="utf-8").splitlines()
        answers = [json.loads(json.loads(row)["messages"][-1]["content"]) for row in rows]
        return {str(value) for answer in answers for value in answer.values()}

    assert values("train.jsonl").isdisjoint(values("test.jsonl"))
