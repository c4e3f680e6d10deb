"""EleutherAI's lm-evaluation-harness, by document: one way to run it for the engine and for hosted models.

The harness gives a task's mean; what tuning cost needs the scores of each document, so that base and tuned are paired. Only a
child process calls `measure`: the harness brings scikit-learn and datasets, and with a local model torch.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field

from tuneport import errors
from tuneport.errors import DatasetError, NotInstalledError, SpecError
from tuneport.strict import suggest

EVERY_KIND = frozenset({"loglikelihood", "loglikelihood_rolling", "multiple_choice", "generate_until"})
# Of the harness's metrics that sum log-likelihoods over a document, one: the others say the same in other units.
_BITS, _SAME = "bits_per_byte", frozenset({"byte_perplexity", "word_perplexity"})


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class TaskScores(_Record):
    """One metric of one task, by the document's number."""

    task: str
    metric: str
    higher_is_better: bool = True
    values: dict[int, float]

    @property
    def yes_or_no(self) -> bool:
        return all(value in (0.0, 1.0) for value in self.values.values())


class HarnessScores(_Record):
    """What one model scored. `left_out` says of a task, or of one of its metrics, why it was not measured."""

    version: str = Field(description="of lm_eval")
    scores: list[TaskScores] = Field(default_factory=list[TaskScores])
    left_out: dict[str, str] = Field(default_factory=dict[str, str])
    notes: list[str] = Field(default_factory=list[str], description="what holds for all of it")


def from_child(command: Sequence[str]) -> HarnessScores:
    """What a child that `measure`s leaves in the file that it is given as `--out`; or the error that it met, raised here."""
    with tempfile.TemporaryDirectory(prefix="tuneport-") as folder:
        out, said = Path(folder) / "out.json", Path(folder) / "said.txt"
        with said.open("wb") as log:
            code = subprocess.run(
                [sys.executable, *command, "--out", str(out)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
            ).returncode
        if code == 0:
            return HarnessScores.model_validate_json(out.read_bytes())
        if not out.exists():
            last = said.read_text("utf-8", "replace").strip().splitlines()[-1:]
            raise errors.BackendError(f"lm-evaluation-harness ended with exit code {code}: {''.join(last)}")
        why = json.loads(out.read_bytes())
    kind: Any = getattr(errors, str(why["error"]), None)
    if not (isinstance(kind, type) and issubclass(kind, errors.TuneportError)):
        kind = errors.BackendError
    raise kind(str(why["fatal"]))


def to_parent(out: Path, work: Callable[[], HarnessScores]) -> int:
    """In the child: do the work, leave what came of it in `out`, and return the exit code."""
    try:
        found = work()
    except Exception as error:  # noqa: BLE001  whatever it is, the one who waits has to hear of it
        text = str(error) if isinstance(error, errors.TuneportError) else f"{type(error).__name__}: {error}"
        out.write_text(json.dumps({"fatal": text, "error": type(error).__name__}), encoding="utf-8")
        return 1
    out.write_text(found.model_dump_json(), encoding="utf-8")
    return 0


def measure(
    lm: Any,
    tasks: Sequence[str],
    *,
    include_path: Path | None = None,
    limit: int | None = None,
    kinds: Collection[str] = EVERY_KIND,
    refusal: str = "",
) -> HarnessScores:
    """Run `tasks` on `lm`, an `lm_eval.api.model.LM`. A task of a kind that is not in `kinds` is left out with `refusal`.

    Task files may name Python functions, and those run: give an `include_path` that you trust. Their data files are looked for
    from that folder. Raises SpecError for a task that does not exist, DatasetError where its documents cannot be had.
    """
    try:
        evaluator: Any = importlib.import_module("lm_eval.evaluator")
        manager: Any = importlib.import_module("lm_eval.tasks").TaskManager(
            include_path=None if include_path is None else str(include_path)
        )
    except ImportError as error:
        raise NotInstalledError(
            f"lm-evaluation-harness is not installed ({error}): pip install 'tuneport[lm-eval]'", extra="lm-eval"
        ) from error
    if include_path is not None:
        os.chdir(include_path)
    loaded: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for name in tasks:
        if name not in manager.all_tasks:
            raise SpecError(f"lm-evaluation-harness has no task {name!r}: {suggest(name, manager.all_tasks)}")
        try:
            found: dict[str, Any] = manager.load([name])["tasks"]
        except (OSError, ValueError, LookupError, RuntimeError) as error:
            raise DatasetError(
                f"the documents of task {name!r} cannot be had ({_brief(error)}): without network, give a task file with a "
                "data file beside it."
            ) from error
        for task, one in found.items():
            if (kind := str(one.OUTPUT_TYPE)) in kinds:
                loaded[task] = one
            else:
                left_out[task] = f"its kind is {kind}: {refusal}"
    if not loaded:
        return HarnessScores(version=version("lm_eval"), left_out=left_out)
    results: dict[str, Any] = evaluator.simple_evaluate(
        model=lm,
        tasks=list(loaded.values()),
        limit=limit,
        bootstrap_iters=0,
        log_samples=True,
        task_manager=manager,
    )
    scores: list[TaskScores] = []
    for task, documents in cast("dict[str, list[dict[str, Any]]]", results["samples"]).items():
        better: dict[str, Any] = results["higher_is_better"].get(task) or {}
        found_scores, not_by_document = _by_document(task, documents, better)
        scores += found_scores
        left_out.update({f"{task}, {metric}": why for metric, why in not_by_document.items()})
    return HarnessScores(version=version("lm_eval"), scores=scores, left_out=left_out)


def _by_document(
    task: str, documents: Sequence[dict[str, Any]], better: dict[str, Any]
) -> tuple[list[TaskScores], dict[str, str]]:
    """The metrics of a task that have a number for each document; and those that have none, with the reason."""
    first = documents[0]["filter"] if documents else ""
    values: dict[str, dict[int, float]] = {}
    refused: dict[str, str] = {}
    for document in documents:
        if document["filter"] != first:  # another way to read the same answers; the task's first is its own choice
            continue
        for metric in cast("list[str]", document["metrics"]):
            value = _number(metric, document[metric])
            if value is not None:
                values.setdefault(metric, {})[int(document["doc_id"])] = value
            elif metric not in _SAME:
                refused[metric] = "it is of all documents together, so base and tuned cannot be paired on it"
    return [
        TaskScores(task=task, metric=metric, higher_is_better=bool(better.get(metric, metric != _BITS)), values=found)
        for metric, found in values.items()
        if metric not in refused
    ], refused


def _number(metric: str, value: Any) -> float | None:
    if metric == _BITS and isinstance(value, (tuple, list)):
        nats, size = cast("Sequence[float]", value)
        return -nats / size / math.log(2) if size else None
    if isinstance(value, (bool, int, float)) or hasattr(value, "__float__"):
        number = float(value)
        return number if math.isfinite(number) else None
    return None


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
