"""The review's server over a real socket: who is let in, what is refused, what the browser learns, what a kill leaves."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.sdk.comparison_cases import comparison

from tuneport.evaluate.review.server import ReviewServer
from tuneport.evaluate.review.votes import Votes

CASE = comparison(("base local:starter", "triage", "third"), 60)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ReviewServer]:
    with ReviewServer(CASE, Votes(tmp_path / "x.votes.jsonl")) as running:
        yield running


class Browser:
    """A client that keeps its cookie, as a browser does."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookie = ""

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        data = json.dumps(body).encode() if body is not None and not isinstance(body, bytes) else body
        sent = {"Cookie": self.cookie, **({"Content-Type": "application/json"} if data else {}), **headers}
        connection.request(method, path, data, sent)
        reply = connection.getresponse()
        content = reply.read()
        found = dict(reply.getheaders())
        connection.close()
        value = json.loads(content) if "json" in found.get("Content-Type", "") and content else content
        return reply.status, value, found

    def enter(self, token: str) -> Browser:
        _, _, headers = self("GET", f"/?token={token}")
        self.cookie = headers.get("Set-Cookie", "").partition(";")[0]
        return self


def enter(server: ReviewServer) -> Browser:
    return Browser(server.port).enter(server.token)


def test_nothing_that_a_rater_gets_tells_who_answered(server: ReviewServer) -> None:
    browser = enter(server)
    got = [
        browser("GET", path)[1] for path in ("/", "/review.js", "/text.js", "/review.css", "/icon.svg", "/api/start")
    ]
    session = browser("GET", "/api/session?rater=ada")[1]
    ids = [task["id"] for task in session["tasks"]]
    told = [browser("GET", f"/api/task?id={name}&rater=ada")[1] for name in ids]
    told += [browser("POST", "/api/vote", {"rater": "ada", "task": name, "choice": "left"})[1] for name in ids[:4]]
    told += [browser("GET", f"/api/task?id={name}&rater=ada")[1] for name in ids[:4]]
    text = " ".join(part.decode() if isinstance(part, bytes) else json.dumps(part) for part in [*got, session, *told])
    for name in ("triage", "local:", "starter", '"base"', '"other"', '"winner"', '"A"', '"B"', "contender", "cmp-1"):
        assert name not in text, name
    assert not any(task.id in text for task in server.deck.tasks), "which can be worked out from the answers"
    assert len(set(ids)) == len(server.deck.tasks)
    # Neither the order of the ids, nor which side an answer stands on, goes with who gave it.
    hand = server.deck.hand("ada", 0)
    sides = [one.left == one.task.base for _, one in sorted(zip(ids, hand, strict=True), key=lambda pair: pair[0])]
    assert sides != sorted(sides) != sides[::-1]
    with ReviewServer(CASE, server.votes) as other:
        again = enter(other)("GET", "/api/session?rater=ada")[1]["tasks"]
    assert not {task["id"] for task in again} & set(ids)
    assert [task["choice"] for task in again] == ["left"] * 4 + [None] * (len(ids) - 4)


def test_a_judgement_is_on_disk_with_the_contender_it_meant(server: ReviewServer) -> None:
    browser = enter(server)
    task, dealt = browser("GET", "/api/session?rater=ada")[1]["tasks"][0], server.deck.hand("ada", 0)[0]
    winners = {"left": dealt.left, "right": dealt.right, "tie": None, "both-bad": None}
    for choice, winner in winners.items():
        body = {"rater": "ada", "task": task["id"], "choice": choice, "note": " hm ", "seconds": 2.5}
        assert browser("POST", "/api/vote", body)[:2] == (200, {"saved": True})
        (vote,) = Votes(server.votes.path).read().latest.values()
        assert (vote.winner, vote.choice, vote.note, vote.seconds) == (winner, choice, "hm", 2.5)
        seen = browser("GET", f"/api/task?id={task['id']}&rater=ada")[1]
        assert (seen["choice"], seen["note"]) == (choice, "hm")
    assert browser("GET", f"/api/task?id={task['id']}&rater=bo")[1]["choice"] is None


def test_a_name_is_one_however_it_is_spelt(server: ReviewServer) -> None:
    browser = enter(server)
    name = browser("GET", "/api/session?rater=%20Ada%20%20Lovelace")[1]["rater"]
    task = browser("GET", "/api/session?rater=Ada+Lovelace")[1]["tasks"][0]["id"]
    browser("POST", "/api/vote", {"rater": name, "task": task, "choice": "tie"})
    assert browser("GET", "/api/session?rater=ada+LOVELACE")[1]["rater"] == "Ada Lovelace"
    start = browser("GET", "/api/start")[1]
    assert (start["raters"], start["admin"]) == ([{"name": "Ada Lovelace", "judged": 1}], False)
    for bad in ("", "%20", "a%00b", "x" * 61, "%E2%80%AE"):
        assert browser("GET", f"/api/session?rater={bad}")[0] == 400


def test_only_the_owner_sees_what_it_comes_to(server: ReviewServer) -> None:
    rater, owner = enter(server), Browser(server.port).enter(server.admin_token)
    for name in ("ada", "bo"):
        for task in rater("GET", f"/api/session?rater={name}")[1]["tasks"]:
            rater("POST", "/api/vote", {"rater": name, "task": task["id"], "choice": "tie"})
    assert rater("GET", "/api/results")[0] == 404
    status, found, _ = owner("GET", "/api/results")
    assert (status, found["raters"], found["votes"]) == (200, 2, 2 * len(server.deck.tasks))
    assert {(pair["other"], pair["base"]) for pair in found["pairs"]} == {
        ("triage", "base local:starter"),
        ("third", "base local:starter"),
    }
    assert owner("GET", "/api/start")[1]["admin"]


VOTE = {"rater": "a", "task": "x", "choice": "left"}


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "reason"),
    [
        ("POST", "/api/vote", b"nonsense", {}, 400, "it is not JSON"),
        ("POST", "/api/vote", b"\xff\xfe", {}, 400, "it is not JSON"),
        ("POST", "/api/vote", b"[" * 20000, {}, 400, "no judgement"),
        ("POST", "/api/vote", b"[]", {}, 400, "no judgement"),
        ("POST", "/api/vote", VOTE, {}, 404, "reload the page"),
        ("POST", "/api/vote", {**VOTE, "choice": "up"}, {}, 400, "choice: "),
        ("POST", "/api/vote", {**VOTE, "rater": ""}, {}, 400, "rater: "),
        ("POST", "/api/vote", {**VOTE, "winner": "A"}, {}, 400, "winner: "),
        ("POST", "/api/vote", {**VOTE, "note": "x" * 5000}, {}, 400, "note: "),
        ("POST", "/api/vote", {**VOTE, "note": "\ud800"}, {}, 400, "note: "),
        ("POST", "/api/vote", {**VOTE, "seconds": float("nan")}, {}, 400, "seconds: "),
        ("POST", "/api/vote", b"x" * 70000, {}, 413, "at most"),
        ("POST", "/api/vote", b"{}", {"Content-Length": "-1"}, 413, "at most"),
        ("POST", "/api/vote", b"{}", {"Content-Length": "\u00b2"}, 413, "at most"),
        ("POST", "/api/vote", b"{}", {"Content-Length": "9" * 5000}, 413, "at most"),
        (
            "POST",
            "/api/vote",
            b"rater=a",
            {"Content-Type": "application/x-www-form-urlencoded"},
            415,
            "application/json",
        ),
        ("POST", "/api/else", {"a": 1}, {}, 404, "nothing here"),
        ("GET", "/etc/passwd", None, {}, 404, "nothing here"),
        ("GET", "/../server.py", None, {}, 404, "nothing here"),
        ("GET", "/review/", None, {}, 404, "nothing here"),
        ("GET", "//[", None, {}, 404, "nothing here"),
        ("GET", f"/?{'a=1&' * 50}", None, {}, 404, "nothing here"),
        ("GET", "/api/task?id=nothing&rater=a", None, {}, 404, "no such task"),
        ("GET", "/api/session", None, {}, 400, "a name has"),
        ("PUT", "/api/vote", VOTE, {}, 405, "PUT is not used here"),
        ("OPTIONS", "/api/vote", None, {}, 405, "OPTIONS is not used here"),
        ("BREW", "/", None, {}, 501, "Unsupported method"),
    ],
)
def test_what_is_wrong_is_refused_with_its_reason_and_nothing_is_kept(
    server: ReviewServer,
    capfd: pytest.CaptureFixture[str],
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str],
    status: int,
    reason: str,
) -> None:
    code, reply, sent = enter(server)(method, path, body, **headers)
    assert code == status
    assert reason in reply["error"]
    assert "default-src 'none'" in sent["Content-Security-Policy"]
    assert not server.votes.path.exists()
    assert enter(server)("GET", "/api/start")[0] == 200
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "path", ["/", "/review.js", "/api/start", "/api/session?rater=a", "/api/results", "/?token=guess", "/nothing"]
)
def test_nobody_gets_in_without_the_token(server: ReviewServer, path: str) -> None:
    stranger = Browser(server.port)
    for cookie in ("", f"tuneport-review-{server.port}=guess", "=;;\x01", f"tuneport-review-1={server.token}"):
        for method, body in (("GET", None), ("POST", VOTE), ("DELETE", None), ("OPTIONS", None)):
            assert stranger(method, path, body, Cookie=cookie)[0] == 403
    code, text, headers = stranger("GET", path, Accept="text/html")
    assert (code, headers["Content-Type"]) == (403, "text/plain; charset=utf-8")
    assert b"tuneport review" in text


def test_the_token_goes_from_the_address_into_a_cookie_that_no_script_reads(server: ReviewServer) -> None:
    code, page, headers = Browser(server.port)("GET", f"/?token={server.token}&rater=%22%3E%3Cscript%3E")
    assert code == 200
    assert b'url=/?rater=%22%3E%3Cscript%3E"' in page
    assert server.token.encode() not in page
    name, *flags = headers["Set-Cookie"].split("; ")
    assert (name, set(flags)) == (
        f"tuneport-review-{server.port}={server.token}",
        {"HttpOnly", "SameSite=Strict", "Path=/"},
    )
    _, _, headers = enter(server)("GET", "/")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Server"] == "tuneport"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 403),
        ("evil.example:80", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
        ("[", 403),
        ("localhost:9999", 200),  # through a tunnel
        ("LOCALHOST", 200),
        ("[::1]:80", 200),
    ],
)
def test_a_name_that_is_not_its_own_is_refused(server: ReviewServer, host: str, status: int) -> None:
    assert enter(server)("GET", "/", Host=host)[0] == status
    assert Browser(server.port)("GET", f"/?token={server.token}", Host=host)[0] == status


def test_it_listens_on_loopback_unless_told_and_then_by_this_machines_name(
    tmp_path: Path, server: ReviewServer
) -> None:
    assert urlsplit(server.url).hostname == "127.0.0.1"
    assert server.local
    with ReviewServer(CASE, Votes(tmp_path / "y.jsonl"), host="0.0.0.0") as everywhere:
        assert not everywhere.local
        assert urlsplit(everywhere.url).hostname == socket.gethostname().lower()
        browser = enter(everywhere)
        assert browser("GET", "/", Host=f"{socket.gethostname()}:1")[0] == 200
        assert browser("GET", "/", Host="evil.example")[0] == 403


def test_bodies_that_are_refused_do_not_become_the_next_request(server: ReviewServer) -> None:
    hidden = b"GET /api/start HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for cookie in (b"", enter(server).cookie.encode()):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
            head = (
                b"POST /api/vote HTTP/1.1\r\nHost: localhost\r\nCookie: "
                + cookie
                + b"\r\nContent-Length: 99999999\r\n\r\n"
            )
            line.sendall(head + hidden)
            reply = b""
            with contextlib.suppress(ConnectionResetError):  # what was never read is thrown away
                while part := line.recv(65536):
                    reply += part
        assert reply.count(b"HTTP/1.1 ") == 1
        assert b"Connection: close" in reply


def test_what_is_no_http_is_answered_without_a_traceback(
    server: ReviewServer, capfd: pytest.CaptureFixture[str]
) -> None:
    for data in (
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9\r\n\r\n",
        b"A" * 70000 + b"\r\n\r\n",
        b"POST ",
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
            line.sendall(data)
            line.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while line.recv(65536):
                    continue
    assert enter(server)("GET", "/api/start")[0] == 200
    assert capfd.readouterr().err == ""


def test_several_raters_at_once_lose_nothing(server: ReviewServer) -> None:
    codes: list[int] = []

    def rate(name: str) -> None:
        browser = enter(server)
        tasks = browser("GET", f"/api/session?rater={name}")[1]["tasks"]
        codes.extend(
            browser("POST", "/api/vote", {"rater": name, "task": task["id"], "choice": "tie"})[0] for task in tasks
        )

    threads = [threading.Thread(target=rate, args=(f"rater-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * (4 * len(server.deck.tasks))
    assert len(server.votes.read().latest) == len(codes)


def test_a_review_that_has_ended_answers_nobody_on_an_open_connection(tmp_path: Path) -> None:
    with ReviewServer(CASE, Votes(tmp_path / "x.jsonl")) as server:
        cookie = enter(server).cookie
        connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request("GET", "/api/start", headers={"Cookie": cookie})
        assert connection.getresponse().read()

    def again() -> None:
        connection.request("GET", "/api/start", headers={"Cookie": cookie})
        connection.getresponse()

    with pytest.raises(OSError):
        again()
    connection.close()


def test_a_judgement_that_cannot_be_written_is_not_called_saved(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    with ReviewServer(CASE, Votes(folder / "x.jsonl")) as server:
        browser = enter(server)
        task = browser("GET", "/api/session?rater=ada")[1]["tasks"][0]["id"]
        folder.rmdir()
        code, reply, _ = browser("POST", "/api/vote", {"rater": "ada", "task": task, "choice": "left"})
    assert (code, reply) == (507, {"error": "it could not be written: No such file or directory"})


def start(path: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tuneport.cli", "review", str(path), *words]
    environment = {**os.environ, "TUNEPORT_HOME": str(path.parent / "home"), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def said_json(child: subprocess.Popen[str]) -> dict[str, Any]:
    assert child.stdout is not None
    text = ""
    while not text.endswith("\n}\n"):
        line = child.stdout.readline()
        assert line, child.stderr.read() if child.stderr else ""
        text += line
    found: dict[str, Any] = json.loads(text)
    return found


def test_the_process_is_killed_and_nothing_that_was_saved_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    CASE.to_json(path)
    for rounds in (1, 2, 3):
        with start(path, "--json") as child:
            address = urlsplit(said_json(child)["url"])
            browser = Browser(address.port or 0).enter(parse_qs(address.query)["token"][0])
            tasks = browser("GET", "/api/session?rater=ada")[1]["tasks"]
            assert sum(task["choice"] is not None for task in tasks) == 7 * (rounds - 1)
            for task in [task for task in tasks if task["choice"] is None][:7]:
                assert browser("POST", "/api/vote", {"rater": "ada", "task": task["id"], "choice": "left"})[0] == 200
            child.send_signal(signal.SIGKILL)
        assert len(Votes.of(path).read().latest) == 7 * rounds


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_with_what_to_do_next(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "report.json"
    comparison(failing=True).to_json(path)
    with start(path, "--rater", "Ada") as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(2)]  # while it still says the rest
        child.send_signal(number)
        rest, errors = child.communicate(timeout=60)
    assert child.returncode == 0
    assert "pairs to judge; left out: " in lines[0]
    assert "10 that one has no answer to." in lines[0]
    assert "rater=Ada" in lines[1]
    assert "in the clear" not in "".join([*lines, rest])
    assert f"0 judgements by 0 saved in {path.with_suffix('.votes.jsonl')}" in errors
    assert f"tuneport review {path} --results" in errors
    assert "Traceback" not in errors


def test_letting_others_in_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    CASE.to_json(path)
    with start(path, "--host", "0.0.0.0") as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(5)]
        child.kill()
    assert "in the clear" in "".join(lines)


def test_a_port_that_is_taken_and_a_folder_that_is_not_ours_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuneport.cli.app import run

    path = tmp_path / "report.json"
    CASE.to_json(path)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit) as ended:
        run(["review", str(path), "--port", str(taken.getsockname()[1])])
    assert ended.value.code == 2
    assert "in use" in capsys.readouterr().err
    Votes.of(path).path.mkdir()
    with pytest.raises(SystemExit) as ended:
        run(["review", str(path)])
    assert ended.value.code == 2
    assert "report.votes.jsonl cannot be written (Is a directory)" in capsys.readouterr().err
