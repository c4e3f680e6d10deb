"""Forgetting on tasks of EleutherAI's lm-evaluation-harness: base against tuned, by document, with an interval each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tuneport import registry
from tuneport.backend import MeasuresGeneral
from tuneport.errors import SpecError
from tuneport.evaluate import harness_hosted
from tuneport.evaluate.comparison import Forgetting
from tuneport.evaluate.contenders import Contestant, Entrant
from tuneport.evaluate.forgetting import Kind, Measured, pair, paired, unmeasured
from tuneport.scoring.harness import HarnessScores
from tuneport.spec import ModelId


def harness(
    model: Contestant,
    base: Contestant | None = None,
    *,
    tasks: Sequence[str],
    include_path: str | Path | None = None,
    limit: int | None = None,
    budget_usd: float | None = None,
) -> list[Forgetting]:
    """Tasks of lm-evaluation-harness, `model` against `base`, paired by document. It runs in a child process.

    `tasks` by name: the harness's own, whose documents come from the Hugging Face hub, or those of the task files in the folder
    `include_path`, which need no network where their data lies beside them (and may run Python that they name). `limit`: the
    first documents of each task. A hosted model is measured on tasks whose answer is written (`generate_until`), and on the
    others there is a `note` that says why not.

    Raises SpecError for a task that does not exist, NotInstalledError without the `lm-eval` extra, DatasetError where a
    task's documents cannot be had, BudgetExceededError.
    """
    if isinstance(tasks, str) or not tasks or any(not name or "," in name for name in tasks):
        raise SpecError(f"tasks is {tasks!r}: give a list of names, as in ['arc_easy', 'gsm8k'].")
    if limit is not None and limit < 1:
        raise SpecError(f"limit is {limit}: give 1 or more documents of each task.")
    folder = None if include_path is None else Path(include_path).expanduser().resolve()
    if folder is not None and not folder.is_dir():
        raise SpecError(f"include_path {str(folder)!r} is no folder: give the one that holds the task files.")
    before, after = pair(model, base)
    left, right = (_harness(one, tasks, folder, limit, budget_usd) for one in (before, after))
    names = before.name, after.name
    source = f"lm-evaluation-harness {right.version}"
    said = "; ".join([*left.notes, *right.notes])
    others = {(one.task, one.metric): one for one in right.scores}
    results: list[Forgetting] = []
    for one in left.scores:
        if (other := others.get((one.task, one.metric))) is None:
            continue
        both = Measured({one.task: {str(key): value for key, value in one.values.items()}})
        tuned = Measured({one.task: {str(key): value for key, value in other.values.items()}})
        kind: Kind = "binary" if one.yes_or_no and other.yes_or_no and one.higher_is_better else "continuous"
        results.append(
            paired(
                one.task,
                one.metric,
                both,
                tuned,
                names,
                higher=one.higher_is_better,
                kind=kind,
                source=source,
                how=said,
            )
        )
    for what, why in {**left.left_out, **right.left_out}.items():
        task, _, metric = what.partition(", ")
        results.append(unmeasured(task, metric or "score", names, why, source=source))
    return results


def _harness(
    one: Entrant, tasks: Sequence[str], folder: Path | None, limit: int | None, budget_usd: float | None
) -> HarnessScores:
    backend = registry.get(one.backend or "")
    if isinstance(backend, MeasuresGeneral):
        model = ModelId.split(one.model or "")
        registry.close_model(str(model), one.options)  # a session of ours may hold the device
        return backend.harness(model.model, tasks, include_path=folder, limit=limit, options=one.options)
    return harness_hosted.measure(one, tasks, include_path=folder, limit=limit, budget_usd=budget_usd)
