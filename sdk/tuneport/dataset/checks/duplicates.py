"""Rows that stand twice, exactly or nearly, answers that contradict each other, and held-out rows that are also trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tuneport.dataset.checks import near
from tuneport.dataset.checks.base import Context, Findings
from tuneport.dataset.checks.keys import key, keys
from tuneport.dataset.codes import Severity
from tuneport.dataset.rows import Batch
from tuneport.dataset.spill import Column, Spill, starts

_SPLITS = ("train", "validation", "test")
_DEFERRED = 1 << 20  # bytes: a batch of few rows and no more is compared in the parent, which knows the templates
_CLUSTER = 30  # near duplicates of one row: more are told in one sentence
_SOURCES = 0xFFFF  # beyond so many files, a row's file is not named
_SAME = "repeats {}, case and whitespace aside."
_NEARLY = f"is nearly the same as {{}} (similarity {near.THRESHOLD} or more)."
_OTHERWISE = "asks what {} asks, and answers it otherwise."

Words = NDArray[np.uint32]


@dataclass
class Found:
    """Of one batch: numbers and keys of its rows, and the signatures of those that are long enough to compare."""

    source: str
    split: int
    numbers: NDArray[np.uint64]
    prompts: NDArray[np.uint64]
    answers: NDArray[np.uint64]
    questions: NDArray[np.uint64]
    loose: NDArray[np.uint64]  # of texts too short for a signature: the key without punctuation; 0: not short
    signatures: NDArray[np.uint8]
    enough: near.Flags
    common: Words
    templated: int  # rows of which little is left besides what many share
    cut: int  # rows of which only the beginning was compared
    texts: near.Texts | None  # instead of signatures, where the batch has too few rows to learn its templates from


class DuplicatesCheck:
    """Exact after normalisation (as `split.row_hash`), or alike by MinHash (see `near`).

    About 10 bytes of memory for each row are needed at the end; the rest goes to disk.
    """

    name: ClassVar[str] = "duplicates"
    codes: ClassVar[Sequence[str]] = (
        "quality.duplicate",
        "quality.near-duplicate",
        "quality.contradiction",
        "split.leak",
        "split.near-leak",
    )
    requires: ClassVar[Sequence[str]] = ()

    def __init__(self, context: Context) -> None:
        directory = context.spill
        self._rows = Spill(directory, ("place",))
        self._questions = Spill(directory, ("place", "answer"))
        self._loose = Spill(directory, ("place",))
        self._search = near.Search(directory)
        self._numbers = Column(directory, np.uint64)
        self._sources: dict[str, int] = {}
        self._source_of = Column(directory, np.uint16)
        self._splits: list[NDArray[np.uint8]] = []
        self._common = np.empty(0, np.uint32)
        self._compared = 0
        self._short = 0
        self._templated = 0
        self._cut = 0

    def scan(self, batch: Batch, findings: Findings) -> Found | None:
        del findings  # nothing here shows in a single row
        found = [(row.number, made) for row in batch.rows if (made := keys(row)) is not None]
        if not found:
            return None
        columns = np.array([(number, made.prompt, made.answer, made.question) for number, made in found], np.uint64)
        numbers, prompts, answers, questions = np.ascontiguousarray(columns.T)
        loose = np.array([_loose(made.text) for _, made in found], np.uint64)
        texts = near.Texts([made.text for _, made in found])
        signatures = np.empty((0, near.BINS), np.uint8)
        enough = np.zeros(len(found), np.bool_)
        common = np.empty(0, np.uint32)
        deferred = len(found) < near.LEARN and len(texts.data) <= _DEFERRED
        if not deferred:
            common = near.templates(texts) if len(found) >= near.LEARN else common
            signatures, enough = near.signatures(texts, common)
            signatures = signatures[enough]
        return Found(
            source=batch.source,
            split=_SPLITS.index(batch.split),
            numbers=numbers,
            prompts=prompts,
            answers=answers,
            questions=questions,
            loose=loose,
            signatures=signatures,
            enough=enough,
            common=common,
            templated=0 if deferred else _templated(texts, enough),
            cut=sum(len(made.text) > near.LONGEST for _, made in found),
            texts=texts if deferred else None,
        )

    def reduce(self, found: Found | None) -> None:
        if found is None:
            return
        signatures, enough, templated = found.signatures, found.enough, found.templated
        if found.texts is None:
            self._common = np.union1d(self._common, found.common)
        else:
            common = np.union1d(self._common, near.templates(found.texts))
            signatures, enough = near.signatures(found.texts, common)
            signatures, templated = signatures[enough], _templated(found.texts, enough)
        begin, count = len(self._numbers), len(found.numbers)
        places = np.arange(begin, begin + count, dtype=np.uint64)
        self._numbers.add(found.numbers)
        source = self._sources.setdefault(found.source, len(self._sources))
        self._source_of.add(np.full(count, min(source, _SOURCES), np.uint16))
        self._splits.append(np.full(count, found.split, np.uint8))
        self._rows.add(self._rows.records(_both(found.prompts, found.answers), places))
        asked = found.questions != 0
        self._questions.add(self._questions.records(found.questions[asked], places[asked], found.answers[asked]))
        short = found.loose != 0
        self._loose.add(self._loose.records(found.loose[short], places[short]))
        self._search.add(places[enough].astype(np.uint32), signatures)
        self._compared += int(enough.sum())
        self._short += int(short.sum())
        self._templated += templated
        self._cut += found.cut

    def finish(self, findings: Findings) -> dict[str, Any]:
        splits = np.concatenate(self._splits) if self._splits else np.empty(0, np.uint8)
        earlier = _repeats(self._rows, splits)
        passed = earlier != near.NONE
        leaks = passed & _crossing(earlier, splits)
        self._tell(findings, "quality.duplicate", _SAME, earlier, passed & ~leaks, splits)
        self._tell(findings, "split.leak", _SAME, earlier, leaks, splits)
        stats: dict[str, Any] = {"duplicates": int((passed & ~leaks).sum()), "leaks": int(leaks.sum())}

        earlier = self._contradictions(splits)
        told = earlier != near.NONE
        asked = told & _crossing(earlier, splits)
        self._tell(findings, "quality.contradiction", _OTHERWISE, earlier, told & ~asked, splits)
        self._tell(findings, "split.near-leak", _OTHERWISE, earlier, asked, splits)
        stats["contradictions"] = int((told & ~asked).sum())

        same, other = self._search.pairs(splits, passed)
        short = _repeats(self._loose, splits, passed)
        found, crossing = short != near.NONE, _crossing(short, splits)
        same[found & ~crossing] = short[found & ~crossing]
        other[found & crossing] = short[found & crossing]
        self._near(findings, same, splits)
        nearly = (other != near.NONE) & ~asked
        self._tell(findings, "split.near-leak", _NEARLY, other, nearly, splits)
        stats["near_duplicates"] = int((same != near.NONE).sum())
        stats["near_leaks"] = int(asked.sum()) + int(nearly.sum())
        self._numbers.close()
        self._source_of.close()
        return stats | {
            "threshold": near.THRESHOLD,
            "threshold_error": near.ERROR,
            "compared": self._compared,
            "too_short": self._short,
            "mostly_template": self._templated,
            "cut": self._cut,
        }

    def _contradictions(self, splits: NDArray[np.uint8]) -> Words:
        """For each row that is the first with its answer, the first row that answers the same question otherwise."""
        made = np.full(len(splits), near.NONE, np.uint32)
        for records in self._questions.parts():
            places = records["place"].astype(np.int64)
            order = np.lexsort((places, splits[places], records["answer"], records["key"]))
            question, answer, places = records["key"][order], records["answer"][order], places[order]
            new = np.r_[True, (question[1:] != question[:-1]) | (answer[1:] != answer[:-1])]
            question, places = question[new], places[new]
            order = np.lexsort((places, splits[places], question))
            question, places = question[order], places[order]
            begins = starts(question)
            first = np.repeat(places[begins], np.diff(np.r_[begins, len(places)]))
            later = first != places
            made[places[later]] = first[later]
        return made

    def _near(self, findings: Findings, same: Words, splits: NDArray[np.uint8]) -> None:
        """A row that many others resemble is told once; the others each with the row that they resemble."""
        root = same.copy()
        linked = np.flatnonzero(same != near.NONE)
        for _ in range(64):  # to the first of each chain, halving the way each time
            above = root[root[linked]]
            further = above != near.NONE
            if not further.any():
                break
            root[linked[further]] = above[further]
        roots, sizes = np.unique(root[linked], return_counts=True)
        large = roots[sizes > _CLUSTER]
        for place, size in zip(large.tolist(), sizes[sizes > _CLUSTER].tolist(), strict=True):
            number, source = self._where(place)
            findings.add(
                "quality.near-duplicate",
                f"{size} later rows are nearly the same as this one (similarity {near.THRESHOLD} or more): a template, or "
                "one example many times.",
                number,
                source=source,
            )
        shown = np.zeros(len(same), np.bool_)
        shown[linked] = ~np.isin(root[linked], large)
        self._tell(findings, "quality.near-duplicate", _NEARLY, same, shown, splits)

    def _tell(
        self, findings: Findings, code: str, words: str, earlier: Words, which: near.Flags, splits: NDArray[np.uint8]
    ) -> None:
        places = np.flatnonzero(which)
        room = max(0, findings.kept - findings.counts[code])
        for place in places[:room].tolist():
            at = int(earlier[place])
            number, source = self._where(place)
            other, other_source = self._where(at)
            named = f"row {other}" if source == other_source else f"row {other} of {other_source}"
            split, other_split = _SPLITS[int(splits[place])], _SPLITS[int(splits[at])]
            if split != other_split:
                named = f"{'training' if other_split == 'train' else other_split} {named}"
            message = f"this {split} row {words}" if split != other_split else words
            severity = _severity(split) if code == "split.leak" else None
            findings.add(code, message.format(named), number, severity=severity, source=source)
        if len(places) > room:
            findings.counts[code] += len(places) - room

    def _where(self, place: int) -> tuple[int, str | None]:
        at = np.array([place])
        source = int(self._source_of.take(at)[0])
        return int(self._numbers.take(at)[0]), list(self._sources)[source] if source < _SOURCES else None


def _severity(split: str) -> Severity:
    """A test that was trained on measures nothing; a validation set only chooses the moment to stop."""
    return "error" if split == "test" else "warning"


def _crossing(earlier: Words, splits: NDArray[np.uint8]) -> near.Flags:
    """Rows whose earlier row is of another split."""
    made = np.zeros(len(splits), np.bool_)
    found = np.flatnonzero(earlier != near.NONE)
    made[found] = splits[found] != splits[earlier[found]]
    return made


def _templated(texts: near.Texts, enough: near.Flags) -> int:
    return int(((texts.lengths >= near.LEAST) & ~enough).sum())


def _loose(text: bytes) -> int:
    """Key of a short text without punctuation; 0 where it is long enough for a signature, or empty."""
    if len(text) >= near.LEAST:
        return 0
    words = text.replace(b"\x00", b" \x00 ").split()
    bare = b" ".join([word.strip(b".,!?;:'\"") or word for word in words])
    return key(bare) or 1 if bare else 0


def _both(prompts: NDArray[np.uint64], answers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    made = prompts * np.uint64(0x9E3779B97F4A7C15) + answers
    made ^= made >> np.uint64(32)
    return made * np.uint64(0xD6E8FEB86659FD93)


def _repeats(spill: Spill, splits: NDArray[np.uint8], passed: near.Flags | None = None) -> Words:
    """For each row, the first with its key (training rows before others); `NONE` for the first itself."""
    made = np.full(len(splits), near.NONE, np.uint32)
    for records in spill.parts():
        places = records["place"].astype(np.int64)
        values = records["key"]
        if passed is not None:
            kept = ~passed[places]
            places, values = places[kept], values[kept]
        order = np.lexsort((places, splits[places], values))
        places, values = places[order], values[order]
        begins = starts(values)
        first = np.repeat(places[begins], np.diff(np.r_[begins, len(places)]))
        later = first != places
        made[places[later]] = first[later]
    return made
