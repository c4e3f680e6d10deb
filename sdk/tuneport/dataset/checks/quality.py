"""The words of single rows: what should not be said, and what a row tells of the whole, which `consistency` judges."""

from __future__ import annotations

import heapq
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, ClassVar, cast

import numpy as np
import orjson

from tuneport.dataset.checks import consistency, language, phrases
from tuneport.dataset.checks.base import Context, Findings, shown
from tuneport.dataset.checks.tally import BINS_PER_DOUBLING, Place, Seen, Summary, Tally
from tuneport.dataset.rows import Batch, Row, Text

_EXTREMES = 50  # shortest and longest answers of a batch that may be named
_HELD = 200  # rows of a batch that wait for the whole's judgement, of each kind
_SAMPLE = 64  # answers of a batch that the whole's diversity is measured on
_SAMPLE_CHARS = 400
_LABEL = 48  # characters: an answer of one line and no more may be a label
_ENDS = frozenset(".!?…。！？；\"'”’»)]}>`*|।॥؟۔።:~_^=+")
_SYSTEM = frozenset({"system", "developer"})
_OPEN_ENDS = frozenset(",;:-–—(，、：；/&")
_OPEN_WORDS = frozenset(
    "and or but the a an of to in for with from by at on as is are was that which because if when than "
    "und oder aber der die das den dem des ein eine mit für von zu weil dass et ou mais le la les de des du pour avec que "
    "y o pero el los las del para con".split()
)


@dataclass(slots=True)
class _Whole:
    """Lists of one batch, before they are summed up."""

    forms: list[tuple[str, Seen]] = field(default_factory=list[tuple[str, Seen]])
    keys: list[tuple[tuple[str, ...], Seen]] = field(default_factory=list[tuple[tuple[str, ...], Seen]])
    prefixes: list[tuple[str, Seen]] = field(default_factory=list[tuple[str, Seen]])
    labels: list[tuple[str | None, Seen]] = field(default_factory=list[tuple[str | None, Seen]])
    endings: list[tuple[str, Seen]] = field(default_factory=list[tuple[str, Seen]])
    held: dict[str, list[Seen]] = field(default_factory=dict[str, list[Seen]])
    counts: Counter[str] = field(default_factory=Counter[str])
    lengths: list[int] = field(default_factory=list[int])
    seen: list[Seen] = field(default_factory=list[Seen])
    prompts: list[int] = field(default_factory=list[int])
    answers: list[int] = field(default_factory=list[int])
    sample: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def hold(self, kind: str, seen: Seen) -> None:
        self.counts[kind] += 1
        held = self.held.setdefault(kind, [])
        if len(held) < _HELD:
            held.append(seen)


class QualityCheck:
    """Refusals, boilerplate, control tokens, mojibake, loops and the like by row; format, language, labels by the whole.

    Mojibake needs ftfy, which judges what a pattern suspects; without it this one check is not made, and that is said. Only
    the answer that the loss is taken over is judged for what answers should not say, of a preference the preferred one.
    """

    name: ClassVar[str] = "quality"
    codes: ClassVar[Sequence[str]] = (
        "quality.copied-prompt",
        "quality.refusal",
        "quality.boilerplate",
        "quality.control-token",
        "quality.mojibake",
        "quality.language-mix",
        "quality.label-imbalance",
        "quality.low-diversity",
        "quality.inconsistent-format",
        "quality.short-answer",
        "quality.long-answer",
        "quality.repetition",
        "quality.placeholder",
        "quality.cut-off",
    )
    requires: ClassVar[Sequence[str]] = ()

    def __init__(self, context: Context) -> None:
        del context
        self._ftfy = find_spec("ftfy") is not None
        self._summary = Summary()

    def scan(self, batch: Batch, findings: Findings) -> Summary:
        whole = _Whole()
        for row in batch.rows:
            if row.canonical is not None:
                self._row(row, findings, whole)
        return _summed(whole, batch.source, findings)

    def reduce(self, found: Summary) -> None:
        self._summary.merge(found)

    def finish(self, findings: Findings) -> dict[str, Any]:
        stats = consistency.judge(self._summary, findings)
        if not self._ftfy:
            stats["skipped"] = ["mojibake: ftfy is not installed (pip install 'tuneport[data]')"]
        return stats

    def _row(self, row: Row, findings: Findings, whole: _Whole) -> None:
        texts = row.texts
        if not texts:
            return
        everything = "\x00".join([text.text for text in texts])
        if phrases.may_hold_control(everything):
            _control(row, texts, findings)
        if not everything.isascii():
            self._encoding(row, texts, findings)
        answer = asked = None
        first = system = ""
        for text in texts:
            # What a preference rejects may be bad.
            if text.trained and not text.path.endswith(".arguments") and not text.path.startswith("non_preferred"):
                _spoken(row, text, findings, whole)
                answer = text
                if asked is not None and text.role == "assistant":
                    _against(Seen(row, text.path), asked, text.text.strip(), system, whole)
            elif text.role == "user":
                asked, first = text, first or text.text
            elif text.role in _SYSTEM:
                system = system or text.text
        if answer is not None and answer.role == "assistant" and (said := answer.text.strip()):
            _answer(Seen(row, answer.path, said), said, whole)
            if asked is not None and asked.path.endswith(
                ".content"
            ):  # else there may be images, which tell words apart
                whole.prompts.append(_hash(first + asked.text if asked.text != first else first))

    def _encoding(self, row: Row, texts: Sequence[Text], findings: Findings) -> None:
        for text in texts:
            if text.text.isascii():
                continue
            if (lost := text.text.find("\ufffd")) >= 0:
                count = text.text.count("\ufffd")
                around = text.text[max(0, lost - 20) : lost + 20]
                findings.add(
                    "quality.mojibake",
                    f"{count} replacement character{'s' if count > 1 else ''} (U+FFFD) in {shown(around)}: what stood there "
                    "was lost when the text was decoded.",
                    row,
                    text.path,
                    fix="decode the source again, with its own encoding.",
                )
            elif self._ftfy and (place := phrases.mojibake(text.text)) is not None:
                _mojibake(row, text, place, findings)


def _mojibake(row: Row, text: Text, place: int, findings: Findings) -> None:
    from ftfy import fix_encoding
    from ftfy.badness import badness

    begin = max(0, place - 100)
    window = text.text[begin : place + 400]
    mended = fix_encoding(window)
    if mended == window or badness(window) <= badness(mended):
        return
    first = next((i for i, (a, b) in enumerate(zip(window, mended, strict=False)) if a != b), 0)
    findings.add(
        "quality.mojibake",
        f"{shown(window[max(0, first - 10) : first + 20])} was decoded with the wrong encoding.",
        row,
        text.path,
        fix=f"write {shown(mended[max(0, first - 10) : first + 20])}.",
    )


def _control(row: Row, texts: Sequence[Text], findings: Findings) -> None:
    for text in texts:
        if not phrases.may_hold_control(text.text) or not (tokens := phrases.control(text.text)):
            continue
        different = list(dict.fromkeys(tokens))
        findings.add(
            "quality.control-token",
            f"{', '.join(map(repr, different[:4]))}{' and others' if len(different) > 4 else ''} "
            f"({len(tokens)} in all) inside content.",
            row,
            text.path,
        )


def _spoken(row: Row, text: Text, findings: Findings, whole: _Whole) -> None:
    """One trained text, whichever turn it is."""
    said = text.text
    lower = said.lower()
    if text.role == "assistant":
        if (words := phrases.refusal(said)) is not None:
            findings.add("quality.refusal", f"the answer begins with {shown(words)}.", row, text.path)
        if phrases.may_hold_boilerplate(lower) and (words := phrases.boilerplate(lower)) is not None:
            findings.add("quality.boilerplate", f"the answer says {shown(words)}.", row, text.path)
    if phrases.may_hold_placeholder(lower) and (found := phrases.placeholder(said)) is not None:
        whole.hold(f"placeholder.{found.kind}", Seen(row, text.path, found.words))
    if (loop := phrases.loop(said)) is not None:
        findings.add(
            "quality.repetition", f"{shown(loop.unit, 40)} stands {loop.times} times in a row.", row, text.path
        )
    if "```" in said and (said.startswith("```") + said.count("\n```") + said.count("\n   ```")) % 2:
        findings.add(
            "quality.cut-off",
            "a code block is opened (```) and not closed.",
            row,
            text.path,
            fix="complete the answer, or close the block.",
        )


def _answer(here: Seen, said: str, whole: _Whole) -> None:
    """The last answer of a row, for the whole."""
    whole.counts["answers"] += 1
    form, parsed = _form(said)
    whole.forms.append((form, here))
    if parsed is not None:
        whole.keys.append((tuple(sorted(parsed)), here))
    whole.labels.append((said if len(said) <= _LABEL and "\n" not in said else None, here))
    if form == "text":
        colon = said.find(":", 1, 40)
        whole.prefixes.append((said[: colon + 1] if colon > 0 and "\n" not in said[:colon] else "", here))
        if (ending := _ending(said)) is not None:
            whole.endings.append((ending, here))
        if len(said) >= 80:
            whole.answers.append(_hash(said))
            whole.sample.append((zlib.crc32(b"%d" % here.row.number), said[:_SAMPLE_CHARS]))
    whole.lengths.append(len(said))
    whole.seen.append(here)


def _hash(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def _against(here: Seen, asked: Text, said: str, system: str, whole: _Whole) -> None:
    """An answer against what it answers."""
    if not said:
        return
    prompt = asked.text.strip()
    whole.counts["exchanges"] += 1
    if prompt[:12].casefold() == said[:12].casefold() and len(prompt) >= 20:
        if _bare(prompt) == _bare(said):
            whole.hold("copied", here)
        elif len(prompt) >= 80 and said.startswith(prompt):
            whole.hold("copied-beginning", here)
        else:
            whole.counts["edited"] += 1
    told = language.compare(prompt, said)
    if told is None:
        return
    theirs, ours = told
    if theirs == ours:
        whole.counts["languages"] += 1
    elif not language.asks_for_language(prompt) and not language.asks_for_language(system):
        whole.counts["languages"] += 1
        detail = prompt[:300] + "\x00" + said[:300] if len(theirs) == len(ours) == 2 else ""
        whole.hold("language", Seen(here.row, here.path, f"{theirs} {ours}", detail))


def _bare(text: str) -> str:
    return text.casefold().strip(" \n\t.!?\"'“”„")


def _form(said: str) -> tuple[str, dict[str, Any] | None]:
    """What an answer looks like from outside, and its object where it is one."""
    head, tail = said[0], said[-1]
    if head == "{" or (head == "[" and tail == "]"):
        try:
            parsed: Any = orjson.loads(said)
        except ValueError:
            return ("broken JSON" if head == "{" else "text"), None
        return ("a JSON object", cast("dict[str, Any]", parsed)) if isinstance(parsed, dict) else ("a JSON list", None)
    if said.startswith("```"):
        return ("JSON in a code block" if said[3:7] == "json" else "a code block"), None
    if head == "<" and tail == ">":
        return "XML or HTML", None
    return "text", None


def _ending(said: str) -> str | None:
    """How prose ends: "whole", "open" (a comma, a conjunction), "bare" (no punctuation); None: it cannot be told."""
    if len(said) < 60 or "```" in said:
        return None
    last = said[said.rfind("\n") + 1 :].strip()
    end = last[-1]
    if end in _OPEN_ENDS:
        return "open" if len(last) >= 25 else None  # "Best regards,"
    if end in _ENDS:
        return "whole"
    word = last[last.rfind(" ") + 1 :]
    if word.lower() in _OPEN_WORDS and len(last) >= 12:
        return "open"
    if len(last) < 40 or not end.isascii() or not word.isalpha() or last[0] in "-*•|#0123456789":
        return None if end.isascii() and end.isalpha() else "whole"
    return "bare"


def _summed(whole: _Whole, source: str, findings: Findings) -> Summary:
    where = findings.where
    lengths = np.array(whole.lengths, np.int64)
    made = Summary(counts=whole.counts)
    made.forms = Tally.of(whole.forms, source, where)
    made.keys = Tally.of(whole.keys, source, where)
    made.prefixes = Tally.of(whole.prefixes, source, where)
    made.labels = Tally.of(whole.labels, source, where)
    made.endings = Tally.of(whole.endings, source, where, tail=True)
    made.held = {kind: [seen.place(source, where) for seen in held] for kind, held in whole.held.items()}
    if len(lengths):
        bins, counts = np.unique((np.log2(lengths) * BINS_PER_DOUBLING).astype(np.int64), return_counts=True)
        made.lengths = Counter(dict(zip(bins.tolist(), counts.tolist(), strict=True)))
        order = np.argsort(lengths, kind="stable")

        def extremes(places: list[int]) -> list[tuple[int, Place]]:
            return [(whole.lengths[i], whole.seen[i].place(source, where)) for i in places]

        made.shortest = extremes(order[:_EXTREMES].tolist())
        made.longest = extremes(order[::-1][:_EXTREMES].tolist())
    made.prompts.add(np.array(whole.prompts, np.uint32))
    made.answers.add(np.array(whole.answers, np.uint32))
    made.sample = heapq.nsmallest(_SAMPLE, whole.sample)
    return made
