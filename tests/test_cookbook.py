"""The recipes that run within a minute run as they stand; the longer ones are run by hand, and say so."""

from __future__ import annotations

import os
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
