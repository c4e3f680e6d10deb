"""HTTP for the review: a token for every request, names checked, sizes bounded, and every refusal in words.

The token stands in the address that is printed, and from the first visit on in a cookie that no script and no other site can
use. A request that names another host is refused: a page elsewhere could have made its own name point here.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tuneport.evaluate.review.votes import NAME, NOTE, Choice

if TYPE_CHECKING:
    from tuneport.evaluate.review.server import ReviewServer

_HERE = Path(__file__).parent
_FILES = {
    "/": ("page.html", "text/html"),
    "/review.css": ("review.css", "text/css"),
    "/review.js": ("review.js", "text/javascript"),
    "/text.js": ("text.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_MOST = 64 * 1024  # bytes of a request
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# A browser that follows a link from another site sends no SameSite=Strict cookie to where that link is redirected. A page of
# our own that goes on by itself counts as ours.
_ENTER = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
    '<title>Which answer is better?</title><link rel="icon" href="/icon.svg"><meta http-equiv="refresh" content="0; url={0}">'
    '<p><a href="{0}">Go on</a></p></html>'
)


class Said(BaseModel):
    """What a click sends."""

    model_config = ConfigDict(extra="forbid")

    rater: str = Field(min_length=1, max_length=NAME)
    task: str
    choice: Choice
    note: str = Field(default="", max_length=NOTE)
    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class Handler(BaseHTTPRequestHandler):
    """One connection. `review` is set by the server that makes it."""

    review: ClassVar[ReviewServer]
    protocol_version = "HTTP/1.1"
    timeout = 30  # seconds without a byte

    def do_GET(self) -> None:
        path, query = self._asked()
        if path == "/" and "token" in query:
            self._enter(query)
        elif (role := self._admitted()) is None:
            return
        elif path in _FILES:
            name, kind = _FILES[path]
            self._reply(200, (_HERE / name).read_bytes(), f"{kind}; charset=utf-8")
        elif path == "/api/start":
            self._json(200, self.review.start(admin=role == "admin"))
        elif path == "/api/results" and role == "admin":
            self._json(200, self.review.results())
        elif path in {"/api/session", "/api/task"}:
            self._rater(path, query)
        else:
            self._json(404, {"error": "there is nothing here"})

    def do_POST(self) -> None:
        path, _ = self._asked()
        if self._admitted() is None:
            return
        body = self._body()
        if body is None:
            return
        if path != "/api/vote":
            self._json(404, {"error": "there is nothing here"})
            return
        if self.headers.get_content_type() != "application/json":  # which no form on another site can send
            self._json(415, {"error": "a judgement is sent as application/json"})
            return
        try:
            said = Said.model_validate(json.loads(body))
        except (ValueError, RecursionError) as error:
            self._json(400, {"error": f"this is no judgement: {_reason(error)}"})
            return
        rater = self.review.rater(said.rater)
        dealt = self.review.dealt(rater, said.task) if rater else None
        if rater is None or dealt is None:
            self._json(404, {"error": "there is no such rater or task: reload the page"})
            return
        try:
            self.review.say(rater, dealt, said)
        except OSError as error:
            self._json(507, {"error": f"it could not be written: {error.strerror or error}"})
            return
        self._json(200, {"saved": True})

    def _other(self) -> None:
        if self._admitted() is not None:
            self._json(405, {"error": f"{self.command} is not used here"}, {"Allow": "GET, POST"})

    do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = _other  # noqa: N815 (the library's names)

    def _enter(self, query: Mapping[str, str]) -> None:
        """The address that was printed: the token goes into the cookie, and out of the address."""
        if not self._ours() or self.review.role(query["token"]) is None:
            self._refuse()
            return
        rater = query.get("rater", "")
        target = f"/?{urlencode({'rater': rater})}" if rater else "/"
        cookie = f"{self._cookie}={query['token']}; HttpOnly; SameSite=Strict; Path=/"
        page = _ENTER.format(html.escape(target, quote=True))
        self._reply(200, page.encode(), "text/html; charset=utf-8", {"Set-Cookie": cookie})

    def _rater(self, path: str, query: Mapping[str, str]) -> None:
        rater = self.review.rater(query.get("rater", ""))
        if rater is None:
            self._json(400, {"error": f"a name has 1 to {NAME} characters, and is given first"})
        elif path == "/api/session":
            self._json(200, self.review.session(rater))
        elif (dealt := self.review.dealt(rater, query.get("id", ""))) is not None:
            self._json(200, self.review.task(rater, dealt))
        else:
            self._json(404, {"error": "there is no such task: reload the page"})

    @property
    def _cookie(self) -> str:
        # Cookies know no ports: two reviews on one machine would take each other's.
        return f"tuneport-review-{self.review.port}"

    def _asked(self) -> tuple[str, Mapping[str, str]]:
        try:
            parts = urlsplit(self.path)
            return parts.path, {name: values[0] for name, values in parse_qs(parts.query, max_num_fields=20).items()}
        except ValueError:
            return "", {}  # nothing is there

    def _admitted(self) -> str | None:
        """ "rater" or "admin". None where the request was refused."""
        try:
            found = SimpleCookie(self.headers.get("Cookie", "")).get(self._cookie)
        except CookieError:
            found = None
        role = self.review.role(found.value) if found is not None else None
        if role is None or not self._ours():
            self._refuse()
            return None
        return role

    def _ours(self) -> bool:
        """`Host` names this machine by an IP address, or by a name that is its own. Ports may differ, as through a tunnel."""
        try:
            name = (urlsplit(f"//{self.headers.get('Host', '')}").hostname or "").rstrip(".")
        except ValueError:
            return False
        return name in self.review.names or _is_address(name)

    def _refuse(self) -> None:
        self.close_connection = True  # what it has still to send is not read
        text = "open the address that `tuneport review` printed last: its token lets you in"
        if "text/html" in self.headers.get("Accept", ""):  # somebody who looks at it
            self._reply(403, f"Not this way: {text}.\n".encode(), "text/plain; charset=utf-8")
        else:
            self._json(403, {"error": text})

    def _body(self) -> bytes | None:
        """What was sent. None where it was refused: too long, or of no stated length."""
        length = self.headers.get("Content-Length", "")
        if length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= _MOST:
            return self.rfile.read(int(length))
        self.close_connection = True
        status = 413 if length else 411
        self._json(status, {"error": f"a judgement has at most {_MOST:,} bytes, and says how many (Content-Length)"})
        return None

    def _json(self, status: int, value: Any, extra: Mapping[str, str] | None = None) -> None:
        self._reply(status, json.dumps(value).encode(), "application/json", extra)

    def _reply(self, status: int, body: bytes, kind: str, extra: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        own = {"Content-Type": kind, "Content-Length": str(len(body))}
        if self.close_connection:
            own["Connection"] = "close"
        for name, value in {**_HEADERS, **own, **(extra or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """What is no HTTP, or an unknown method: the library's own page would come without our headers."""
        self.close_connection = True
        self._json(code, {"error": message or "this is no request"})

    def version_string(self) -> str:
        return "tuneport"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the library's name)
        """Nothing: the address in a log would hold the token."""


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg']}" if where else first["msg"]
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return f"it is not JSON ({error})"


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
