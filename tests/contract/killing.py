"""A process that makes processes to be killed: everything is imported once, and each child is forked from it.

    python -m tests.contract.killing MODEL DATA        # the world's environment is its own

It reads a JSON object a line: {"home", "fields", "resume": an id or null}. It answers `pid N` when the child runs, and
`end STATUS` when it has ended, by itself or by a signal; the child is then reaped, so that nobody takes it for alive.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click

SDKS = {
    "openai": ("openai.resources.fine_tuning", "openai.resources.files"),
    "azure": ("openai.resources.fine_tuning", "openai.resources.files"),
    "bedrock-openai": ("openai.resources.fine_tuning", "openai.resources.files"),
    "bedrock": ("boto3", "botocore.parsers"),
    "vertex": ("google.genai", "google.cloud.storage"),
}


class Nursery:
    """The other end: starts children, and waits for them."""

    def __init__(self, model: str, data: Path) -> None:
        self._model, self._data = model, data
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.killing", model, str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        self._expect("ready")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def run(
        self, home: Path, fields: Mapping[str, Any], until: Callable[[int], None], resume: str | None = None
    ) -> int:
        """A child that creates (or resumes) and waits for the result; `until(pid)` returns when it is time. Its exit status."""
        asked = {"home": str(home), "fields": dict(fields), "resume": resume}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        pid = int(self._expect("pid"))
        until(pid)
        return int(self._expect("end"))

    def _expect(self, word: str) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith(word), f"the nursery said {line!r}, not {word}"
        return line.removeprefix(word).strip()


def serve(model: str, data: str) -> None:
    from importlib import import_module

    import tuneport
    from tuneport import registry, store  # noqa: F401  (so that a child has them)

    name = model.partition(":")[0]
    for module in SDKS.get(name, ()):
        import_module(module)
    registry.get(name)
    click.echo("ready")
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.environ["TUNEPORT_HOME"] = asked["home"]
            os._exit(_life(tuneport, model, data, asked))
        click.echo(f"pid {pid}")
        _, status = os.waitpid(pid, 0)
        click.echo(f"end {os.waitstatus_to_exitcode(status)}")


def _life(tuneport: Any, model: str, data: str, asked: Mapping[str, Any]) -> int:
    from tuneport.spec import FineTuneSpec

    try:
        if asked["resume"]:
            job = tuneport.FineTuneJob.get(asked["resume"]).resume()
        else:
            spec = FineTuneSpec.parse({"model": model, "dataset": data, **asked["fields"]})
            job = tuneport.FineTuneJob.submit(spec, data)
        job.wait()
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])
