"""The review as a service: who judges what, what is saved, and what only its owner may see. `handler` speaks HTTP for it."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
import socket
import socketserver
import sys
import threading
import unicodedata
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any, Self
from urllib.parse import urlencode

from tuneport.evaluate.comparison import Comparison
from tuneport.evaluate.review.handler import Handler, Said
from tuneport.evaluate.review.summary import tally
from tuneport.evaluate.review.tasks import Dealt, Pairs, deck, shown
from tuneport.evaluate.review.votes import NAME, Vote, Votes


class ReviewServer:
    """`with ReviewServer(comparison, votes) as server: print(server.url)`. Safe for several raters at once.

    `url` is for raters, `admin_url` for its owner: with it the last page shows the results, contenders named. Both end with the
    process. Raises SpecError where there is nothing to judge, OSError where the address cannot be used.
    """

    def __init__(
        self,
        comparison: Comparison,
        votes: Votes,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
        pairs: Pairs = "first",
        rows: int | None = None,
    ) -> None:
        self.comparison, self.votes, self.seed, self.host = comparison, votes, seed, host
        self.deck = deck(comparison, pairs=pairs, rows=rows, seed=seed)
        self.token, self.admin_token = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        self._rows = {row.row: row for row in comparison.rows}
        # A task's own id can be worked out from the two answers, and tells which is the base. So the browser gets others.
        secret = secrets.token_bytes(32)
        self._aliases = {
            task.id: hmac.new(secret, task.id.encode(), hashlib.sha256).hexdigest()[:16] for task in self.deck.tasks
        }
        self._server = _Server(host, port, self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def local(self) -> bool:
        """Only programs on this machine can reach it."""
        return _loopback(str(self._server.server_address[0]))

    @property
    def names(self) -> set[str]:
        """What it may be called in an address: its own names. Any IP address will do, too, since none can be made to point
        elsewhere; another site's name can, which is how a page there would get at it."""
        mine = {"localhost", self.host.lower()}
        if not self.local:
            name = socket.gethostname().lower()
            mine |= {name, name.partition(".")[0], f"{name.partition('.')[0]}.local", socket.getfqdn().lower()}
        return mine

    def address(self, token: str, rater: str | None = None) -> str:
        """Where a browser finds it. Listening everywhere is no address: then by this machine's name."""
        host = socket.gethostname() if self.host in {"", "0.0.0.0", "::"} else self.host  # noqa: S104 (compared with)
        query = {"token": token} | ({"rater": rater} if rater else {})
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/?{urlencode(query)}"

    @property
    def url(self) -> str:
        return self.address(self.token)

    @property
    def admin_url(self) -> str:
        return self.address(self.admin_token)

    def role(self, token: str) -> str | None:
        """ "rater", "admin", or None for a token that is neither."""
        given = token.encode("utf-8", "replace")
        found = None
        for role, right in (("rater", self.token), ("admin", self.admin_token)):
            if hmac.compare_digest(given, right.encode()):
                found = role
        return found

    def rater(self, name: str) -> str | None:
        """A rater's name as it counts: in the spelling that was used first, so that Ada and ada are one. None for no name."""
        clean = " ".join(unicodedata.normalize("NFC", name).split())
        if not clean or len(clean) > NAME or not clean.isprintable():
            return None
        known = {one.casefold(): one for one in self.votes.read().raters}
        return known.get(clean.casefold(), clean)

    def start(self, *, admin: bool) -> dict[str, Any]:
        """For the first page: who has judged, and how many."""
        latest = self.votes.read().latest
        judged: dict[str, int] = {}
        for rater, task in latest:
            judged[rater] = judged.get(rater, 0) + (task in self._aliases)
        raters = [{"name": name, "judged": judged[name]} for name in sorted(judged, key=str.casefold)]
        return {"raters": raters, "tasks": len(self.deck.tasks), "admin": admin}

    def session(self, rater: str) -> dict[str, Any]:
        """One rater's tasks in order, each with what was said of it."""
        latest = self.votes.read().latest
        tasks = [
            {"id": self._aliases[task.id], "choice": vote.choice if (vote := latest.get((rater, task.id))) else None}
            for task in (dealt.task for dealt in self.deck.hand(rater, self.seed))
        ]
        return {"rater": rater, "tasks": tasks}

    def dealt(self, rater: str, alias: str) -> Dealt | None:
        return next((one for one in self.deck.hand(rater, self.seed) if self._aliases[one.task.id] == alias), None)

    def task(self, rater: str, dealt: Dealt) -> dict[str, Any]:
        """What is shown of a task, and what this rater has said of it before."""
        vote = self.votes.read().latest.get((rater, dealt.task.id))
        # Where the sides were drawn otherwise, under another seed, the earlier choice is told by who won.
        choice = None if vote is None else vote.choice
        if vote is not None and vote.winner is not None:
            choice = "left" if vote.winner == dealt.left else "right"
        return {
            "id": self._aliases[dealt.task.id],
            **shown(self._rows[dealt.task.row], dealt),
            "choice": choice,
            "note": vote.note if vote else "",
        }

    def say(self, rater: str, dealt: Dealt, said: Said) -> None:
        """Keep a judgement: on disk when it returns. Raises OSError where it could not be."""
        self.votes.add(
            Vote(
                rater=rater,
                task=dealt.task.id,
                row=dealt.task.row,
                left=dealt.left,
                right=dealt.right,
                choice=said.choice,
                winner={"left": dealt.left, "right": dealt.right}.get(said.choice),
                note=said.note.strip(),
                seconds=said.seconds,
            )
        )

    def results(self) -> dict[str, Any]:
        """What all raters said so far, contenders named: for the owner alone."""
        found = tally(self.comparison, self.votes.read().latest.values())
        names = {one.key: one.name for one in self.comparison.contenders}
        return {
            "raters": found.raters,
            "votes": found.votes,
            "pairs": [
                {
                    "other": names[one.other],
                    "base": names[one.base],
                    "words": one.words,
                    "counts": [one.other_wins, one.base_wins, one.ties, one.both_bad, one.unclear],
                }
                for one in found.judgements
            ],
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, review: ReviewServer) -> None:
        self.review = review
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _bound(review))

    def server_bind(self) -> None:
        # HTTPServer asks the network for this machine's name here, which can take long, and which nothing needs.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.review.host, int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Ends what is open, too: a browser keeps its connection, and would be served by a review that has ended."""
        super().server_close()
        with self._guard:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        error = sys.exception()
        if not isinstance(error, ConnectionError):  # a browser that has left is no error
            sys.stderr.write(f"review: a request from {client_address[0]} failed: {type(error).__name__}: {error}\n")


def _bound(review: ReviewServer) -> type[BaseHTTPRequestHandler]:
    return type("BoundHandler", (Handler,), {"review": review})


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
