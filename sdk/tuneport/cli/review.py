"""`review`: a blind page for human judgement, and what it came to."""

from __future__ import annotations

import signal
import threading
import webbrowser
from pathlib import Path
from types import FrameType

import click

from tuneport.cli.output import console, json_option, print_json
from tuneport.errors import SpecError
from tuneport.evaluate.comparison import Comparison
from tuneport.evaluate.review.server import ReviewServer
from tuneport.evaluate.review.summary import judged, tally
from tuneport.evaluate.review.votes import Read, Votes


@click.command(
    epilog="Example: tuneport review report.json, and afterwards: tuneport review report.json --results",
)
@click.argument("comparison", type=click.Path(dir_okay=False), metavar="COMPARISON")
@click.option("--results", is_flag=True, help="No page: what was judged so far, also written into the report.")
@click.option("--rater", default=None, metavar="NAME", help="Print the address of this rater.")
@click.option(
    "--pairs",
    type=click.Choice(["first", "all"]),
    default="first",
    show_default=True,
    help="The first contender with each other, or all with all.",
)
@click.option("--rows", type=click.IntRange(min=1), default=None, help="At most so many rows, drawn by the seed.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Draws rows, order and sides.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Another than loopback lets others in.")
@click.option("--port", type=click.IntRange(min=0, max=65535), default=0, help="[default: a free one]")
@click.option("--open", "open_page", is_flag=True, help="Open it in a browser.")
@json_option
def review(
    comparison: str,
    results: bool,
    rater: str | None,
    pairs: str,
    rows: int | None,
    seed: int,
    host: str,
    port: int,
    open_page: bool,
    as_json: bool,
) -> int:
    """Judge the answers of COMPARISON (the .json that compare wrote) side by side, without seeing who gave them.

    Any number of people may judge at once; every click is saved beside COMPARISON. Rows with the same answer twice, and rows
    to which one has no answer, are left out. Ctrl-C ends it.
    """
    path = Path(comparison)
    found, votes = Comparison.load(path), Votes.of(path)
    if results:
        return _results(path, found, votes, as_json=as_json)
    try:
        votes.check()
        server = ReviewServer(
            found, votes, host=host, port=port, seed=seed, pairs="all" if pairs == "all" else "first", rows=rows
        )
    except OSError as error:
        if error.filename:
            raise SpecError(
                f"{votes.path} cannot be written ({error.strerror}), and judgements are kept there: copy {path} "
                "to a folder of yours."
            ) from None
        raise SpecError(
            f"--host {host} --port {port}: {error.strerror or error}; leave --port out for a free one."
        ) from None
    over = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        over.set()

    try:
        for number in before:
            signal.signal(number, end)
        with server:
            url = server.address(server.token, rater)
            _say(server, url, as_json=as_json)
            if open_page:
                webbrowser.open(url)
            while not over.wait(3600):
                continue
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    read = votes.read()
    said = f"{len(read.latest)} judgements by {len(read.raters)} saved in {votes.path}."
    click.echo(f"\n{said} What they come to: tuneport review {path} --results", err=True)
    return 0


def _say(server: ReviewServer, url: str, *, as_json: bool) -> None:
    deck, read = server.deck, server.votes.read()
    if as_json:
        said = {"url": url, "admin_url": server.admin_url, "tasks": len(deck.tasks), "same": deck.same}
        print_json({**said, "failed": deck.failed, "votes": str(server.votes.path), "broken_lines": read.broken})
        return
    left = [f"{deck.same} with the same answer twice"] * bool(deck.same)
    left += [f"{deck.failed} that one has no answer to"] * bool(deck.failed)
    pairs = f"{len(deck.tasks)} pair{'' if len(deck.tasks) == 1 else 's'} to judge"
    console.print(pairs + (f"; left out: {' and '.join(left)}." if left else "."), markup=False, soft_wrap=True)
    console.print("for raters:", url, style="bold", markup=False, soft_wrap=True)
    console.print("for you, with the results at the end:", server.admin_url, markup=False, soft_wrap=True)
    if not server.local:
        console.print(
            "Whoever has an address can judge, and it goes over the network in the clear: only where you trust the network.",
            style="yellow",
            soft_wrap=True,
        )
    _broken(server.votes, read)
    console.print(f"Every click is saved to {server.votes.path}. Ctrl-C ends it.", markup=False, soft_wrap=True)


def _results(path: Path, comparison: Comparison, votes: Votes, *, as_json: bool) -> int:
    read = votes.read()
    found = tally(comparison, read.latest.values())
    if not found.judgements:
        stale = f"; {found.stale} votes there are of answers that it no longer holds" if found.stale else ""
        raise SpecError(f"nobody has judged {path} yet ({votes.path}{stale}): tuneport review {path}")
    whole = judged(comparison, found.judgements)
    whole.to_json(path)
    written = [path]
    for suffix, write in ((".html", whole.to_html), (".md", whole.to_markdown)):
        if (beside := path.with_suffix(suffix)).exists():
            write(beside)
            written.append(beside)
    if as_json:
        print_json(
            {
                "judgements": [one.model_dump(mode="json") for one in found.judgements],
                "notes": [{"row": row, "rater": rater, "note": note} for row, rater, note in found.notes],
                "stale": found.stale,
                "broken_lines": read.broken,
                "written": [str(one) for one in written],
            }
        )
        return 0
    names = {one.key: one.name for one in comparison.contenders}
    for one in found.judgements:
        console.print(f"{names[one.other]} against {names[one.base]}: {one.words}", markup=False, soft_wrap=True)
    for row, rater, note in found.notes:
        console.print(f"  row {row}, {rater}: {note}", markup=False, soft_wrap=True, style="dim")
    if found.stale:
        text = f"{found.stale} votes are of answers that the comparison no longer holds: they count for nothing."
        console.print(text, style="yellow", soft_wrap=True)
    _broken(votes, read)
    console.print(f"written into {', '.join(map(str, written))}", markup=False, soft_wrap=True)
    return 0


def _broken(votes: Votes, read: Read) -> None:
    if read.broken:
        lines = ", ".join(map(str, read.broken[:8])) + (" …" if len(read.broken) > 8 else "")
        text = f"{votes.path}: left out, as cut off or damaged: line {lines}. Each was one click; all others are whole."
        console.print(text, style="yellow", markup=False, soft_wrap=True)
