"""What only the whole shows: which format, language and length the answers have, and which rows are not like the others.

Nothing here is flagged by a fixed rule alone where the rule may be the set's own way: a set of translations differs in
language in most rows, a grammar corrector often repeats the prompt, a template may hold {{slots}} throughout.
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tuneport.dataset.checks.base import KEPT, Findings, shown
from tuneport.dataset.checks.tally import BINS_PER_DOUBLING, Place, Summary

FEW = 20  # answers: below, nothing is said of the whole
MOST = 0.8  # share of the answers that makes a format the set's format
STRAY = 0.1  # share up to which deviating rows are mistakes and not a second kind of row
IMBALANCE = 0.8  # share of one label. Above, its opposite is under a fifth: "moderate" imbalance in Google's ML course
DISTINCT = 0.2  # share of distinct prompts or answers under which a set has low diversity
SHARED = 0.3  # share of an answer's runs of three words that half of the answers have too, over which they are one text
_CONFIRMED = 500  # suspected language mixes that are put to py3langid


def judge(summary: Summary, findings: Findings) -> dict[str, Any]:
    """Findings of the whole; the statistics."""
    answers = summary.counts["answers"]
    stats: dict[str, Any] = {
        "answers": answers,
        "forms": {str(form): count for form, count in summary.forms.counts.most_common(8)},
    }
    _copies(summary, findings)
    _placeholders(summary, findings)
    stats["language"] = _languages(summary, findings)
    labels = _labels(summary, findings)
    if labels is not None:
        stats["labels"] = labels
    else:
        _prefixes(summary, findings)
    _forms(summary, findings)
    _keys(summary, findings)
    _endings(summary, findings)
    stats["length"] = _lengths(summary, findings, labels is not None)
    stats["diversity"] = _diversity(summary, findings, labels is not None)
    return stats


def _tell(findings: Findings, code: str, message: str, places: Sequence[Place], count: int) -> None:
    """One finding a row; `count` of them, of which some may not have been kept. {shown} and {detail} are the row's own."""
    for place in places[:count]:
        text = message.replace("{shown}", shown(place.shown)).replace("{detail}", place.detail)
        findings.add(code, text, place.row, place.path, source=place.source)
    if count > len(places):
        findings.counts[code] += count - len(places)


def _copies(summary: Summary, findings: Findings) -> None:
    """Unless the task is to edit: where many answers begin as their prompts do, some may rightly end as they do."""
    edits = summary.counts["edited"] > 0.3 * summary.counts["exchanges"]
    for kind, what in (
        ("copied", "the answer is the prompt."),
        ("copied-beginning", "the answer begins with the whole prompt."),
    ):
        if not edits:
            _tell(findings, "quality.copied-prompt", what, summary.held.get(kind, ()), summary.counts[kind])


def _placeholders(summary: Summary, findings: Findings) -> None:
    answers = max(1, summary.counts["answers"])
    for kind in sorted(kind for kind in summary.counts if kind.startswith("placeholder.")):
        count = summary.counts[kind]
        if count > max(3, STRAY * answers):
            continue  # the set's own way of writing
        _tell(findings, "quality.placeholder", "the answer holds {shown}.", summary.held.get(kind, ()), count)


def _languages(summary: Summary, findings: Findings) -> dict[str, Any]:
    told, differ = summary.counts["languages"], summary.counts["language"]
    stats: dict[str, Any] = {"compared": told, "differ": differ}
    if told < 10 or differ > STRAY * told:
        return stats
    places = summary.held.get("language", [])
    kept = _confirmed(places, stats)
    _tell(
        findings,
        "quality.language-mix",
        "the prompt is {detail}, where answers are otherwise in the prompt's language.",
        kept,
        len(kept) + differ - len(places),
    )
    return stats


def _confirmed(places: Sequence[Place], stats: dict[str, Any]) -> list[Place]:
    """Between Latin languages the frequent words alone are not trusted where py3langid is there to ask."""
    classify: Any = None
    if find_spec("py3langid") is not None:
        classify = import_module("py3langid").classify
        stats["sampled"] = min(len(places), _CONFIRMED)
    kept: list[Place] = []
    for number, place in enumerate(places):
        theirs, ours = place.shown.split(" ")
        if place.detail and classify is not None and number < _CONFIRMED:
            prompt, _, answer = place.detail.partition("\x00")
            if classify(prompt)[0] == classify(answer)[0]:
                continue
        kept.append(place._replace(detail=f"{theirs}, the answer {ours}"))
    return kept


def _labels(summary: Summary, findings: Findings) -> dict[str, Any] | None:
    """Where nearly all answers are a few short ones: how they are spread, and which are no labels or misspelt ones."""
    tally, answers = summary.labels, summary.counts["answers"]
    counts = Counter({cast("str", value): count for value, count in tally.counts.items() if value is not None})
    short = sum(counts.values())
    common = {label: count for label, count in counts.items() if count > max(1, 0.01 * short)}
    if (
        answers < FEW
        or tally.others
        or short < (1 - STRAY) * answers
        or not common
        or len(counts) > max(20, 0.1 * short)
    ):
        return None
    if len(common) > 100 or sum(common.values()) < MOST * short or len(common) > 0.25 * answers:
        return None
    top, most = counts.most_common(1)[0]
    if most > IMBALANCE * short:
        findings.add(
            "quality.label-imbalance",
            f"{most} of {short} answers are {shown(top)}: always answering it would score {most / short:.0%}. More than "
            f"{IMBALANCE:.0%} is too much of one label.",
        )
    known = ", ".join(map(repr, sorted(common)[:8])) + (", …" if len(common) > 8 else "")
    least = min(common.values())
    for label, count in counts.items():
        if label in common:
            continue
        meant = _meant(label, common)
        if meant is not None and common[meant] >= 5 * count:
            what = f"the answer {shown(label)} is written {shown(meant)} in {common[meant]} other rows."
        elif len(common) <= 20 and count == 1 and least >= max(5, 0.02 * short):
            what = f"the answer {shown(label)} is none of the labels ({known})."
        else:
            continue
        _tell(findings, "quality.inconsistent-format", what, tally.rows.get(label, ()), count)
    if long := tally.counts[None]:
        _tell(
            findings,
            "quality.inconsistent-format",
            f"the answer {{shown}} is none of the labels ({known}).",
            tally.rows.get(None, ()),
            long,
        )
    return {"counts": dict(counts.most_common(50)), "distinct": len(counts)}


def _meant(label: str, common: dict[str, int]) -> str | None:
    bare = label.casefold().strip(" .!,:;\"'")
    for other in common:
        if other.casefold().strip(" .!,:;\"'") == bare:
            return other
    close = difflib.get_close_matches(label, list(common), n=1, cutoff=0.85) if len(label) >= 4 else []
    return close[0] if close else None


def _prefixes(summary: Summary, findings: Findings) -> None:
    total = summary.prefixes.total
    if total < FEW or not summary.prefixes.counts:
        return
    prefix, count = max(
        ((value, count) for value, count in summary.prefixes.counts.items() if value),
        key=lambda item: item[1],
        default=("", 0),
    )
    if not prefix or count < (1 - STRAY) * total or total < (1 - STRAY) * summary.counts["answers"]:
        return
    for other, number in summary.prefixes.counts.items():
        if other != prefix:
            _tell(
                findings,
                "quality.inconsistent-format",
                f"the answer begins with {{shown}}; {count} of {total} begin with {shown(prefix)}.",
                summary.prefixes.rows.get(other, ()),
                number,
            )


def _forms(summary: Summary, findings: Findings) -> None:
    total = summary.forms.total
    if not total:
        return
    form, count = summary.forms.counts.most_common(1)[0]
    least = MOST if "JSON" in str(form) else 0.95
    if form not in {"text", "broken JSON"} and total >= 10 and count >= least * total:
        for other, number in summary.forms.counts.items():
            if other != form:
                _tell(
                    findings,
                    "quality.inconsistent-format",
                    f"the answer is {other} ({{shown}}); {count} of {total} answers are {form}.",
                    summary.forms.rows.get(other, ()),
                    number,
                )
    else:
        whole, broken = summary.forms.counts["a JSON object"], summary.forms.counts["broken JSON"]
        if broken and whole >= max(3, 5 * broken):
            _tell(
                findings,
                "quality.inconsistent-format",
                f"the answer begins as a JSON object and does not parse ({{shown}}); {whole} others do.",
                summary.forms.rows.get("broken JSON", ()),
                broken,
            )


def _keys(summary: Summary, findings: Findings) -> None:
    """Objects whose keys are not those of nearly all: a key renamed, or a set that hardly occurs. An optional key is none."""
    total = summary.keys.total
    if total < FEW or not summary.keys.counts:
        return
    found, count = summary.keys.counts.most_common(1)[0]
    usual = set(cast("tuple[str, ...]", found))
    if count < (1 - STRAY) * total:
        return
    for value, number in summary.keys.counts.items():
        names = set(cast("tuple[str, ...]", value))
        missing, extra = sorted(usual - names), sorted(names - usual)
        if not (missing or extra) or ((not missing or not extra) and number > max(2, 0.01 * total)):
            continue
        parts = [
            f"{word} {', '.join(map(repr, keys[:5]))}" for word, keys in (("lacks", missing), ("adds", extra)) if keys
        ]
        _tell(
            findings,
            "quality.inconsistent-format",
            f"the answer's object {' and '.join(parts)}; {count} of {total} have {', '.join(map(repr, sorted(usual)[:8]))}.",
            summary.keys.rows.get(value, ()),
            number,
        )


def _endings(summary: Summary, findings: Findings) -> None:
    counts = summary.endings.counts
    whole, left, bare = counts["whole"], counts["open"], counts["bare"]
    total = whole + left + bare
    if total < FEW or whole < (1 - STRAY) * total:
        return
    what = f"the answer ends in {{shown}}, without an end; {whole} of {total} end with one."
    _tell(findings, "quality.cut-off", what, summary.endings.rows.get("open", ()), left)
    if bare <= 0.05 * total:
        _tell(findings, "quality.cut-off", what, summary.endings.rows.get("bare", ()), bare)


def _lengths(summary: Summary, findings: Findings, labels: bool) -> dict[str, Any]:
    """Outliers by median and median absolute deviation of the logarithm: 3.5 deviations, and eight times at least."""
    if not summary.lengths:
        return {}
    bins = np.array(sorted(summary.lengths))
    counts = np.array([summary.lengths[int(place)] for place in bins])
    total = int(counts.sum())

    def quantile(values: NDArray[Any], weights: NDArray[Any]) -> float:
        order = np.argsort(values, kind="stable")
        sums = np.cumsum(weights[order])
        return float(values[order][np.searchsorted(sums, (sums[-1] + 1) / 2)])

    middle = quantile(bins.astype(float), counts) + 0.5
    deviation = quantile(np.abs(bins + 0.5 - middle), counts) * 1.4826
    reach = max(3.5 * deviation, 3 * BINS_PER_DOUBLING)
    low, high = (2 ** ((middle + sign * reach) / BINS_PER_DOUBLING) for sign in (-1, 1))
    median = round(2 ** (middle / BINS_PER_DOUBLING))
    stats: dict[str, Any] = {"median": median, "short": math.floor(low), "long": math.ceil(high)}
    if labels or total < 30:
        return stats
    for code, places, beyond, cut, words in (
        ("quality.short-answer", summary.shortest, [p for p in summary.shortest if p[0] < low], low, "under"),
        ("quality.long-answer", summary.longest, [p for p in summary.longest if p[0] > high], high, "over"),
    ):
        if not beyond or len(beyond) > max(2, 0.02 * total) or len(beyond) == len(places) == KEPT:
            continue  # so many are a second kind of answer, not outliers
        for length, place in sorted(beyond, key=lambda item: (item[1].source, item[1].row)):
            findings.add(
                code,
                f"the answer has {length} characters, the median {median}: {words} {cut:.0f}, which is 3.5 robust standard "
                "deviations (and eight times) off.",
                place.row,
                place.path,
                source=place.source,
            )
    return stats


def _diversity(summary: Summary, findings: Findings, labels: bool) -> dict[str, Any]:
    prompts, answers = summary.prompts, summary.answers
    stats: dict[str, Any] = {"distinct_prompts": prompts.count(), "prompts": prompts.total, "exact": prompts.exact}
    if prompts.total >= 50 and prompts.count() < DISTINCT * prompts.total:
        findings.add(
            "quality.low-diversity",
            f"{prompts.count()} different prompts in {prompts.total} rows: under {DISTINCT:.0%}.",
        )
    if labels:
        return stats
    stats |= {"distinct_answers": answers.count(), "answers": answers.total}
    if answers.total >= 50 and answers.count() < DISTINCT * answers.total:
        findings.add(
            "quality.low-diversity",
            f"{answers.count()} different answers of 80 characters or more in {answers.total} rows: under {DISTINCT:.0%}.",
        )
        return stats
    in_answers: Counter[tuple[str, ...]] = Counter()
    of_answers: list[set[tuple[str, ...]]] = []
    for _, text in summary.sample:
        words = text.lower().split()
        of_answers.append(set(zip(words, words[1:], words[2:], strict=False)))
        in_answers.update(of_answers[-1])
    half = len(of_answers) / 2
    every = in_answers.total()
    alike = sum(count for count in in_answers.values() if count >= half)
    stats |= {"sampled": len(of_answers), "shared": round(alike / every, 3) if every else None}
    if len(of_answers) >= 50 and every >= 500 and alike > SHARED * every:
        findings.add(
            "quality.low-diversity",
            f"{alike / every:.0%} of the runs of three words in a sample of {len(of_answers)} answers stand in half of them or "
            f"more: over {SHARED:.0%}, the answers are one text over and over.",
        )
    return stats
