"""The report says what the result says, says no more than its intervals allow, and hostile answers stay text."""

from __future__ import annotations

import html
import importlib.util
import json
import math
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest

from tuneport.errors import DatasetError, SpecError
from tuneport.evaluate.pictures import comparison_svg, loss_svg, rate_svg, write_comparison_svg
from tuneport.evaluate.report import choose_examples, differences, verdict, write_report
from tuneport.evaluate.rows import RowScore, read_scores
from tuneport.evaluate.words import percent, points
from tuneport.result import Checkpoint, CurvePoint, FineTuneResult
from tuneport.scoring.intervals import paired_difference


def _cases() -> ModuleType:
    spec = importlib.util.spec_from_file_location("report_cases", Path(__file__).with_name("report_cases.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cases = _cases()


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def page(result: FineTuneResult, tmp_path: Path, **options: object) -> tuple[str, _Page]:
    text = write_report(result, tmp_path / "report.html", **options).read_text(encoding="utf-8")  # type: ignore[arg-type]
    return text, _Page(text)


@pytest.mark.parametrize("hostile", [False, True])
def test_nothing_is_loaded_and_nothing_runs(tmp_path: Path, hostile: bool) -> None:
    result, base, tuned = cases.full(hostile)
    text, parsed = page(result, tmp_path, base_rows=base, tuned_rows=tuned, examples=80)
    for tag, attributes in parsed.tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed", "base", "a", "form", "input"}
        assert not {name for name in attributes if name.startswith("on") or name in {"src", "href", "srcset", "action"}}
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text
    if hostile:
        shown = "".join(parsed.words)
        assert "</script><script>alert(1)</script>" in shown
        assert "{{ 7*7 }}" in shown
        assert "\x00" not in text


def test_the_numbers_are_the_results(tmp_path: Path) -> None:
    result, base, tuned = cases.full()
    _, parsed = page(result, tmp_path, base_rows=base, tuned_rows=tuned)
    shown = " ".join(" ".join(parsed.words).split())
    right = sum(score.exact_match for score in tuned)
    assert f"The tuned model answers {percent(right / 80)} of 80 held-out rows exactly right" in shown
    gap = next(m.difference for m in result.test.metrics if m.name == "exact_match")
    assert f"95% interval {points(gap.low)} to {points(gap.high)}" in shown
    for metric in result.test.metrics[2:]:
        assert f"{metric.tuned:.3f}" in shown
        assert f"{metric.base:.3f}" in shown
    assert "144,633" in shown
    assert "3 × no answer in the row" in shown
    assert "640 training rows make too few steps of 64" in shown
    for artifact in result.artifacts:
        assert artifact.sha256 in shown
    assert result.dataset.fingerprint in shown
    assert result.provenance.versions["torch"] in shown


def _with(base: list[bool], tuned: list[bool]) -> FineTuneResult:
    rows = [
        [
            RowScore(row=i, expected="a", answer="a" if ok else "b", exact_match=ok, loss=0.5, token_accuracy=0.5)
            for i, ok in enumerate(flags)
        ]
        for flags in (base, tuned)
    ]
    result: FineTuneResult = cases.bare().model_copy(update={"test": cases.comparison(*rows)})
    return result


def test_the_verdict_says_no_more_than_the_interval() -> None:
    better = verdict(_with([False] * 80, [True] * 74 + [False] * 6))
    assert better.tone == "better"
    assert better.headline == "The tuned model answers 92% of 80 held-out rows exactly right; the base 0%."
    gap = paired_difference([False] * 80, [True] * 74 + [False] * 6, kind="binary")
    assert better.sentence == f"Difference +92 points, 95% interval {points(gap.low)} to {points(gap.high)}."

    worse = verdict(_with([True] * 40, [False] * 20 + [True] * 20))
    assert worse.tone == "worse"
    assert "worse" in worse.sentence

    unclear = verdict(_with([True, False] * 10, [True, False] * 9 + [True, True]))
    assert unclear.tone == "open"
    assert "includes 0" in unclear.sentence

    assert verdict(_with([False], [True])).tone == "open", "one row shows nothing"
    assert "not measured" in verdict(cases.bare()).headline


def test_a_loss_that_fell_is_better() -> None:
    result, _, _ = cases.full()
    only_loss = result.test.model_copy(update={"metrics": [m for m in result.test.metrics if m.name == "loss"]})
    said = verdict(result.model_copy(update={"test": only_loss}))
    assert said.tone == "better"
    assert said.headline.startswith("Loss on 80 held-out rows: 0.1")


def test_a_result_without_test_and_curve_still_reports(tmp_path: Path) -> None:
    text, parsed = page(cases.bare(), tmp_path)
    assert "no training curve" in text
    assert "svg" not in {tag for tag, _ in parsed.tags}
    assert "nan" not in text.lower().replace("finance", "")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"], "no temporary file stays behind"


@pytest.mark.parametrize(
    "curve",
    [
        [CurvePoint(step=1, loss=2.0)],
        [CurvePoint(step=0, loss=0.0, learning_rate=0.0)],
        [CurvePoint(step=5, validation_loss=1.0)],
        [CurvePoint(step=i, loss=1.5) for i in range(4)],
        [CurvePoint(step=i, loss=math.nan if i % 2 else 1.0 / (i + 1)) for i in range(30)],
        [CurvePoint(step=1, loss=1e-9), CurvePoint(step=2, loss=1e9)],
        [CurvePoint(step=10, loss=1.0), CurvePoint(step=8, loss=1.2, attempt=2), CurvePoint(step=9, loss=1, attempt=2)],
        [CurvePoint(step=i, loss=2 / i, validation_loss=3 / i, learning_rate=1e-4 / i) for i in range(1, 1001)],
        [CurvePoint(step=i, loss=2 / i) for i in range(1, 50_001)],
    ],
)
@pytest.mark.parametrize("width", [760, 380])
def test_any_curve_is_drawn_inside_its_frame(curve: list[CurvePoint], width: int) -> None:
    checkpoints = [Checkpoint(step=curve[0].step, validation_loss=curve[0].validation_loss, best=True)]
    result = cases.bare().model_copy(update={"curve": curve, "checkpoints": checkpoints})
    for svg, height in ((loss_svg(result, width), 300), (rate_svg(result, width), 130)):
        if not svg:
            continue
        assert len(svg) < 200_000
        root = ET.fromstring(svg)
        assert "nan" not in svg.lower()
        assert "inf" not in svg.lower()
        for element in root.iter():
            for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", element.get("d", "")):
                assert 0 <= float(x) <= width
                assert 0 <= float(y) <= height
            if element.tag == "circle":
                assert 0 <= float(element.get("cx", "")) <= width
                assert 0 <= float(element.get("cy", "")) <= height


def test_a_curve_of_nothing_finite_is_no_curve() -> None:
    assert loss_svg(cases.bare().model_copy(update={"curve": [CurvePoint(step=1, loss=math.inf)]})) == ""


def test_attempts_and_the_best_checkpoint_are_marked() -> None:
    result, _, _ = cases.full()
    svg = loss_svg(result)
    best = next(c for c in result.checkpoints if c.best)
    assert "attempt 2" in svg
    assert f"best: {best.validation_loss:.3f}" in svg


def test_examples_show_failures_first_and_not_only_failures() -> None:
    base, tuned = cases.scores()
    chosen = choose_examples(base, tuned, 10)
    right = {score.row: score.exact_match for score in tuned}
    kinds = [right[example.row] for example in chosen]
    assert len(chosen) == len({example.row for example in chosen}) == 10
    assert kinds == sorted(kinds), "failures first"
    assert 3 <= kinds.count(False) <= 5
    assert chosen[0].why == "broken by tuning"

    failed = [score for score in tuned if not score.exact_match]
    assert len(choose_examples(base, failed, 4)) == 4
    assert len(choose_examples([], tuned[:3], 10)) == 3
    assert choose_examples([], [RowScore(row=1)], 10) == [], "a row without an answer is no example"


def test_differences_name_what_is_extra_and_what_is_missing() -> None:
    assert differences("delivery", "delivery\n") == [("same", "delivery")]
    assert differences("abcdef", "abcdXf") == [("same", "abcd"), ("extra", "X"), ("same", "f")]
    assert differences("abcdef", "abcdf") == [("same", "abcd"), ("missing", "e"), ("same", "f")]
    assert differences('{"a": 1}', "Sure! Let me think.") == [("same", "Sure! Let me think.")]


def test_scores_are_read_with_their_prompts(tmp_path: Path) -> None:
    rows = tmp_path / "test.jsonl"
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]
    rows.write_text(json.dumps({"row": 7, "messages": turns, "hash": "x"}) + "\n")
    file = tmp_path / "tuned_scores.jsonl"
    line = {"row": 7, "loss": 0.1, "token_accuracy": 1.0, "exact_match": True, "answer": "a\u2028b", "expected": "y"}
    file.write_text(json.dumps({**line, "tokens": 3}, ensure_ascii=False) + "\n", encoding="utf-8")
    (score,) = read_scores(file, rows=rows)
    assert score.answer == "a\u2028b"
    assert score.messages == turns[:1]
    assert read_scores(tmp_path / "absent.jsonl") == []

    file.write_text('{"row": 1}\n{"row": "x"}\n')
    with pytest.raises(DatasetError, match="line 2") as caught:
        read_scores(file)
    assert caught.value.row == 2


def test_the_comparison_picture(tmp_path: Path) -> None:
    result, _, tuned = cases.full(hostile=True)
    text = write_comparison_svg(result, tmp_path / "docs" / "comparison.svg").read_text(encoding="utf-8")
    root = ET.fromstring(text)
    words = "".join(root.itertext())
    assert f"{percent(sum(s.exact_match for s in tuned) / 80)}" in words
    assert "share of 80 held-out rows" in words
    assert not [e for e in root.iter() if e.tag.endswith(("script", "image", "foreignObject"))]
    assert html.escape("<script>") in text
    with pytest.raises(SpecError, match=r"test=0\.1"):
        comparison_svg(cases.bare())


@pytest.mark.parametrize(
    ("share", "text"), [(0, "0%"), (1, "100%"), (0.925, "92%"), (0.9975, "99.8%"), (0.001, "0.1%"), (-0.004, "-0.4%")]
)
def test_a_percent_never_claims_all_or_nothing(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize("hostile", [False, True])
def test_a_browser_shows_it_without_errors_or_sideways_scrolling(
    tmp_path: Path, require: Callable[[str, str | None, str], str], hostile: bool
) -> None:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    chromium = require("browser", found, "no chromium or google-chrome on PATH; install chromium")
    result, base, tuned = cases.full(hostile)
    report, _ = page(result, tmp_path, base_rows=base, tuned_rows=tuned, examples=20)
    frames = "".join(
        f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{html.escape(report, quote=True)}"></iframe>'
        for width in (390, 1280)
    )
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(
        f"""<!doctype html><meta charset="utf-8">{frames}<pre id="out"></pre><script>
        onload = () => {{ out.textContent = [...document.querySelectorAll("iframe")].map(frame => {{
            const root = frame.contentDocument.documentElement;
            return `${{frame.clientWidth}}:${{root.scrollWidth - root.clientWidth}}:${{root.scrollHeight > 2000}}`;
        }}).join(" "); }}</script>""",
        encoding="utf-8",
    )
    done = subprocess.run(
        [
            chromium,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"),
            *("--disable-component-update", "--no-first-run", "--enable-logging=stderr", "--v=0"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1000", "--dump-dom", wrapper.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    measured = re.search(r'<pre id="out">([^<]*)</pre>', done.stdout)
    assert measured
    assert measured.group(1) == "390:0:true 1280:0:true", "frame width, overflow in pixels, whether it is laid out"
