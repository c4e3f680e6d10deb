"""A comparison as Markdown, for a pull request or a wiki: all that the page says, in tables and lists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tuneport.evaluate import comparison_words as told
from tuneport.evaluate import costs, words
from tuneport.evaluate.comparison import Comparison, Contender, Judgement, MetricInfo
from tuneport.evaluate.comparison_examples import Example, Said, failures, flips
from tuneport.evaluate.comparison_pictures import percentiles
from tuneport.evaluate.report import Segment

# What Markdown, or HTML, mathematics and bare links in it, would read as more than a letter; and what a line may begin with.
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>|#~!&$]|:(?=//)|(?<=www)\.", re.IGNORECASE)
_BEGINNING = re.compile(r"^(?:(\d+)([.)])|([-+]))")
_COLUMNS = 4
_ROWS = 24  # row numbers of each flip
_TEXT, _ANSWER = 600, 280  # characters


def markdown(comparison: Comparison) -> str:
    """The whole page; what came from outside is escaped, so that it stays the text that it is."""
    fit = told.fitting(comparison)
    first = next((info for info in fit if info.higher_is_better is not None), None)
    worth = told.worth(comparison, first)
    test = comparison.test
    parts = [
        f"# {_text(comparison.verdict[0])}",
        _list([*comparison.verdict[1:], *([worth] if worth else [])]),
        f"{words.count(test.used)} held-out rows of {_text(test.source)}. In brackets: 95% intervals.",
        _side_by_side(comparison, fit),
        "\n".join(f"> - {_text(line)}" for line in comparison.warnings),
        *_differences(comparison, fit),
        *_money(comparison),
        *_judgements(comparison.judgements),
        *_forgetting(comparison),
        *_flips(comparison),
        *_failures(comparison),
        *_confusion(comparison),
        *_ledger(comparison),
        *_measured(comparison),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _side_by_side(comparison: Comparison, fit: Sequence[MetricInfo]) -> str:
    judging = [info for info in fit if info.higher_is_better is not None]
    columns = [(info, told.cells(comparison, info)) for info in judging[:_COLUMNS] or fit[:_COLUMNS]]
    more = [info for info in fit if info not in [shown for shown, _ in columns]]
    head = ["", "contender", *(told.heading(info) for info, _ in columns), "1,000 calls", "median answer", "no answer"]
    rows = [
        [
            one.key,
            _text(one.name),
            *(str(cells[one.key]) for _, cells in columns),
            told.price(one.per_thousand_calls),
            words.duration(one.latency.p50 if one.latency else None),
            f"{one.failed:,} rows" if one.failed else "\u2013",
        ]
        for one in comparison.contenders
    ]
    table = _table(head, rows)
    if not more:
        return table
    keys = [one.key for one in comparison.contenders]
    rest = [(info, told.cells(comparison, info)) for info in more]
    return f"{table}\n\n" + _table(
        ["metric", *keys], [[told.heading(info), *(str(cells[key]) for key in keys)] for info, cells in rest]
    )


def _differences(comparison: Comparison, fit: Sequence[MetricInfo]) -> list[str]:
    parts: list[str] = []
    for info in fit:
        gaps = [gap for gap in comparison.differences if gap.metric == info.name]
        if not gaps:
            continue
        rows = [
            [
                f"{g.other} against {g.base}",
                g.outcome,
                _text(g.words),
                told.chance(g.p_adjusted),
                told.smallest(g, info),
            ]
            for g in gaps
        ]
        parts.append(f"## {words.title(info.name)}: {_text(info.says)}")
        parts.append(_table(["pair", "says", "in words", "p (Holm)", "shows from"], rows))
    return parts


def _money(comparison: Comparison) -> list[str]:
    bill = comparison.money
    volume = f"{words.count(bill.calls_per_month)} calls a month" if bill.calls_per_month is not None else ""
    rows = [
        [
            one.key,
            told.price(one.training),
            told.price(one.keeping_per_month),
            told.price(one.per_thousand_calls),
            *([_monthly(bill.monthly.get(one.key))] if volume else []),
            percentiles(one.latency) if one.latency else "\u2013",
        ]
        for one in comparison.contenders
    ]
    head = ["", "to train", "to keep, a month", "1,000 calls", *([volume] if volume else []), "p50, p90, p99"]
    said = costs.cheapest(comparison.contenders, bill)
    said += [costs.words(crossing, comparison.contenders) for crossing in bill.crossings]
    return ["## Money and time", _table(head, rows), _list([*said, *bill.notes])]


def _monthly(cost: float | None) -> str:
    return "unknown" if cost is None else told.dollars(cost)


def _judgements(given: Sequence[Judgement]) -> list[str]:
    rows = [
        [
            _text(one.judge) + (f", {one.raters} raters" if one.raters > 1 else ""),
            f"{one.other} against {one.base}",
            f"{words.percent(one.win_rate.estimate)} ({words.percent(one.win_rate.low)} to {words.percent(one.win_rate.high)})"
            if one.win_rate
            else "\u2013",
            f"{one.other_wins}, {one.base_wins}, {one.ties}",
            f"{one.both_bad}, {one.unclear}",
            _agreement(one),
        ]
        for one in given
    ]
    head = ["judge", "pair", "preferred", "won, lost, tied", "both bad, unclear", "agreement"]
    said = [f"{one.other} against {one.base}: {one.words}" for one in given if one.words]
    return ["## Judged side by side", _table(head, rows), _list(said)] if rows else []


def _agreement(one: Judgement) -> str:
    parts = [f"among raters: alpha {words.number(one.agreement, 2)}"] if one.agreement is not None else []
    if one.agreement_with_people is not None:
        parts.append(f"with people: {words.percent(one.agreement_with_people)}")
    return "; ".join(parts) or "not known"


def _forgetting(comparison: Comparison) -> list[str]:
    rows = [
        [
            f"{_text(one.task)} ({_text(one.metric)}, {one.rows} items, {_text(one.source)})",
            f"{one.contender} from {one.base_contender}",
            words.number(one.base),
            words.number(one.tuned),
            f"{words.signed(one.difference.estimate)} ({told.span(one.difference) or 'no interval'})"
            if one.difference
            else "\u2013",
            told.kept(one),
        ]
        for one in comparison.forgetting
    ]
    head = ["task", "contender", "base", "tuned", "difference", "says"]
    return ["## What was forgotten", _table(head, rows)] if rows else []


def _flips(comparison: Comparison) -> list[str]:
    found = flips(comparison)
    parts: list[str] = []
    for flip in found:
        rest = len(flip.rows) - _ROWS
        numbers = ", ".join(map(str, flip.rows[:_ROWS])) + (f" and {rest:,} more" if rest > 0 else "")
        parts.append(f"### {_text(flip.title)}\n\nRows {numbers}.")
        parts.append(_table(["row", "question", "expected", "answers"], [_example(one) for one in flip.examples]))
    return ["## Rows that changed sides", "**Not expected**, ~~left out~~.", *parts] if parts else []


def _example(one: Example) -> list[str]:
    question = next((text for role, text in reversed(one.prompt) if role == "user"), "")
    answers = "<br>".join(f"{_text(said.who)}, {_how(said)}: {_segments(said.segments)}" for said in one.answers)
    return [str(one.row), _text(question, _ANSWER), _text(one.expected, _ANSWER), answers]


def _how(said: Said) -> str:
    if said.failed:
        return "no answer"
    return said.score or "\u2013" if said.right is None else "right" if said.right else "wrong"


def _segments(segments: Iterable[Segment]) -> str:
    """Marked as far as they are shown; a mark stands around words, as Markdown wants it, and not around spaces."""
    parts: list[str] = []
    room = _ANSWER
    for kind, text in segments:
        line = " ".join(text.split())
        sign = {"extra": "**", "missing": "~~", "same": ""}[kind] if line else ""
        parts.append(f"{sign}{_text(line, max(room, 0))}{sign}")
        room -= len(line)
        if room <= 0:
            break
    return " ".join(part for part in parts if part) or "(empty)"


def _failures(comparison: Comparison) -> list[str]:
    parts: list[str] = []
    for failed in failures(comparison):
        one = failed.one
        parts.append(f"{one.key} {_text(one.name)}: {one.failed:,} of {comparison.test.used:,}.")
        parts.append(_list([f"{rows:,} \u00d7 {error}" for error, rows in one.errors.items()]))
        rows = [[str(row), _text(question), _text(error)] for row, question, error in failed.shown]
        parts.append(_table(["row", "question", "what came back"], rows))
    return ["## Rows without an answer", *parts] if parts else []


def _confusion(comparison: Comparison) -> list[str]:
    parts: list[str] = []
    for one in comparison.contenders:
        table = comparison.confusion.get(one.key)
        if table:
            labels = list(dict.fromkeys([*table, *(said for row in table.values() for said in row)]))
            head = [f"{one.key}: expected", *map(_text, labels)]
            rows = [[_text(expected), *(str(row.get(name, 0)) for name in labels)] for expected, row in table.items()]
            parts.append(_table(head, rows))
    return ["## Which label for which", *parts] if parts else []


def _ledger(comparison: Comparison) -> list[str]:
    rows = [
        [
            one.key,
            _text(split),
            *(words.count(n) for n in (t.rows, t.used, t.truncated, t.dropped, t.tokens)),
            _text(", ".join(f"{n} \u00d7 {reason}" for reason, n in t.reasons.items())) or "\u2013",
        ]
        for one in comparison.contenders
        for split, t in one.ledger.items()
    ]
    head = ["", "split", "rows", "used whole", "truncated", "dropped", "tokens", "reasons"]
    warned = [f"{one.key}: {line}" for one in comparison.contenders for line in one.warnings]
    table = [_table(head, rows)] if rows else []
    return ["## Where every training row went", *table, _list(warned)] if rows or warned else []


def _measured(comparison: Comparison) -> list[str]:
    test = comparison.test
    versions = comparison.provenance.get("versions", {})
    others = {name: value for name, value in comparison.provenance.items() if name != "versions"}
    settings = {name: value for name, value in comparison.decoding.items() if value is not None}
    left = "; ".join(f"{rows} \u00d7 {reason}" for reason, rows in test.left_out.items())
    facts = [
        f"Test rows: {test.used:,} of {test.rows:,} of {test.source}" + (f" (left out: {left})" if left else ""),
        f"sha256 of the test rows: {test.fingerprint}",
        f"Decoding: {_pairs(settings)}; seed {comparison.seed}",
        f"Versions: {_pairs(versions)}",
        *(f"{words.title(name)}: {value}" for name, value in others.items()),
        *(f"{info.name} does not fit: {info.note}" for info in comparison.metrics if info.note),
        *(f"{one.key} {one.name}: {_who(one)}" for one in comparison.contenders),
        f"Made {told.when(comparison.created)}; comparison {comparison.id}",
    ]
    return ["## How it was measured", _list(facts)]


def _who(one: Contender) -> str:
    prompt = f"; {'examples' if one.shots else 'system prompt'}: {one.prompt}" if one.prompt else ""
    return "; ".join(f"{name.lower()} {value}" for name, value in told.described(one)) + prompt


def _pairs(given: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in given.items()) or "none"


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {_text(line)}" for line in lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _text(text: str, limit: int = _TEXT) -> str:
    """On one line, cut where it is long, and nothing in it is Markdown or HTML."""
    line = " ".join(words.visible(text[: 2 * limit], 20 * limit).split())
    line = line if len(line) <= limit and len(text) <= 2 * limit else f"{line[:limit]}\u2026"
    escaped = _SPECIAL.sub(lambda found: "\\" + found.group(), line)
    return _BEGINNING.sub(lambda f: f"{f.group(1)}\\{f.group(2)}" if f.group(1) else f"\\{f.group(3)}", escaped)
