"""URLs that cannot be read: the true cause is told, with the rule and what to do. Over real sockets on loopback."""

from __future__ import annotations

import http.server
import importlib.util
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tuneport.dataset import remote
from tuneport.dataset.sources import UnreadableError, open_source
from tuneport.errors import NotInstalledError

pytest.importorskip("aiohttp")


@contextmanager
def serving(status: int) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/data.jsonl?token=s3cret"
        finally:
            server.shutdown()


def refused(url: str) -> UnreadableError:
    with pytest.raises(UnreadableError) as caught:
        open_source(url)
    assert "s3cret" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (404, "file.missing", ["no such file", "404", "Check the address"]),
        (410, "file.missing", ["no such file", "410"]),
        (401, "file.unreadable", ["does not let", "401", "download"]),
        (403, "file.unreadable", ["does not let", "403", "signed"]),
        (429, "file.unreadable", ["429", "Try again later"]),
        (500, "file.unreadable", ["500", "Try again later"]),
        (503, "file.unreadable", ["503", "Try again later"]),
        (418, "file.unreadable", ["418", "Check the address"]),
    ],
)
def test_what_the_server_says_is_told(status: int, code: str, says: list[str]) -> None:
    with serving(status) as url:
        error = refused(url)
    assert error.code == code
    for words in says:
        assert words in str(error)
    assert ("no such file" in str(error)) == (code == "file.missing")


def test_a_host_that_refuses_the_connection() -> None:
    with socket.socket() as taken:  # bound and not listening: refused, and nobody else's
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        error = refused(f"http://127.0.0.1:{port}/data.jsonl?token=s3cret")
    assert error.code == "file.unreadable"
    assert f"127.0.0.1 refuses the connection on port {port}" in str(error)
    assert "no such file" not in str(error)


def test_a_host_that_nobody_knows() -> None:
    error = refused("https://no-such-host.invalid/data.jsonl?token=s3cret")
    assert error.code == "file.unreadable"
    assert "the name of no-such-host.invalid is not known" in str(error)


def test_a_host_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "TIMEOUTS", (5.0, 0.3))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        error = refused(f"http://127.0.0.1:{silent.getsockname()[1]}/data.jsonl?token=s3cret")
    assert error.code == "file.unreadable"
    assert "silent for too long" in str(error)
    assert "0.3 s for an answer" in str(error)


def test_a_certificate_or_a_server_that_speaks_no_tls() -> None:
    with serving(200) as url:
        error = refused(url.replace("http:", "https:"))
    assert error.code == "file.unreadable"
    assert "no such file" not in str(error)
    assert "127.0.0.1" in str(error)


@pytest.mark.parametrize(("scheme", "package"), [("s3", "s3fs"), ("gs", "gcsfs"), ("abfs", "adlfs")])
def test_a_scheme_whose_package_is_missing_says_what_to_type(scheme: str, package: str) -> None:
    if importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed")
    with pytest.raises(NotInstalledError, match=f"pip install {package}") as caught:
        open_source(f"{scheme}://bucket/data.jsonl")
    assert f"{scheme}://bucket/data.jsonl" in str(caught.value)


def test_a_scheme_that_nobody_knows() -> None:
    assert "nothing" in str(refused("nothing://host/data.jsonl"))


@pytest.mark.parametrize(
    "url", ["https:///data.jsonl", "https://", "http://[::1/data.jsonl", "http://127.0.0.1:99999/d.jsonl"]
)
def test_what_is_no_address_is_told_in_a_sentence(url: str) -> None:
    assert "it is not the address of a host" in str(refused(url))
