"""A job's directory as the application writes it: rows, spec and plan before anything is submitted, whole or not at all."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path

from tuneport.dataset.core import write_rows
from tuneport.errors import JobError
from tuneport.preflight import Prepare
from tuneport.status import utcnow

_SUBMITTING = "submitting.json"  # when a create was last sent


def compile_into(directory: Path, ready: Prepare) -> None:
    """Write it under a temporary name and rename it."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = directory.parent / f".{directory.name}"
    temporary.mkdir()
    try:
        for name, rows in ready.parts.items():
            if rows:
                write_rows(temporary / f"{name}.jsonl", rows)
        (temporary / "spec.json").write_text(json.dumps(ready.spec.to_store(), indent=2) + "\n", encoding="utf-8")
        (temporary / "plan.json").write_text(ready.plan.model_dump_json(indent=2) + "\n", encoding="utf-8")
        temporary.rename(directory)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise JobError(
            f"the job's rows cannot be written to {directory.parent}: {error.strerror or error}. "
            "Free some room, or set TUNEPORT_HOME to a folder that has it."
        ) from None
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def splits(directory: Path) -> dict[str, int]:
    """Rows in each split that has any."""
    counts: dict[str, int] = {}
    for name in ("train", "validation", "test"):
        path = directory / f"{name}.jsonl"
        if path.exists():
            with path.open("rb") as file:
                counts[name] = sum(1 for _ in file)
    return counts


def sending_now(directory: Path) -> None:
    """Note, before a create is sent, that it is."""
    (directory / _SUBMITTING).write_text(json.dumps({"at": utcnow().isoformat()}), encoding="utf-8")


def last_sent(directory: Path) -> float:
    """When a create was last sent, in seconds since the epoch; 0 for never."""
    path = directory / _SUBMITTING
    if not path.exists():
        return 0.0
    return datetime.fromisoformat(json.loads(path.read_text(encoding="utf-8"))["at"]).timestamp()
