"""One backend as its users see it, with its stand-in running and a home of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.contract.case import Case
from tests.contract.cases import PLUGIN, known
from tests.contract.plugin import install, on_path

from tuneport import FineTuneJob, registry
from tuneport.result import FineTuneResult
from tuneport.status import JobStatus

POLL = "0.02"
_MANY = 3000  # steps, more than any job here takes


class World:
    """One backend as its users see it."""

    def __init__(self, case: Case, data: Path) -> None:
        self.case = case
        self.name = case.name
        self.data = data

    def create(self, **fields: Any) -> FineTuneJob:
        return FineTuneJob.create(self.case.model, str(self.data), **{**self.case.fields, **fields})

    def reach(self, job: FineTuneJob, *wanted: JobStatus) -> JobStatus:
        """Let time pass until the job stands so."""
        for _ in range(_MANY):
            status = job.status
            if status in wanted:
                return status
            if status.terminal:
                pytest.fail(f"{job.id} is {status.value} ({job.error}), not {' or '.join(wanted)}")
            self.case.step()
        return pytest.fail(f"{job.id} is still {job.status.value}, not {' or '.join(wanted)}")

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Time passes by itself, for calls that wait."""
        over = threading.Event()

        def go() -> None:
            while not over.wait(0.01):
                self.case.step()

        thread = threading.Thread(target=go, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def finish(self, job: FineTuneJob) -> FineTuneResult:
        with self.passing():
            return job.wait(timeout=280)

    def command(self, *words: str, status: int = 0) -> Any:
        """`tuneport … --json` in a process of its own; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "tuneport.cli", *words, "--json"],
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return (
            [json.loads(line) for line in done.stdout.splitlines()] if words[0] == "events" else json.loads(done.stdout)
        )

    def declared(self, feature: str) -> None:
        """Skip, and say why in the table, where the backend has declared that it cannot."""
        support = registry.get(self.name).capabilities().features[feature]
        if support is not None:
            pytest.skip(f"declared: {support.reason}")


@contextmanager
def running(name: str, folder: Path) -> Iterator[World]:
    """The world of one backend. Everything is put back afterwards."""
    (folder / "plugin").mkdir()
    with (
        on_path(install(folder / "plugin") if name == PLUGIN else folder / "plugin"),
        pytest.MonkeyPatch.context() as patch,
    ):
        case = known()[name](folder)
        try:
            for variable, value in settings(case, folder).items():
                patch.setenv(variable, value)
            patch.delenv("TUNEPORT_DATABASE_URL", raising=False)
            data = folder / "rows.jsonl"
            data.write_text("".join(json.dumps(row) + "\n" for row in case.rows), encoding="utf-8")
            yield World(case, data)
        finally:
            registry.close_models()
            case.close()


def settings(case: Case, folder: Path) -> Mapping[str, str]:
    return {**case.environment(), "TUNEPORT_HOME": str(folder / "home"), "TUNEPORT_POLL_SECONDS": POLL}
