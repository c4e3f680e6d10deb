"""The review page in a real browser: judged by keyboard alone, resumed, two raters at once, and nothing serious from axe."""

from __future__ import annotations

import http.server
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.sdk.comparison_cases import HOSTILE, comparison

from tuneport.evaluate.comparison import Answer, Comparison
from tuneport.evaluate.review.server import ReviewServer
from tuneport.evaluate.review.votes import Votes

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def chromium(require: Callable[..., str]) -> Iterator[Any]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    path = require("browser", found, "no chromium on PATH; install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def review(tmp_path: Path) -> Iterator[ReviewServer]:
    with ReviewServer(comparison(rows=8), Votes(tmp_path / "x.votes.jsonl")) as server:
        yield server


def with_answers(one: str, two: str, **row: Any) -> Comparison:
    case = comparison(rows=2)
    answers = {"A": Answer(content=one), "B": Answer(content=two)}
    return case.model_copy(update={"rows": [case.rows[0].model_copy(update={"answers": answers, **row})]})


def opened(chromium: Any, address: str, **context: Any) -> Any:
    page = chromium.new_context(**context).new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda line: page.errors.append(line.text) if line.type == "error" else None)
    page.goto(address)
    return page


def entered(chromium: Any, server: ReviewServer, name: str = "ada", **context: Any) -> Any:
    page = opened(chromium, server.url, **context)
    page.wait_for_selector("#name:focus")
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    page.wait_for_selector("#task:not([hidden])")
    ready(page)
    return page


def ready(page: Any) -> None:
    page.wait_for_selector('#main[aria-busy="false"]')


def judged(page: Any) -> int:
    found = re.match(r"(\d+) of \d+ judged", page.inner_text("#place"))
    assert found
    return int(found.group(1))


def press(page: Any, key: str) -> None:
    """A judgement by key, waited for until it is saved and the next pair is there."""
    before = judged(page)
    page.keyboard.press(key)
    page.wait_for_selector(f"#place:has-text('{before + 1} of')")
    ready(page)


def test_a_rater_judges_with_the_keyboard_alone(chromium: Any, review: ReviewServer) -> None:
    page = entered(chromium, review)
    total = len(review.deck.tasks)
    hand = review.deck.hand("ada", 0)
    meant: dict[str, str | None] = {}
    for number in range(total):
        assert (judged(page), page.inner_text("#number")) == (number, f"Pair {number + 1} of {total}")
        assert page.evaluate("document.activeElement.id") == "number"
        dealt, key = hand[number], "1234"[number % 4]
        row = next(row for row in review.comparison.rows if row.row == dealt.task.row)
        assert page.inner_text("#left") == row.answers[dealt.left].content
        assert page.inner_text("#right") == row.answers[dealt.right].content
        assert page.inner_text("#question").split("\n")[-1] == row.messages[-1]["content"]
        meant[dealt.task.id] = {"1": dealt.left, "2": dealt.right}.get(key)
        press(page, key)
        assert page.inner_text("#saved") == "Saved"
    page.wait_for_selector("#done:not([hidden])")
    assert f"All {total} pairs are judged and saved" in page.inner_text("#thanks")
    latest = review.votes.read().latest
    assert {vote.task: vote.winner for vote in latest.values()} == meant
    assert {vote.choice for vote in latest.values()} == {"left", "right", "tie", "both-bad"}
    assert all(vote.seconds is not None and vote.seconds < 60 for vote in latest.values())
    assert page.is_hidden("#results")
    assert page.errors == []


def test_the_keyboard_reaches_everything_in_the_order_in_which_it_is_seen(chromium: Any, review: ReviewServer) -> None:
    page = entered(chromium, review)
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.dataset.choice || document.activeElement.id"))
    assert reached == ["asked", "note", "left", "right", "tie", "both-bad", "skip", "differences", "open"]
    assert "3px" in page.evaluate("getComputedStyle(document.activeElement).outline")


def test_notes_going_back_and_changing_ones_mind(chromium: Any, review: ReviewServer) -> None:
    page = entered(chromium, review)
    page.keyboard.press("n")
    page.keyboard.type("1: the left one is kinder, u know")
    page.keyboard.press("Escape")
    press(page, "1")
    page.keyboard.press("n")
    page.keyboard.type("half a thought")
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    page.wait_for_selector('[data-choice="left"][aria-pressed="true"]')
    ready(page)
    assert page.input_value("#note") == "1: the left one is kinder, u know"
    page.click('[data-choice="right"]')
    page.wait_for_selector("#saved:has-text('Saved')")
    page.wait_for_selector("#number:has-text('Pair 2')")
    ready(page)
    assert page.input_value("#note") == "half a thought"
    (vote,) = review.votes.read().latest.values()
    assert (vote.choice, vote.note) == ("right", "1: the left one is kinder, u know")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#number:has-text('Pair 3')")
    ready(page)
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#number:has-text('Pair 2')")


def test_what_was_skipped_is_asked_at_the_end(chromium: Any, review: ReviewServer) -> None:
    page = entered(chromium, review)
    page.keyboard.press("s")
    page.wait_for_selector("#number:has-text('Pair 2')")
    ready(page)
    for _ in range(len(review.deck.tasks) - 1):
        press(page, "3")
    assert page.inner_text("#number").startswith("Pair 1 of")
    page.click("#open")
    page.wait_for_selector("#done:not([hidden])")
    assert "the others wait for you under the same name" in page.inner_text("#thanks")


def test_a_reload_goes_on_where_it_was_and_a_new_visit_at_what_is_open(chromium: Any, review: ReviewServer) -> None:
    page = entered(chromium, review)
    for _ in range(3):
        press(page, "3")
    page.keyboard.press("u")
    page.wait_for_selector("#number:has-text('Pair 3')")
    shown = page.inner_text("#left")
    page.reload()
    page.wait_for_selector("#number:has-text('Pair 3')")
    assert (judged(page), page.inner_text("#left")) == (3, shown)
    page.goto(review.url)
    page.click(f"#known button:has-text('3 of {len(review.deck.tasks)}')")
    page.wait_for_selector("#number:has-text('Pair 4')")
    assert review.token not in page.url


def test_a_link_on_another_site_leads_in(chromium: Any, review: ReviewServer) -> None:
    """A mail in a browser, say: from there the browser sends no SameSite=Strict cookie, also not when it is redirected."""

    class Mail(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = (
                f'<!doctype html><link rel="icon" href="data:,"><a href="{review.url}&amp;rater=Bo">judge</a>'.encode()
            )
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mail) as mail:
        threading.Thread(target=mail.serve_forever, args=(0.1,), daemon=True).start()
        page = opened(chromium, f"http://localhost:{mail.server_address[1]}/")
        page.click("a")
        page.wait_for_selector("#task:not([hidden])")
        assert page.inner_text("#who-name") == "Bo"
        page.reload()
        page.wait_for_selector("#task:not([hidden])")
        assert page.errors == []
        mail.shutdown()


def test_two_raters_at_once(chromium: Any, review: ReviewServer) -> None:
    ada, bo = entered(chromium, review, "ada"), entered(chromium, review, "bo")
    for _ in range(4):
        press(ada, "1")
        press(bo, "2")
    raters = [rater for rater, _ in review.votes.read().latest]
    assert (raters.count("ada"), raters.count("bo")) == (4, 4)


def test_the_owner_sees_the_results_at_the_end(chromium: Any, review: ReviewServer) -> None:
    page = opened(chromium, f"{review.admin_url}&rater=ada")
    page.wait_for_selector("#task:not([hidden])")
    ready(page)
    assert "triage" not in page.content()
    for _ in review.deck.tasks:
        press(page, "1")
    page.wait_for_selector("#done:not([hidden])")
    assert "triage against base local:starter" in page.inner_text("#results")


def test_a_server_that_is_gone_is_said_and_what_was_judged_can_be_sent_again(
    chromium: Any, review: ReviewServer
) -> None:
    page = entered(chromium, review)
    page.context.set_offline(True)
    page.keyboard.press("1")
    page.wait_for_selector("#retry:focus")
    assert "Not saved yet: the server does not answer" in page.inner_text("#trouble")
    assert (judged(page), page.inner_text("#saved")) == (0, "")
    page.keyboard.press("Enter")
    page.wait_for_selector('#main[aria-busy="false"]')
    assert page.is_visible("#trouble")
    page.context.set_offline(False)
    page.keyboard.press("Enter")
    page.wait_for_selector("#place:has-text('1 of')")
    ready(page)
    assert page.is_hidden("#trouble")
    (vote,) = review.votes.read().latest.values()
    assert vote.choice == "left"


def test_a_review_that_was_started_again_asks_for_its_new_address(chromium: Any, tmp_path: Path) -> None:
    votes = Votes(tmp_path / "x.votes.jsonl")
    with ReviewServer(comparison(rows=8), votes) as server:
        port = server.port
        page = entered(chromium, server)
    with ReviewServer(comparison(rows=8), votes, port=port):
        page.keyboard.press("1")
        page.wait_for_selector("#retry:focus")
        assert "open the address that `tuneport review` printed last" in page.inner_text("#trouble")


def test_what_models_wrote_is_text(chromium: Any, tmp_path: Path) -> None:
    case = comparison(hostile=True, rows=len(HOSTILE) * 2)
    with ReviewServer(case, Votes(tmp_path / "x.jsonl")) as server:
        page = entered(chromium, server, "<b>ada</b>")
        page.on("dialog", lambda dialog: page.errors.append(dialog.message))
        assert page.inner_text("#who-name") == "<b>ada</b>"
        for _ in server.deck.tasks:
            page.keyboard.press("d")
            for place in ("#left", "#right", "#question"):
                assert page.locator(f"{place} :is(script, img, h1, b, a, textarea)").count() == 0
            press(page, "3")
        assert page.errors == []


TEXTS = (
    "one\n\n```python\ndef f(x):\n    return x\n```\nand  two spaces\n",
    "~~~\nnever closed\n\n   indented",
    "````\n```\ninside\n```\n````\nafter",
    "本が棚にある。\n\u0e01\u0e02 a b",
    "\n\n",
    "``` not closed on one line ``` and on",
    "",
)


@pytest.mark.parametrize("marked", [False, True])
def test_every_character_stays_and_fenced_code_has_a_fixed_width(chromium: Any, tmp_path: Path, marked: bool) -> None:
    with ReviewServer(with_answers("x", "y"), Votes(tmp_path / "x.jsonl")) as server:
        page = entered(chromium, server)
        for one in TEXTS:
            for two in TEXTS:
                page.evaluate(
                    """([one, two, marked]) => renderBoth(
                        { element: at('left'), text: one }, { element: at('right'), text: two }, marked)""",
                    [one, two, marked],
                )
                for place, text in (("#left", one), ("#right", two)):
                    assert page.text_content(place) == (text or "an empty answer")
                    code = page.eval_on_selector_all(f"{place} pre code", "found => found.map(one => one.textContent)")
                    expected = re.findall(r"(?ms)^(?:````.*?^````\n|```\w+\n.*?^```\n|~~~\n.*)", text)
                    expected = [text] if text.startswith("``` not") else expected
                    assert code == expected


def test_what_only_one_answer_has_is_marked(chromium: Any, tmp_path: Path) -> None:
    case = with_answers("Pay the bill by Friday, please.", "Pay your bill by Monday noon, please.")
    with ReviewServer(case, Votes(tmp_path / "x.jsonl")) as server:
        page = entered(chromium, server)
        marks = "#left mark, #right mark"
        assert page.locator(marks).count() == 0
        page.keyboard.press("d")
        assert sorted(page.locator(marks).all_inner_texts()) == ["Friday", "Monday noon", "the", "your"]
        assert page.get_attribute("#differences", "aria-pressed") == "true"
        page.keyboard.press("d")
        assert page.locator(marks).count() == 0
        # Very long ones are compared by lines; and nothing hangs.
        page.evaluate("""() => {
            const lines = [...Array(900).keys()].map(n => `line ${n} of some words in a row`);
            const other = lines.map((line, n) => n % 300 === 5 ? line + ' more' : line);
            const text = ['x', ...other, 'y'].join('\\n');
            renderBoth({ element: at('left'), text: lines.join('\\n') }, { element: at('right'), text }, true);
        }""")
        marked = [text.strip() for text in page.locator("#left mark").all_inner_texts()]
        assert marked[:3] == [f"line {n} of some words in a row" for n in (5, 305, 605)]
        assert len(marked) <= 4  # and the last line, which ended the text


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (640, 430), (390, 844)], ids=["desk", "200%", "phone"])
def test_axe_finds_nothing_serious_on_any_screen_and_nothing_is_wider_than_it(
    chromium: Any, tmp_path: Path, scheme: str, width: int, height: int
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    def check(page: Any) -> None:
        found = Axe().run(page).response["violations"]
        assert [f"{one['id']}: {one['help']}" for one in found if one["impact"] in {"serious", "critical"}] == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    long = "word " * 300 + "x" * 500 + "\n```\n" + "code " * 100 + "\n```\n"
    turns = [{"role": "user", "content": long}, {"role": "assistant", "content": "which " * 200}]
    case = with_answers(long, f"{long} and more", messages=turns, tools=[{"function": {"name": "look" * 60}}])
    with ReviewServer(case, Votes(tmp_path / "x.jsonl")) as server:
        context = {"viewport": {"width": width, "height": height}, "color_scheme": scheme, "bypass_csp": True}
        page = opened(chromium, server.admin_url, **context, reduced_motion="reduce")
        page.wait_for_selector("#name:focus")
        check(page)
        page.fill("#name", "W" * 60)
        page.keyboard.press("Enter")
        page.wait_for_selector("#task:not([hidden])")
        ready(page)
        check(page)
        page.keyboard.press("d")
        check(page)
        page.context.set_offline(True)
        page.keyboard.press("2")
        page.wait_for_selector("#retry:focus")
        check(page)
        page.context.set_offline(False)
        page.keyboard.press("Enter")
        page.wait_for_selector("#done:not([hidden])")
        ready(page)
        check(page)
        page.click("#again")
        page.wait_for_selector('[data-choice="right"][aria-pressed="true"]')
        check(page)
        page.goto(server.url)
        page.wait_for_selector("#known button")
        check(page)
