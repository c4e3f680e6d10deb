"""The page of a comparison in a real browser: nothing wider than the window, no label on another, nothing serious from axe."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.comparison_cases import cases

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
OPEN = "document.querySelectorAll('details').forEach(one => { one.open = true })"
# Pairs of texts in one picture that lie on each other, and texts that its frame cuts.
CROWDED = """() => [...document.querySelectorAll('svg[role=img]')].flatMap(svg => {
  const frame = svg.getBoundingClientRect();
  if (!frame.width) return [];
  const texts = [...svg.querySelectorAll('text')].map(one => [one.textContent, one.getBoundingClientRect()]);
  const outside = box => box.left < frame.left - 2 || box.right > frame.right + 2 || box.bottom > frame.bottom + 3;
  const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 4 && b.top < a.bottom - 4;
  return texts.flatMap(([text, box], place) => [
    ...(outside(box) ? [`${svg.ariaLabel}: ${text} is cut`] : []),
    ...texts.slice(place + 1).filter(([, other]) => meet(box, other)).map(([other]) => `${svg.ariaLabel}: ${text} on ${other}`),
  ]);
})"""


@pytest.fixture(scope="module")
def chromium(require: Callable[..., str]) -> Iterator[Any]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    path = require("browser", found, "no chromium on PATH; install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


def _keep(into: list[str]) -> Callable[[Any], None]:
    def keep(event: Any) -> None:
        into.append(event.url if hasattr(event, "url") else event.message)
        if hasattr(event, "dismiss"):
            event.dismiss()

    return keep


@pytest.mark.parametrize(
    "name", ["everywhere", "hostile", "long names", "many contenders", "right to left", "unpriced", "one"]
)
def test_it_fits_a_phone_and_a_desk_and_runs_nothing(chromium: Any, name: str, tmp_path: Path) -> None:
    path = cases()[name].to_html(tmp_path / "page.html")
    for width in (390, 820, 1280):
        page = chromium.new_context(viewport={"width": width, "height": 900}, bypass_csp=True).new_page()
        asked: list[str] = []
        ran: list[str] = []
        for event, kept in (("request", asked), ("dialog", ran)):
            page.on(event, _keep(kept))
        page.goto(path.as_uri())
        page.evaluate(OPEN)
        assert asked == [path.as_uri()]
        assert ran == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CROWDED) == []
        page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["everywhere", "hostile", "labels"])
def test_axe_finds_nothing_serious(chromium: Any, name: str, scheme: str, tmp_path: Path) -> None:
    axe: Any = importlib.import_module("axe_playwright_python.sync_playwright").Axe()
    path = cases()[name].to_html(tmp_path / "page.html")
    for width in (390, 1280):
        page = chromium.new_context(
            viewport={"width": width, "height": 900}, bypass_csp=True, color_scheme=scheme
        ).new_page()
        page.goto(path.as_uri())
        page.evaluate(OPEN)
        found = axe.run(page).response["violations"]
        assert not [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in {"serious", "critical"}]
        page.context.close()
