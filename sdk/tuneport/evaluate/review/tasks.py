"""Which pairs of answers are judged, in which order, and which stands left: drawn by a seed for each rater, told to nobody.

Rows that both answered alike are not shown and not counted: a person has nothing to say about them, and counting them as ties
would pull the win rate of a half-done review towards one half. How many there were is told beside the result.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from tuneport.errors import SpecError
from tuneport.evaluate import words
from tuneport.evaluate.comparison import ComparedRow, Comparison
from tuneport.evaluate.comparison_examples import said
from tuneport.evaluate.questions import text_of

Pairs = Literal["first", "all"]
_LONGEST = 20_000  # characters of one text on the page


@dataclass(frozen=True)
class Task:
    """Two contenders' answers to one row. `id` is a digest of the answers: a vote outlives a rerun that changes nothing."""

    id: str
    row: int
    base: str
    other: str


@dataclass(frozen=True)
class Dealt:
    """A task as one rater sees it. `left` and `right` are contenders' keys, which never leave the server."""

    task: Task
    left: str
    right: str


@dataclass(frozen=True)
class Deck:
    """All that can be judged, and how many row-and-pair combinations were left out, and why."""

    tasks: list[Task]
    same: int
    failed: int

    def hand(self, rater: str, seed: int) -> list[Dealt]:
        """One rater's tasks: an order of their own, the same at every visit.

        Of each pair each contender stands left as often as right (once more, where the number is odd), and nearly so after
        every click, since of two neighbours in the order one is turned round. A habit of one side then favours nobody.
        """
        drawn = random.Random(f"{seed}:{rater}")
        order = list(self.tasks)
        drawn.shuffle(order)
        turned: dict[tuple[str, str], list[bool]] = {}
        dealt: list[Dealt] = []
        for task in order:
            sides = turned.setdefault((task.base, task.other), [])
            if not sides:
                sides += drawn.choice([[True, False], [False, True]])
            left, right = (task.other, task.base) if sides.pop() else (task.base, task.other)
            dealt.append(Dealt(task, left, right))
        return dealt


def deck(comparison: Comparison, *, pairs: Pairs = "first", rows: int | None = None, seed: int = 0) -> Deck:
    """Every row of every pair to which both have an answer, and not the same one.

    `pairs`: the first contender with each other, or all with all. `rows`: at most so many rows, drawn by the seed, of those on
    which there is something to judge. Raises SpecError where there is nothing.
    """
    keys = [one.key for one in comparison.contenders]
    if len(keys) < 2:
        raise SpecError("one contender alone cannot be judged side by side: compare at least two.")
    chosen = [(keys[0], other) for other in keys[1:]] if pairs == "first" else list(combinations(keys, 2))
    found: list[Task] = []
    same = failed = 0
    for row in comparison.rows:
        for base, other in chosen:
            one, two = row.answers.get(base), row.answers.get(other)
            if one is None or two is None or one.failed or two.failed:
                failed += 1
            elif said(one).strip() == said(two).strip():
                same += 1
            else:
                found.append(_task(comparison, row, base, other))
    if not found:
        raise SpecError(
            f"there is nothing to judge: of {len(comparison.rows)} rows, {same} have the same answer twice and {failed} "
            "lack one. Compare contenders that differ, on more rows."
        )
    if rows is not None:
        judgeable = sorted({task.row for task in found})
        kept = set(random.Random(f"{seed}:rows").sample(judgeable, min(rows, len(judgeable))))
        found = [task for task in found if task.row in kept]
    return Deck(found, same, failed)


def shown(row: ComparedRow, dealt: Dealt) -> dict[str, Any]:
    """What the browser is told of a task: the conversation and two texts, and nothing of who wrote them."""
    return {
        "messages": [{"role": str(turn.get("role", "")), "text": _turn(turn)} for turn in row.messages],
        "tools": [name for tool in row.tools if (name := str(_function(tool).get("name") or ""))],
        "left": words.visible(said(row.answers[dealt.left]), _LONGEST),
        "right": words.visible(said(row.answers[dealt.right]), _LONGEST),
    }


def _task(comparison: Comparison, row: ComparedRow, base: str, other: str) -> Task:
    parts: list[object] = [row.row, row.hash]
    for key in (base, other):
        parts += [key, comparison[key].name, said(row.answers[key])]
    text = "\x1f".join(map(str, parts))
    return Task(hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24], row.row, base, other)


def _turn(turn: dict[str, Any]) -> str:
    """A turn of the conversation: its text, and the tools it called."""
    calls: Sequence[dict[str, Any]] = turn.get("tool_calls") or []
    called = [f"{_function(call).get('name')}({_function(call).get('arguments')})" for call in calls]
    return words.visible("\n".join(part for part in (text_of(turn.get("content")), *called) if part), _LONGEST)


def _function(value: dict[str, Any]) -> dict[str, Any]:
    return value.get("function") or value
