"""The rows that a comparison shows: those that changed sides, both ways, and those without an answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from tuneport.evaluate import words
from tuneport.evaluate.comparison import Answer, ComparedRow, Comparison, Contender, Difference, MetricInfo
from tuneport.evaluate.comparison_marks import told
from tuneport.evaluate.comparison_words import fitting
from tuneport.evaluate.questions import text_of
from tuneport.evaluate.report import Segment

EXAMPLES = 4  # of each pair, each way
_PAIRS = 6
_FAILED = 12  # rows of each contender
_PROMPT, _ANSWER, _LINE = 900, 1200, 160  # characters
# Words, spaces and signs; scripts that leave no space between words go by the character.
_WORDS = re.compile(
    r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]|[^\W\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]+|\s+|.", re.DOTALL
)


@dataclass(frozen=True)
class Said:
    """One answer beside the expected one. `right`: None where the metric knows more than right and wrong."""

    who: str
    right: bool | None
    failed: bool
    score: str
    segments: list[Segment]


@dataclass(frozen=True)
class Example:
    row: int
    prompt: list[tuple[str, str]]  # role, text
    expected: str
    answers: list[Said]


@dataclass(frozen=True)
class Flip:
    """Rows on which one of a pair is better. `rows`: all of them."""

    title: str
    rows: list[int]
    examples: list[Example]


@dataclass(frozen=True)
class Failed:
    """Rows to which a contender gave no answer: number, question, error."""

    place: int
    one: Contender
    shown: list[tuple[int, str, str]]


def shown_metric(comparison: Comparison) -> MetricInfo | None:
    """What examples are chosen by: the first yes-or-no metric that has a better, else the first that has one."""
    good = [info for info in fitting(comparison) if info.higher_is_better is not None]
    return next((info for info in good if info.kind == "binary"), good[0] if good else None)


def flips(comparison: Comparison) -> list[Flip]:
    """Of the first pairs, both ways; where no metric is yes or no, the rows on which they differ most."""
    info = shown_metric(comparison)
    if info is None:
        return []
    by_number = {row.row: row for row in comparison.rows}
    found: list[Flip] = []
    for gap in [gap for gap in comparison.differences if gap.metric == info.name][:_PAIRS]:
        gained, lost = (gap.gained, gap.lost) if info.kind == "binary" else _apart(comparison.rows, gap, info)
        base, other = comparison[gap.base], comparison[gap.other]
        for numbers, winner, loser in ((gained, other, base), (lost, base, other)):
            if not numbers:
                continue
            ahead, behind = (f"{one.key} {words.visible(one.name, 60)}" for one in (winner, loser))
            how = f"{ahead} right, {behind} not" if info.kind == "binary" else f"{ahead} better than {behind}"
            title = f"{how}: {words.count(len(numbers))} row{'' if len(numbers) == 1 else 's'}"
            rows = [by_number[number] for number in numbers if number in by_number]
            found.append(Flip(title, list(numbers), [_example(row, (base, other), info) for row in rows[:EXAMPLES]]))
    return found


def _apart(rows: Sequence[ComparedRow], gap: Difference, info: MetricInfo) -> tuple[list[int], list[int]]:
    """Rows on which `other` is better, and worse, than `base`: by how much, the most first."""
    better = 1 if info.higher_is_better else -1
    gaps: list[tuple[float, int]] = []
    for row in rows:
        scores = row.scores.get(info.name, {})
        base, other = scores.get(gap.base), scores.get(gap.other)
        if base is not None and other is not None and base != other:
            gaps.append((better * (other - base), row.row))
    return (
        [number for value, number in sorted(gaps, key=lambda g: (-g[0], g[1])) if value > 0],
        [number for value, number in sorted(gaps) if value < 0],
    )


def failures(comparison: Comparison) -> list[Failed]:
    found: list[Failed] = []
    for place, one in enumerate(comparison.contenders):
        rows = [(row, error) for row in comparison.rows if (error := row.answers[one.key].error) is not None]
        if rows:
            shown = [(row.row, _question(row), words.visible(error, _LINE)) for row, error in rows[:_FAILED]]
            found.append(Failed(place, one, shown))
    return found


def _question(row: ComparedRow) -> str:
    last = next((turn for turn in reversed(row.messages) if turn.get("role") == "user"), None)
    return words.visible(text_of(last.get("content")) if last else "", _LINE)


def _example(row: ComparedRow, pair: Iterable[Contender], info: MetricInfo) -> Example:
    expected = expectation(row)
    answers: list[Said] = []
    for one in pair:
        answer = row.answers[one.key]
        score = row.scores.get(info.name, {}).get(one.key)
        segments: list[Segment] = (
            [("same", words.visible(said(answer), _ANSWER))] if answer.failed else differences(expected, said(answer))
        )
        right = score == 1 if info.kind == "binary" else None
        shown = told(score, info) if right is None and score is not None else ""
        answers.append(Said(f"{one.key} {words.visible(one.name, 60)}", right, answer.failed, shown, segments))
    turns = [
        (words.visible(str(turn.get("role", "")), 20), words.visible(text_of(turn.get("content")), _PROMPT))
        for turn in row.messages
    ]
    return Example(row.row, turns, words.visible(expected, _ANSWER), answers)


def expectation(row: ComparedRow) -> str:
    return "\n".join(part for part in (row.expected or "", calls(row.expected_tool_calls)) if part)


def said(answer: Answer) -> str:
    """An answer in words: its text and its calls, or why there is none."""
    if answer.error is not None:
        return answer.error
    return "\n".join(part for part in (answer.content or "", calls(answer.tool_calls)) if part)


def calls(given: Iterable[dict[str, Any]]) -> str:
    functions = [call.get("function") or call for call in given]
    return "\n".join(f"{function.get('name')}({function.get('arguments')})" for function in functions)


def differences(expected: str, answer: str) -> list[Segment]:
    """The answer in stretches of whole words: the same as expected, extra, or what is expected and missing from it.

    As in a job's report, outer whitespace is not marked, and an answer that shares little is one stretch.
    """
    want, got = (_WORDS.findall(words.visible(text.strip(), _ANSWER)) for text in (expected, answer))
    matcher = SequenceMatcher(None, want, got, autojunk=False)
    if want == got or matcher.ratio() < 0.5:
        return [("same", "".join(got))]
    segments: list[Segment] = []
    for kind, i, j, k, m in matcher.get_opcodes():
        if kind in {"delete", "replace"}:
            segments.append(("missing", "".join(want[i:j])))
        if kind in {"insert", "replace"}:
            segments.append(("extra", "".join(got[k:m]).replace("\n", "\u21b5\n")))
        if kind == "equal":
            segments.append(("same", "".join(got[k:m])))
    return segments
