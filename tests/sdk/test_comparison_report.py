"""The page and the Markdown of a comparison: whole, safe, and saying what the numbers say."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.comparison_cases import comparison

from tuneport.evaluate import costs
from tuneport.evaluate.comparison import Comparison, Contender, Latency
from tuneport.result import Cost

VOID = {"meta", "br", "img", "link", "input", "hr", "path", "circle", "rect"}
CASES = {
    "two": comparison(),
    "five": comparison(("base", "own", "cloud", "other cloud", "few-shot"), 60, rich=True),
    "one": comparison(("only",)),
    "failing": comparison(failing=True, rich=True),
    "hostile": comparison(hostile=True, failing=True, rich=True),
    "labels": comparison(expected=lambda n: ("refund", "shipping")[n % 2], metrics=("label_accuracy", "macro_f1")),
    "nothing fits": comparison(metrics=("json_equal",)),
    "many rows": comparison(rows=2000),
    "right to left": comparison(expected=lambda _: "ספר على الرف 本が棚にある"),
}


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
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Comparison:
    return CASES[request.param]


def test_the_page_is_whole_loads_nothing_and_runs_nothing(case: Comparison, tmp_path: Path) -> None:
    text = case.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    page = Reader(text)
    assert page.open == []
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "img", "iframe", "object", "embed", "link", "base", "form", "input"}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert not {"src", "href"} & set(attributes), tag
    assert "default-src 'none'" in text
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(attributes.get("scope") in {"col", "row"} for tag, attributes in page.tags if tag == "th")
    assert all(
        attributes.get("aria-label") or "aria-hidden" in attributes for tag, attributes in page.tags if tag == "svg"
    )
    assert case.verdict[0][:60].split("<")[0] in page.text
    assert len(text) < 1_500_000


def test_every_contender_and_number_is_on_the_page(tmp_path: Path) -> None:
    case = CASES["five"]
    page = Reader(case.to_html(tmp_path / "page.html").read_text())
    for one in case.contenders:
        assert one.name in page.text
    for words in ("Below 41,000 calls a month", "74%", "alpha 0.61", "fell", "arithmetic", "Truncated", "f" * 64):
        assert words in page.text


def test_rows_that_failed_are_told(tmp_path: Path) -> None:
    page = Reader(CASES["failing"].to_html(tmp_path / "page.html").read_text())
    assert "10 rows have no answer." in page.text
    assert "the service was busy (429), five times" in page.text


def test_flips_are_shown_both_ways_with_their_differences(tmp_path: Path) -> None:
    case = CASES["two"]
    gap = next(gap for gap in case.differences if gap.metric == "exact_match")
    assert gap.gained
    assert gap.lost
    page = Reader(case.to_html(tmp_path / "page.html").read_text())
    assert f"B right, A not: {len(gap.gained)} row" in page.text
    assert f"A right, B not: {len(gap.lost)} row" in page.text
    assert {"mark", "del"} <= {tag for tag, _ in page.tags}


def test_the_confusion_of_labels(tmp_path: Path) -> None:
    page = Reader(CASES["labels"].to_html(tmp_path / "page.html").read_text())
    assert "Which label for which" in page.text
    assert "(other)" in page.text


def test_markdown_says_the_same_and_stays_text(case: Comparison, tmp_path: Path) -> None:
    text = case.to_markdown(tmp_path / "page.md")
    assert text.startswith("# ")
    assert "<script" not in text.replace("\\<script", "")
    for line in text.splitlines():
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)
            assert len(cells) > 3
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    for table in tables:
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in table}) == 1
    for gap in case.differences:
        assert gap.words[:20] in text.replace("\\", "") or next(i.note for i in case.metrics if i.name == gap.metric)


def test_json_reads_back(case: Comparison, tmp_path: Path) -> None:
    case.to_json(tmp_path / "page.json")
    assert Comparison.load(tmp_path / "page.json") == case


def contender(key: str, *, fixed: float, thousand: float, backend: str = "openai", seconds: float = 1.0) -> Contender:
    return Contender(
        key=key,
        name=key,
        kind="base",
        model=f"{backend}:x",
        backend=backend,
        rows=1,
        latency=Latency(p50=seconds, p90=seconds, p99=seconds, mean=seconds, answers=1, concurrency=1),
        per_thousand_calls=Cost(estimated=thousand),
        keeping_per_month=Cost(estimated=fixed),
        training=Cost(estimated=0.0),
    )


def test_a_bill_by_hand() -> None:
    cloud, own = (
        contender("A", fixed=0, thousand=5.0),
        contender("B", fixed=0, thousand=0, backend="local", seconds=0.5),
    )
    found = costs.money([cloud, own], 50_000, gpu_per_hour=1.0)
    assert found.monthly == {"A": 250.0, "B": 730.0}
    (crossing,) = found.crossings
    assert (crossing.cheaper_below, crossing.cheaper_above) == ("A", "B")
    assert crossing.calls == pytest.approx(146_000)
    assert costs.words(crossing, [cloud, own]) == "Below 150,000 calls a month A is cheaper, above it B."


def test_a_device_answers_only_so_many_calls() -> None:
    own = contender("B", fixed=0, thousand=0, backend="local", seconds=60)
    found = costs.money([contender("A", fixed=0, thousand=5.0), own], 50_000, gpu_per_hour=1.0)
    assert found.monthly["B"] is None
    assert any("cannot answer 50,000 calls" in note for note in found.notes)
    assert not found.crossings  # where the lines would cross, one device does not keep up


def test_what_is_not_known_is_said_and_not_guessed() -> None:
    unknown = contender("A", fixed=0, thousand=1).model_copy(update={"per_thousand_calls": Cost()})
    found = costs.money([unknown, contender("B", fixed=0, thousand=0, backend="local")], 1000, gpu_per_hour=None)
    assert found.monthly == {"A": None, "B": None}
    assert len(found.notes) == 2


@given(st.integers(0, 5000), st.integers(1, 50), st.integers(0, 5000), st.integers(1, 50))
def test_at_a_crossing_both_cost_the_same(f1: int, t1: int, f2: int, t2: int) -> None:
    both = [contender("A", fixed=f1, thousand=t1), contender("B", fixed=f2, thousand=t2)]
    for crossing in costs.money(both, None, None).crossings:
        one, two = (costs.lines(both, None)[key] for key in "AB")
        assert one is not None
        assert two is not None
        assert one.at(crossing.calls) == pytest.approx(two.at(crossing.calls), rel=1e-6)
        below = crossing.calls / 2
        cheaper = min("AB", key=lambda key: costs.lines(both, None)[key].at(below))  # type: ignore[union-attr]
        assert cheaper == crossing.cheaper_below
