"""`tuneport simulate` as a process, and the fixtures as somebody else's tests use them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.plugin import OURS, describe, on_path

from tuneport import registry

SERVING = "tuneport_backends.simulators.serving"
POINTS = {
    "tuneport.simulators": {
        name: f"{SERVING}:{name.replace('-', '_')}"
        for name in ("openai", "azure", "bedrock-openai", "bedrock", "vertex")
    },
    "tuneport.commands": {"simulate": "tuneport.cli.simulate:simulate"},
    "pytest11": {"tuneport_simulators": "tuneport_backends.simulators.fixtures"},
}
ROWS = [
    {"messages": [{"role": "user", "content": f"Say {n}."}, {"role": "assistant", "content": f"{n}, as you wish."}]}
    for n in range(12)
]


@pytest.fixture(autouse=True)
def _registered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("points")
    missing = {name: where for name, where in OURS.items() if name not in registry.available()}
    describe(folder, "tuneport-simulators-here", {**POINTS, **({"tuneport.backends": missing} if missing else {})})
    with on_path(folder):
        yield


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tuneport.cli", "simulate", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*words: str, **environment: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tuneport.cli", *words, "--json"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("provider", "model", "today"),
    [
        ("openai", "openai:gpt-4.1-mini-2025-04-14", "2026-10-01"),
        ("bedrock", "bedrock:amazon.nova-lite-v1:0:300k", "2026-10-01"),
        ("vertex", "vertex:gemini-3.5-flash", "2026-10-01"),
    ],
)
def test_a_whole_job_against_it_by_the_printed_variables(provider: str, model: str, today: str, tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    simulator = start(provider, "--speed", "2000", "--json")
    try:
        assert simulator.stdout is not None
        said = json.loads(simulator.stdout.readline())
        assert said["provider"] == provider
        home = {"TUNEPORT_HOME": str(tmp_path / "home"), "TUNEPORT_NOW": today, "TUNEPORT_POLL_SECONDS": "0.05"}
        result = run("run", str(data), "--model", model, "--name", "there", **said["environment"], **home)
        assert result["backend"] == provider
        assert run("show", "there", **said["environment"], **home)["status"] == "succeeded"
    finally:
        simulator.send_signal(signal.SIGINT)
        _, errors = simulator.communicate(timeout=30)
    assert simulator.returncode == 0, errors
    assert errors == ""


def test_it_prints_lines_for_a_shell(tmp_path: Path) -> None:
    script = tmp_path / "faults.yaml"
    script.write_text("- {on: files.create, do: status, status: 500, times: 1}\n")
    simulator = start("openai", "--faults", str(script))
    try:
        assert simulator.stdout is not None
        lines = []
        while not (lines and lines[-1].startswith("# Ctrl-C")):
            lines.append(simulator.stdout.readline())
    finally:
        simulator.terminate()
        rest, _ = simulator.communicate(timeout=30)
    assert simulator.returncode == 0
    shell = "".join(lines) + 'echo "$OPENAI_BASE_URL|$OPENAI_API_KEY"'
    echoed = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True).stdout.strip()
    url, _, key = echoed.rpartition("\n")[2].partition("|")
    assert url.startswith("http://127.0.0.1:")
    assert key
    assert "stopped" in rest


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["opneai"], "did you mean 'openai'?"),
        (["openai", "--port", "99999"], "99999"),
        (["openai", "--faults", "/no/such/file"], "does not exist"),
        (["openai", "--speed", "0"], "0"),
    ],
)
def test_wrong_usage(words: list[str], said: str) -> None:
    process = start(*words)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2, out + err
    assert said in err
    assert "Traceback" not in err


def test_a_port_in_use_and_a_script_that_is_none(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("openai", "--port", str(taken.getsockname()[1]))
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "cannot be used" in err
    script = tmp_path / "faults.yaml"
    script.write_text("on: jobs.create\n")
    process = start("openai", "--faults", str(script))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a list" in err


SOMEBODYS = """
from tuneport import FineTuneJob
ROWS = [{"messages": [{"role": "user", "content": f"Say {n}."}, {"role": "assistant", "content": f"{n}!"}]} for n in range(12)]

def tuned(simulator, model):
    job = FineTuneJob.create(model, ROWS)
    simulator.clock.advance(36000)
    result = job.wait(timeout=60)
    assert len(simulator.jobs) == 1
    return result

def test_openai(openai_simulator, tmp_path):
    result = tuned(openai_simulator, "openai:gpt-4.1-mini-2025-04-14")
    assert result.model.chat([{"role": "user", "content": "Say 3."}]).content == "3!"
    assert (tmp_path / "tuneport").is_dir()

def test_bedrock(bedrock_simulator):
    assert tuned(bedrock_simulator, "bedrock:amazon.nova-lite-v1:0:300k").model.model.startswith("arn:")

def test_vertex(vertex_simulator):
    result = tuned(vertex_simulator, "vertex:gemini-3.5-flash")
    assert result.model.chat([{"role": "user", "content": "Say 3."}]).content == "3!"
"""


def test_the_fixtures_are_there_for_everybody(tmp_path: Path) -> None:
    (tmp_path / "test_somebodys.py").write_text(textwrap.dedent(SOMEBODYS))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path), "--rootdir", str(tmp_path)],
        env={**os.environ, "TUNEPORT_NOW": "2026-10-01"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, tuneport_backends.simulators.fixtures\n"
        "print([m for m in ('openai', 'boto3', 'google.genai', 'tuneport', 'pydantic') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
