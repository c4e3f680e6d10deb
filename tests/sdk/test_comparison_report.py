"""The page and the Markdown of a comparison: whole, safe, and saying what the numbers say."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from tests.sdk.comparison_cases import HOSTILE, cases, comparison, everywhere, made, tickets

from tuneport.evaluate import comparison_words as told
from tuneport.evaluate import words
from tuneport.evaluate.comparison import Comparison, Contender
from tuneport.evaluate.comparison_examples import differences
from tuneport.result import Cost

VOID = {"meta", "br", "img", "link", "input", "hr", "path", "circle", "rect"}
NAMES = list(cases())


class Reader(HTMLParser):
    """What a browser would make of it: the tags, whether they close, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest) -> Comparison:
    return cases()[request.param]


@pytest.fixture
def shown(tmp_path: Path) -> Any:
    def read_page(one: Comparison) -> Reader:
        return Reader(one.to_html(tmp_path / "page.html").read_text(encoding="utf-8"))

    return read_page


def test_the_page_is_whole_loads_nothing_and_runs_nothing(case: Comparison, tmp_path: Path) -> None:
    text = case.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    page = Reader(text)
    assert page.open == []
    names = {tag for tag, _ in page.tags}
    assert not names & {
        "script",
        "img",
        "iframe",
        "object",
        "embed",
        "link",
        "base",
        "form",
        "input",
        "a",
        "foreignobject",
    }
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert not {"src", "href", "xlink:href"} & set(attributes), tag
        assert "url(" not in (attributes.get("style") or ""), tag
    style = text[text.index("<style>") : text.index("</style>")]
    assert "http" not in style
    assert "@import" not in style
    assert "url(" not in style
    assert "default-src 'none'" in text
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(attributes.get("scope") in {"col", "row"} for tag, attributes in page.tags if tag == "th")
    assert all(
        attributes.get("aria-label") or "aria-hidden" in attributes for tag, attributes in page.tags if tag == "svg"
    )
    assert words.visible(case.verdict[0], 400)[:60] in page.text
    for one in case.contenders:
        assert words.visible(one.name, 120) in page.text
    assert len(text) < 1_500_000


def test_the_headings_go_down_in_order(case: Comparison, tmp_path: Path) -> None:
    page = Reader(case.to_html(tmp_path / "page.html").read_text(encoding="utf-8"))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_number_that_matters_is_on_the_page(shown: Any) -> None:
    page = shown(everywhere())
    for said in (
        "triage-own (Qwen3-8B, LoRA 16) has the highest Label accuracy, 94% (88% to 97%)",
        "Of the 3 that lead, triage-vertex (gemini-2.5-flash) costs least, $232.50 a month at 400,000 calls",
        "At 400,000 calls a month triage-bedrock (Nova Lite) costs least, $38.15",
        "Up to 3,400 calls a month triage-vertex (gemini-2.5-flash) costs least",
        "Below 740,000 calls a month triage-openai (gpt-4.1-mini) is cheaper, above it triage-own",
        "can't tell them apart on 120 rows",
        "under 0.001",
        "16.7 points",
        "$9.12",
        "in 1 h 32 min",
        "among raters: alpha 0.61",
        "with people: 83%",
        "three people preferred it",
        "General ability fell on 1 of 2 tasks",
        "no fall seen",
        "1 × over-length, 3 × duplicate-row",
        "3 rows were dropped as duplicates.",
        "f" * 64,
        "Order 1 was charged twice.",
        "kind lora, rank 16, alpha 32",
        "5,520 device seconds at 1.2 USD an hour",
        "Max tokens",
        "McNemar, exact, mid-p",
        "Cut at the token limit",
        "0.31, 0.53, 0.96 s",
    ):
        assert said in page.text, said


def test_best_is_marked_only_where_it_is_told_apart(shown: Any) -> None:
    sure = comparison(("base", "tuned"), 200)
    apart = [gap for gap in sure.differences if gap.outcome == "better"]
    open_case = comparison(("base", "tuned"), 30)
    assert apart
    assert not [gap for gap in open_case.differences if gap.outcome in {"better", "worse"}]
    assert told.best(sure, sure.metrics[0]) == "B"
    assert ("span", {"class": "tag better"}) in shown(sure).tags
    assert "the 2 that lead are not told apart on Exact match" in shown(open_case).text
    assert ("span", {"class": "tag better"}) not in shown(open_case).tags


def test_rows_that_failed_are_told(shown: Any) -> None:
    page = shown(cases()["failing"])
    assert "10 rows have no answer." in page.text
    assert "Rows without an answer" in page.text
    assert "10 × the service was busy (429), five times" in page.text
    assert "✗ no answer" in page.text
    assert "Question 4" in page.text, "the fifth row, by its question"


def test_flips_are_shown_both_ways_with_their_differences(shown: Any) -> None:
    case = cases()["two"]
    gap = next(gap for gap in case.differences if gap.metric == "exact_match")
    assert gap.gained
    assert gap.lost
    page = shown(case)
    assert f"B triage right, A base local:starter not: {len(gap.gained)} row" in page.text
    assert f"A base local:starter right, B triage not: {len(gap.lost)} row" in page.text
    assert f"Rows {', '.join(map(str, gap.gained))}." in page.text
    assert {"mark", "del"} <= {tag for tag, _ in page.tags}


def test_without_a_yes_or_no_metric_the_rows_that_differ_most_are_shown(shown: Any) -> None:
    case = cases()["no yes or no"]
    page = shown(case)
    assert "Rows that differ most" in page.text
    assert "B triage better than A base local:starter" in page.text
    assert "Rows that differ most" not in shown(cases()["two"]).text


def test_the_confusion_of_labels(shown: Any) -> None:
    page = shown(cases()["labels"])
    assert "Which label for which" in page.text
    assert "(other)" in page.text


def test_a_matrix_of_many_labels_is_cut_and_says_so(shown: Any) -> None:
    case = comparison(rows=60, expected=lambda n: f"label-{n % 30}", metrics=("label_accuracy",))
    assert "14 rarer labels are left out" in shown(case).text


def test_one_contender_has_no_pairs_to_tell_apart(shown: Any) -> None:
    page = shown(cases()["one"])
    assert "1 contender on 40 held-out rows" in page.text
    assert "Told apart" not in page.text
    assert "that lead" not in page.text


def test_where_nothing_fits_the_page_says_why(shown: Any) -> None:
    page = shown(cases()["nothing fits"])
    assert "Nothing could be measured" in page.text
    assert "does not fit:" in page.text


def test_unknown_prices_stay_unknown(shown: Any) -> None:
    page = shown(cases()["unpriced"])
    assert "unknown" in page.text
    assert "give its price an hour (gpu_per_hour, --gpu-price)" in page.text
    assert "costs least" not in page.text


@pytest.mark.parametrize("attack", HOSTILE, ids=range(len(HOSTILE)))
def test_whatever_comes_from_outside_is_shown_as_text(attack: str, shown: Any) -> None:
    rows = [
        row.model_copy(
            update={
                "messages": [{"role": attack, "content": attack}],
                "answers": {
                    "A": row.answers["A"].model_copy(update={"content": attack}),
                    "B": row.answers["B"].model_copy(update={"content": None, "error": attack})
                    if n == 0
                    else row.answers["B"],
                },
            }
        )
        for n, row in enumerate(tickets({"A": 0.2, "B": 0.9}, 24))
    ]
    contenders = [
        Contender(
            key=key,
            name=f"{key}{attack}",
            kind="job",
            backend=attack,
            rows=24,
            prompt=attack,
            job_id=attack[:300],
            warnings=[attack],
            errors={attack: 1},
            method={attack[:90]: attack},
            devices=[attack],
            training=Cost(estimated=1.0, currency=attack[:30]),
        )
        for key in "AB"
    ]
    case = made(contenders, rows, ("label_accuracy",), source=attack, warnings=[attack])
    page = shown(case.model_copy(update={"verdict": [attack, attack], "provenance": {attack[:50]: attack}}))
    assert page.open == []
    safe = {"script", "img", "h1", "textarea", "a", "b"}
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert not (safe - {"h1", "b"}) & {tag for tag, _ in page.tags}
    assert words.visible(attack, 400) in page.text
    for hidden in "\u202e\x00\x1b":
        assert hidden not in page.text


def test_half_a_surrogate_pair_a_control_and_a_turned_direction_can_be_seen() -> None:
    assert words.visible("a\u202eb\u200bc\x1b\ud800", 99) == "a⟦U+202E⟧b⟦U+200B⟧c␛?"
    assert words.visible("می\u200cخواهم 👩\u200d💻", 99) == "می\u200cخواهم 👩\u200d💻", "joiners belong to the script"


def test_differences_are_marked_by_whole_words() -> None:
    assert differences("pay the second bill now", "pay the third bill now please") == [
        ("same", "pay the "),
        ("missing", "second"),
        ("extra", "third"),
        ("same", " bill now"),
        ("extra", " please"),
    ]
    assert differences("本が棚にある", "本が机にある") == [
        ("same", "本が"),
        ("missing", "棚"),
        ("extra", "机"),
        ("same", "にある"),
    ]
    assert differences("refund", "I cannot say what this is.") == [("same", "I cannot say what this is.")]


@given(st.text(max_size=80), st.text(max_size=80))
def test_what_is_not_missing_is_the_answer(expected: str, answer: str) -> None:
    segments = differences(expected, answer)
    said = "".join(text for kind, text in segments if kind != "missing").replace("\u21b5\n", "\n")
    assert said.replace("\u21b5", "") == words.visible(answer.strip(), 1200).replace("\u21b5", "")


# The Markdown


def read(text: str) -> Reader:
    """As GitHub reads it: tables, strikethrough, and HTML let through."""
    return Reader(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text))


def test_markdown_is_tables_and_text_and_nothing_else(case: Comparison, tmp_path: Path) -> None:
    text = case.to_markdown(tmp_path / "page.md")
    page = read(text)
    assert page.open == []
    allowed = {
        "h1",
        "h2",
        "h3",
        "p",
        "ul",
        "li",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "br",
        "strong",
        "s",
        "blockquote",
    }
    assert {tag for tag, _ in page.tags} <= allowed
    for table in [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]:
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in table}) == 1, table[0]
    said = " ".join(page.text.split())
    assert " ".join(words.visible(case.verdict[0], 600).split())[:200] in said
    for one in case.contenders:
        assert " ".join(words.visible(one.name, 600).split()) in said
    for gap in case.differences:
        fits = not next(info.note for info in case.metrics if info.name == gap.metric)
        assert not fits or gap.words in said


def test_markdown_says_what_the_page_says(tmp_path: Path) -> None:
    said = " ".join(read(everywhere().to_markdown(tmp_path / "page.md")).text.split())
    for part in (
        "Of the 3 that lead, triage-vertex (gemini-2.5-flash) costs least, $232.50",
        "Up to 3,400 calls a month",
        "Below 740,000 calls a month triage-openai (gpt-4.1-mini) is cheaper",
        "among raters: alpha 0.61",
        "no fall seen",
        "What was forgotten",
        "Rows without an answer",
        "3 × the service was busy",
        "Which label for which",
        "1 × over-length",
        "0.31, 0.53, 0.96 s",
        "temperature 0.0, max_tokens 256",
        "f" * 64,
    ):
        assert part in said, part


@given(st.text(min_size=1, max_size=60))
def test_any_text_stays_text_in_markdown(text: str) -> None:
    case = cases()["one"]
    named = case.model_copy(update={"verdict": ["headline", text], "warnings": [text]})
    page = read(named.to_markdown())
    assert page.open == []
    expected = " ".join(words.visible(text, 600).split())
    assert " ".join(page.text.split()).count(expected) >= 2


def test_json_reads_back(case: Comparison, tmp_path: Path) -> None:
    case.to_json(tmp_path / "page.json")
    assert Comparison.load(tmp_path / "page.json") == case
