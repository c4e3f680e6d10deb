"""Should this be a fine-tune? Signals from the data, and from a measured baseline where a model is given, each with its number.

No signal decides alone. Each adds points, for or against, to fine-tuning, prompting, few-shot prompting and retrieval; the
points and their reasons are all told, so that who reads them can disagree.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from tuneport import registry
from tuneport.dataset import Dataset
from tuneport.dataset.split import split
from tuneport.errors import DatasetError
from tuneport.scoring.intervals import Interval, proportion
from tuneport.scoring.metrics import exact_match, json_equal

Way = Literal["fine-tune", "prompt", "few-shot", "retrieval"]
WAYS: tuple[Way, ...] = ("fine-tune", "prompt", "few-shot", "retrieval")

_CHARACTERS_PER_TOKEN = 4.0  # English text in a current vocabulary; only for the size of what a prompt repeats
_SHOTS = 4
_ASKED = 40  # held-out rows that a baseline is measured on
_WORD = re.compile(r"\w+", re.UNICODE)
# What changes with time: years, dates, prices, versions.
_DATED = re.compile(r"\b(?:19|20)\d\d\b|[$€£¥]\s?\d|\b\d+(?:\.\d+)?\s?(?:USD|EUR|GBP|%)|\bv?\d+\.\d+(?:\.\d+)?\b")


class Signal(BaseModel):
    """One thing that was measured: its value, and the points that it gives to each way."""

    model_config = ConfigDict(frozen=True)

    name: str
    value: float
    points: dict[Way, float]
    why: str


class Baseline(BaseModel):
    """How often the untuned model is right on held-out rows, with Wilson's 95% interval."""

    model_config = ConfigDict(frozen=True)

    name: Literal["zero-shot", "few-shot"]
    rows: int
    right: int
    metric: str
    share: Interval


class Advice(BaseModel):
    """`recommendation` has the most points; `close` says that another is within one point of it."""

    model_config = ConfigDict(frozen=True)

    recommendation: Way
    close: list[Way] = Field(default_factory=list[Way])
    points: dict[Way, float]
    signals: list[Signal]
    baselines: list[Baseline] = Field(default_factory=list[Baseline])
    rows: int
    model: str | None = None
    next: str


def advise(
    data: Any,
    model: str | None = None,
    *,
    rows: int = _ASKED,
    seed: int = 42,
    progress: Callable[[int, int], None] | None = None,
) -> Advice:
    """Advice for `data` (anything that a dataset can be read from). With `model`, it is asked `rows` held-out rows, zero-shot
    and with four examples: for a hosted model that costs as much as any call. `progress` is told calls done and calls in all.

    Raises DatasetError where no row has a question and an answer.
    """
    dataset = Dataset.of(data)
    pairs = [pair for row in dataset.rows if (pair := _pair(row)) is not None]
    if not pairs:
        raise DatasetError(
            f"{dataset.source}: no row has a question and an answer in text: there is nothing to judge by."
        )
    signals = [_size(pairs), _format(pairs), _facts(pairs), _dated(pairs), _repeated_prompt(pairs), _variety(pairs)]
    baselines = [] if model is None else _baselines(dataset, model, rows, seed, progress)
    signals += _from_baselines(baselines, len(pairs))
    points: dict[Way, float] = {way: round(sum(signal.points.get(way, 0.0) for signal in signals), 2) for way in WAYS}
    order = sorted(WAYS, key=lambda way: -points[way])
    best = order[0]
    return Advice(
        recommendation=best,
        close=[way for way in order[1:] if points[best] - points[way] < 1],
        points=points,
        signals=signals,
        baselines=baselines,
        rows=len(pairs),
        model=model,
        next=_next(best, dataset.source, model),
    )


Pair = tuple[str, str]  # all that comes before the last answer, and the answer


def _pair(row: Mapping[str, Any]) -> Pair | None:
    turns = cast("list[dict[str, Any]]", row.get("messages") or [])
    if not turns or turns[-1].get("role") != "assistant" or not isinstance(turns[-1].get("content"), str):
        return None
    return "\n".join(str(turn.get("content") or "") for turn in turns[:-1]), cast("str", turns[-1]["content"])


def _size(pairs: Sequence[Pair]) -> Signal:
    rows = len(pairs)
    if rows < 50:
        points: dict[Way, float] = {"fine-tune": -2, "few-shot": 2, "prompt": 1}
        why = f"{rows} rows: 50 to 100 are the least that a fine-tune learns from; a few of them make good examples"
    elif rows < 500:
        points = {"fine-tune": 1}
        why = f"{rows} rows: enough for a format or a tone; 500 to 1,000 are good"
    else:
        points = {"fine-tune": 2}
        why = f"{rows} rows: enough for a fine-tune"
    return Signal(name="size", value=rows, points=points, why=why)


def _format(pairs: Sequence[Pair]) -> Signal:
    """How regular the answers are: the same JSON keys, or a few labels."""
    shapes = Counter(_shape(answer) for _, answer in pairs)
    labels = Counter(answer.strip() for _, answer in pairs)
    few = [count for _, count in labels.most_common(20)]
    as_labels = sum(few) / len(pairs) if len(pairs) >= 40 else 0.0
    shape, count = shapes.most_common(1)[0]
    regular = count / len(pairs) if shape else 0.0
    value = max(regular, as_labels)
    if value >= 0.9:
        what = "one of a few labels" if as_labels >= regular else "JSON of one form"
        return Signal(
            name="format",
            value=value,
            points={"fine-tune": 2, "few-shot": 1},
            why=f"{value:.0%} of the answers are {what}: a form is what fine-tuning learns best and cheapest",
        )
    return Signal(
        name="format",
        value=value,
        points={"prompt": 0.5},
        why=f"the answers share no one form ({value:.0%} at most): a style can be learnt, but describe it in a prompt first",
    )


def _shape(answer: str) -> str:
    try:
        value: Any = json.loads(answer)
    except (ValueError, RecursionError):
        return ""
    return "object:" + ",".join(sorted(map(str, cast("dict[Any, Any]", value)))) if isinstance(value, dict) else ""


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.casefold()) if len(word) > 3 or word.isdigit()]


def _facts(pairs: Sequence[Pair]) -> Signal:
    """Words of the answer that neither its prompt nor many other answers hold: knowledge that must come from somewhere."""
    everywhere = Counter(word for _, answer in pairs for word in set(_words(answer)))
    common = {word for word, count in everywhere.items() if count >= max(3, 0.02 * len(pairs))}
    new = total = 0
    for prompt, answer in pairs:
        given = set(_words(prompt))
        said = _words(answer)
        total += len(said)
        new += sum(word not in given and word not in common for word in said)
    share = new / total if total else 0.0
    if share > 0.35:
        return Signal(
            name="facts",
            value=share,
            points={"retrieval": 2.5, "fine-tune": -1},
            why=f"{share:.0%} of the answers' words stand neither in the prompt nor in other answers: facts, which a fine-tune "
            "learns badly and invents when asked for others; look them up and put them into the prompt",
        )
    return Signal(
        name="facts",
        value=share,
        points={"fine-tune": 1, "retrieval": -1},
        why=f"{share:.0%} of the answers' words are new: what is needed stands in the prompt, or is said again and again",
    )


def _dated(pairs: Sequence[Pair]) -> Signal:
    share = sum(any(found not in prompt for found in _DATED.findall(answer)) for prompt, answer in pairs) / len(pairs)
    points: dict[Way, float] = {"retrieval": 1.5, "fine-tune": -0.5} if share > 0.3 else {}
    return Signal(
        name="what changes",
        value=share,
        points=points,
        why=f"{share:.0%} of the answers hold years, prices or versions that the prompt does not"
        + (": a fine-tune will go on saying them after they have changed" if points else ""),
    )


def _repeated_prompt(pairs: Sequence[Pair]) -> Signal:
    """What most prompts begin with: a fine-tune needs it no more, and each call is cheaper by it."""
    prompts = [prompt for prompt, _ in pairs]
    shared = _common(min(prompts), max(prompts)) if len(prompts) > 1 else 0  # what these two share, all do
    tokens = shared / _CHARACTERS_PER_TOKEN
    points: dict[Way, float] = {"fine-tune": 1.5} if tokens > 300 else {}
    return Signal(
        name="repeated prompt",
        value=round(tokens),
        points=points,
        why=f"every prompt begins with the same {tokens:,.0f} tokens (estimated)"
        + (": a fine-tune saves them in each call" if points else "; there is little to save"),
    )


def _common(first: str, second: str) -> int:
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


def _variety(pairs: Sequence[Pair]) -> Signal:
    share = len({" ".join(prompt.casefold().split()) for prompt, _ in pairs}) / len(pairs)
    points: dict[Way, float] = {"fine-tune": -1} if share < 0.7 else {}
    return Signal(
        name="variety",
        value=share,
        points=points,
        why=f"{share:.0%} of the prompts are distinct"
        + (": the model would learn these few by heart" if points else ""),
    )


def _baselines(
    dataset: Dataset, model: str, rows: int, seed: int, progress: Callable[[int, int], None] | None
) -> list[Baseline]:
    """Zero-shot and few-shot on rows held out from the examples; an answer is right by JSON value, else by its text."""
    held = min(0.5, (rows + 1) / max(len(dataset), 2))
    parts = split(dataset.rows, validation=None, test=held, seed=seed)
    asked = [row for row in parts["test"] if _pair(row) is not None][:rows]
    examples = [row for row in parts["train"] if _pair(row) is not None][:_SHOTS]
    shown = [turn for row in examples for turn in row["messages"] if turn.get("role") in {"user", "assistant"}]
    session = registry.open_model(model)
    as_json = all(_shape(cast("Pair", _pair(row))[1]) for row in asked)
    longest = max(len(cast("Pair", _pair(row))[1]) for row in asked)
    found: list[Baseline] = []
    ways: tuple[tuple[Literal["zero-shot", "few-shot"], list[Any]], ...] = (("zero-shot", []), ("few-shot", shown))
    done = 0
    for name, before in ways:
        right = 0
        for row in asked:
            turns: list[Any] = row["messages"][:-1]
            system = [turn for turn in turns if turn.get("role") in {"system", "developer"}]
            rest = [turn for turn in turns if turn.get("role") not in {"system", "developer"}]
            answer = session.chat([*system, *before, *rest], max_tokens=max(32, longest)).content
            expected = cast("str", row["messages"][-1]["content"])
            right += json_equal(answer, expected) if as_json else exact_match(answer, expected)
            done += 1
            if progress is not None:
                progress(done, len(ways) * len(asked))
        metric = "equal JSON" if as_json else "exact match"
        found.append(
            Baseline(name=name, rows=len(asked), right=right, metric=metric, share=proportion(right, len(asked)))
        )
    return found


def _from_baselines(baselines: Sequence[Baseline], rows: int) -> list[Signal]:
    if not baselines:
        return []
    points: dict[Way, float]
    zero, few = (baseline.share.estimate for baseline in baselines)
    metric = baselines[0].metric
    if zero >= 0.9:
        points = {"prompt": 3, "fine-tune": -2}
        why = f"without any example the model is right on {zero:.0%} ({metric}): there is little left to gain"
    elif few >= 0.85 or (few >= zero + 0.2 and few >= 0.7):
        points = {"few-shot": 3}
        why = f"four examples take it from {zero:.0%} to {few:.0%} ({metric}): cheaper than a fine-tune"
    elif rows >= 50:
        points = {"fine-tune": 2, "prompt": -1, "few-shot": -1}
        why = f"neither a prompt ({zero:.0%}) nor four examples ({few:.0%}) reach it ({metric}): this is what tuning is for"
    else:
        points = {"prompt": 0.5}
        why = f"prompt {zero:.0%}, four examples {few:.0%} ({metric}), and few rows to learn from"
    return [Signal(name="baseline", value=max(zero, few), points=points, why=why)]


def _next(best: Way, source: str, model: str | None) -> str:
    target = model or "local:starter"
    return {
        "fine-tune": f"tuneport plan {source} --model {target}",
        "few-shot": "put four of the rows before the question, and measure before you tune: "
        f"tuneport advise {source} --model {target}",
        "prompt": "describe the task in a system prompt, and measure it on held-out rows before you tune",
        "retrieval": "look the facts up and put them into the prompt; fine-tune for the form of the answer at most",
    }[best]
