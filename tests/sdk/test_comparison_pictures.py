"""The pictures of a comparison: well-formed, inside their frames, and with labels that can be read."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.comparison_cases import cases, everywhere

from tuneport.errors import SpecError
from tuneport.evaluate import comparison_pictures as pictures
from tuneport.evaluate import comparison_words as told
from tuneport.evaluate import costs
from tuneport.evaluate.comparison import Comparison
from tuneport.evaluate.comparison_marks import decades, fitted, reach, spread
from tuneport.result import Cost


@pytest.fixture(params=list(cases()))
def case(request: pytest.FixtureRequest) -> Comparison:
    return cases()[request.param]


def drawn(svg: str) -> ET.Element:
    return ET.fromstring(
        svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) if "xmlns" not in svg else svg
    )


def numbers(root: ET.Element) -> list[float]:
    places = [v for e in root.iter() for k, v in e.attrib.items() if k in {"x", "y", "cx", "cy", "d"}]
    return [float(n) for text in places for n in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text)]


@pytest.mark.parametrize("width", [330, 470, 880])
def test_the_pictures_are_well_formed_and_inside_their_frame(case: Comparison, width: int) -> None:
    fit = told.fitting(case)
    lines = costs.lines(case.contenders, case.money.gpu_per_hour, case.money.months)
    made_ones = [pictures.latency(case, width), pictures.curves(case, width), pictures.bill(case, lines, width)]
    made_ones += [draw(case, info, width) for info in fit for draw in (pictures.forest, pictures.scatter)]
    for svg in filter(None, made_ones):
        root = drawn(svg)
        _, _, wide, high = map(float, root.attrib["viewBox"].split())
        assert wide == width
        for element in root.iter("{http://www.w3.org/2000/svg}text"):
            assert -1 <= float(element.attrib["x"]) <= wide + 1
            assert -1 <= float(element.attrib["y"]) <= high + 1
        assert all(math.isfinite(n) for n in numbers(root))
        assert "nan" not in svg
        assert "inf" not in re.sub(r">[^<]*<|aria-label=\"[^\"]*\"", "", svg)


def test_labels_in_the_scatter_do_not_lie_on_each_other() -> None:
    case = everywhere()
    crowded = case.model_copy(
        update={
            "contenders": [
                one.model_copy(update={"per_thousand_calls": Cost(estimated=1.0 + 0.01 * place)})
                for place, one in enumerate(case.contenders)
            ]
        }
    )
    for width in (330, 470, 880):
        boxes: list[tuple[float, float, float, float]] = []
        for element in drawn(pictures.scatter(crowded, case.metrics[0], width)).iter(
            "{http://www.w3.org/2000/svg}text"
        ):
            if element.attrib["class"] != "letter" or len(element) < 2:
                continue
            x, y = float(element.attrib["x"]), float(element.attrib["y"])
            long = reach((element.text or "") + (element[0].text or ""))
            left = {"start": x, "middle": x - long / 2, "end": x - long}[element.attrib["text-anchor"]]
            boxes.append((left, y - 10, left + long, y))
        for n, one in enumerate(boxes):
            for other in boxes[:n]:
                assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_the_crossing_that_matters_is_marked_with_its_calls() -> None:
    case = everywhere()
    svg = pictures.bill(case, costs.lines(case.contenders, 1.2), 880)
    assert svg.count('class="crossing"') == len(case.money.crossings)
    assert ">3.4k</text>" in svg
    assert ">your 400k</text>" in svg


def test_a_picture_for_a_readme_stands_alone(tmp_path: Path) -> None:
    path = pictures.write_comparison_svg(everywhere(), tmp_path / "compared.svg")
    root = drawn(path.read_text(encoding="utf-8"))
    text = " ".join(root.itertext())
    assert "Label accuracy" in text
    assert "120 held-out rows" in text
    assert "prefers-color-scheme:dark" in text
    assert "macro" not in text.lower()
    assert "Macro F1" in " ".join(drawn(pictures.comparison_svg(everywhere(), "macro_f1")).itertext())
    with pytest.raises(SpecError, match="'bleu' has no values to draw"):
        pictures.comparison_svg(everywhere(), "bleu")
    with pytest.raises(SpecError, match="no values to draw"):
        pictures.comparison_svg(cases()["nothing fits"])


@given(st.lists(st.floats(0, 200), min_size=1, max_size=9))
def test_labels_that_are_spread_lie_apart_and_in_order(wanted: list[float]) -> None:
    placed = spread(wanted, 15, 0, 200)
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    gaps = [placed[b] - placed[a] for a, b in pairwise(order)]
    assert all(gap >= 15 - 1e-6 for gap in gaps)
    assert min(placed) >= -1e-6
    assert max(placed) <= 200 + 1e-6


@given(st.floats(1e-6, 1e6), st.floats(1, 1e6))
def test_a_log_axis_holds_what_it_is_for(low: float, factor: float) -> None:
    marks = decades(low, low * factor)
    assert len(marks) >= 2
    assert marks[0] <= low * 1.001
    assert marks[-1] >= low * factor * 0.999
    assert marks == sorted(set(marks))


@given(st.text(max_size=120), st.floats(20, 400))
def test_a_name_takes_no_more_room_than_there_is(name: str, room: float) -> None:
    assert reach(fitted(name, room)) <= room
