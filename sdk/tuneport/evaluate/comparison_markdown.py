"""A comparison as Markdown, for a pull request or a wiki: the verdict, the tables, the flipped rows by number."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tuneport.evaluate import costs, words
from tuneport.evaluate.comparison import Comparison, Contender
from tuneport.evaluate.comparison_page import cell, chance, dollars, fitting, smallest
from tuneport.result import Cost

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~])")
_COLUMNS = 4
_FLIPPED = 12  # row numbers of each


def markdown(comparison: Comparison) -> str:
    """The whole page; what came from outside is escaped, so that it stays the text that it is."""
    test = comparison.test
    shown = fitting(comparison)
    parts = [f"# {_text(comparison.verdict[0])}", *(f"- {_text(line)}" for line in comparison.verdict[1:])]
    parts += [f"> {_text(line)}" for line in comparison.warnings]
    parts.append(
        _table(
            [
                "",
                "contender",
                *(words.title(info.name) for info in shown[:_COLUMNS]),
                "1,000 calls",
                "median answer",
                "no answer",
            ],
            [
                [
                    one.key,
                    _text(one.name),
                    *(cell(comparison, info, one.key) for info in shown[:_COLUMNS]),
                    _cost(one.per_thousand_calls),
                    words.duration(one.latency.p50) if one.latency else "–",
                    str(one.failed or "–"),
                ]
                for one in comparison.contenders
            ],
        )
    )
    for info in shown:
        gaps = [gap for gap in comparison.differences if gap.metric == info.name]
        if gaps:
            parts.append(f"## {words.title(info.name)}: {_text(info.says)}")
            rows = [
                [f"{g.other} against {g.base}", g.outcome, _text(g.words), chance(g.p_adjusted), smallest(g, info)]
                for g in gaps
            ]
            parts.append(_table(["pair", "says", "in words", "p (Holm)", "shows from"], rows))
            parts += [
                f"Rows that only {key} has right ({len(rows)}): {', '.join(map(str, rows[:_FLIPPED]))}"
                + (" …" if len(rows) > _FLIPPED else "")
                for gap in gaps
                for key, rows in ((gap.other, gap.gained), (gap.base, gap.lost))
                if rows
            ]
    if comparison.judgements:
        parts.append("## Judged side by side")
        parts += [f"- {j.other} against {j.base}: {_text(j.words)}" for j in comparison.judgements]
    parts += _money(comparison)
    if comparison.forgetting:
        parts.append("## What was forgotten")
        rows = [
            [_text(f.task), f.contender, words.number(f.base), words.number(f.tuned), "fell" if f.fell else "held"]
            for f in comparison.forgetting
        ]
        parts.append(_table(["task", "contender", "base", "tuned", "says"], rows))
    parts.append("## How it was measured")
    settings = ", ".join(f"{name} {value}" for name, value in comparison.decoding.items() if value is not None)
    versions = ", ".join(f"{name} {value}" for name, value in comparison.provenance.get("versions", {}).items())
    left = "; ".join(f"{rows} × {reason}" for reason, rows in test.left_out.items())
    parts += [
        f"{test.used} of {test.rows} rows of {_text(test.source)}" + (f" (left out: {_text(left)})" if left else ""),
        f"sha256 of the test rows: `{test.fingerprint}`",
        f"Decoding: {settings}; seed {comparison.seed}. {versions}",
        *(f"- {one.key}: {_describe(one)}" for one in comparison.contenders),
    ]
    return _joined(parts)


def _joined(parts: Sequence[str]) -> str:
    """A blank line between blocks, none inside a list or a quotation."""
    text = ""
    for before, part in zip(["", *parts], parts, strict=False):
        same = before[:2] == part[:2] and part[:2] in {"- ", "> "}
        text += ("\n" if same else "\n\n" if text else "") + part
    return text + "\n"


def _money(comparison: Comparison) -> list[str]:
    bill = comparison.money
    parts = ["## Money"]
    volume = f"{words.count(bill.calls_per_month)} calls a month" if bill.calls_per_month else "a month, all in"
    rows = [
        [
            one.key,
            _cost(one.training),
            _cost(one.keeping_per_month),
            _cost(one.per_thousand_calls),
            "unknown" if bill.monthly.get(one.key) is None else dollars(bill.monthly[one.key] or 0.0),
        ]
        for one in comparison.contenders
    ]
    parts.append(_table(["", "to train", "to keep, a month", "1,000 calls", volume], rows))
    parts += [f"- {_text(costs.words(crossing, comparison.contenders))}" for crossing in bill.crossings]
    return [*parts, *(f"- {_text(note)}" for note in bill.notes)]


def _cost(cost: Cost) -> str:
    value = cost.actual if cost.actual is not None else cost.estimated
    return "unknown" if value is None else dollars(value)


def _describe(one: Contender) -> str:
    model = f"{one.kind}, {_text(one.model)}" if one.model else one.kind
    return f"{model}; test rows in its training: {one.overlap}" + (f"; job {one.job_id}" if one.job_id else "")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _text(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(words.visible(text, 600).split()))
