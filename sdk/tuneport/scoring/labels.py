"""Answers that are one of a few labels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from tuneport.scoring import metrics as basic
from tuneport.scoring.case import Case

_MOST_LABELS = 50
LABEL_LENGTH = 80  # characters


def label(text: str) -> str:
    """A label as it is compared: the words, without case, Unicode form and a last full stop."""
    return basic.normalised(text).rstrip(". ")


def labels(cases: Sequence[Case]) -> list[str]:
    """The labels that the expected answers are, in order of frequency; [] where they are no labels."""
    expected = [case.expected for case in cases if case.expected is not None]
    if any(len(text) > LABEL_LENGTH or text.lstrip().startswith(("{", "[")) for text in expected):
        return []
    found = Counter(label(text) for text in expected)
    few = len(found) <= min(_MOST_LABELS, max(2, len(expected) // 4))
    return [name for name, _ in found.most_common()] if few and len(found) > 1 else []


OTHER = "(other)"


def confusion(cases: Sequence[Case], known: Sequence[str]) -> dict[str, dict[str, int]]:
    """How often each expected label was answered by which; an answer that is no label is "(other)"."""
    table: dict[str, dict[str, int]] = {name: {} for name in known}
    for case in cases:
        if case.expected is not None:
            said = label(case.answer) if label(case.answer) in known else OTHER
            row = table.setdefault(label(case.expected), {})
            row[said] = row.get(said, 0) + 1
    return table


def macro_f1(cases: Sequence[Case]) -> float | None:
    """Mean of the labels' F1, each label counting the same however rare it is."""
    known = sorted({label(case.expected) for case in cases if case.expected is not None})
    if not known:
        return None
    table = confusion(cases, known)
    scores: list[float] = []
    for name in known:
        right = table[name].get(name, 0)
        said = sum(row.get(name, 0) for row in table.values())
        scores.append(2 * right / (said + sum(table[name].values())) if right else 0.0)
    return math.fsum(scores) / len(scores)
