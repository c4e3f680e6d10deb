"""A stand-in for Vertex AI's tuning, with the Cloud Storage that it needs, on a loopback socket, for Google's real SDKs.

    with VertexSimulator() as simulator:
        os.environ.update(simulator.environment())
        ...                              # google-genai, google-cloud-storage, tuneport, or curl
        simulator.clock.advance(600)     # jobs move through their states

Every request is held against google.genai.types, in either key case. Rows are read by the simulator's own rules: a wrong one
fails the job while its data is processed.

Faults (see `faults`) name these operations: jobs.create, jobs.get, jobs.list, jobs.cancel, generate, endpoints.get,
endpoints.undeploy, endpoints.delete, models.get, models.delete, gcs.upload, gcs.get, gcs.list, gcs.delete, gcs.bucket.
`state` is met by jobs.get and jobs.list; `fail` and `never-ends` by jobs.create.

A tuned model has learnt its training rows by heart: asked one of their prompts it gives that row's answer, else a fixed
sentence; a base model gives another. `answer(model, contents)`, where given, speaks first; None leaves it at that.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from tuneport_backends.simulators.clock import Clock
from tuneport_backends.simulators.faults import Fault, Faults
from tuneport_backends.simulators.vertex_gcs import Objects
from tuneport_backends.simulators.vertex_http import Entry, Server
from tuneport_backends.simulators.vertex_jobs import Timing
from tuneport_backends.simulators.vertex_state import BASE, UNLEARNT, Answer, State

PROJECT = "tuneport-simulated"
BUCKET = "tuneport-simulated"
LOCATION = "us-central1"
__all__ = ["BASE", "BUCKET", "LOCATION", "PROJECT", "UNLEARNT", "Entry", "Timing", "VertexSimulator"]


class VertexSimulator:
    """`listing_lag`: seconds before a new job is in the list. `filters`: whether the list takes a filter. `buckets`: each with
    its location; one more is always there. `locations`: where tuning is offered."""

    def __init__(
        self,
        clock: Clock | None = None,
        faults: Faults | Sequence[Fault | Mapping[str, Any]] = (),
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        project: str = PROJECT,
        location: str = LOCATION,
        locations: Iterable[str] = (LOCATION, "europe-west4"),
        listing_lag: float = 0.0,
        filters: bool = True,
        timing: Timing | None = None,
        buckets: Mapping[str, str] | None = None,
        answer: Answer | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.faults = faults if isinstance(faults, Faults) else Faults(faults)
        self.project, self.location = project, location
        self._address = (host, port)
        self._state = State(
            clock=self.clock,
            faults=self.faults,
            timing=timing or Timing(),
            objects=Objects(self.clock, {BUCKET: location, **(buckets or {})}),
            project=project,
            locations=frozenset(locations),
            listing_lag=listing_lag,
            filters=filters,
            answer=answer,
        )
        self._server: Server | None = None
        self._log: list[Entry] = []
        self._failures: list[str] = []

    def start(self) -> Self:
        if self._server is None:
            self._server = Server(*self._address, self._state)
            self._server.log, self._server.failures = self._log, self._failures
            self._address = (self._address[0], self._server.server_port)  # started again, it is where it was
            threading.Thread(
                target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="vertex-simulator", daemon=True
            ).start()
        return self

    def stop(self) -> None:
        """Closes the port and every connection. What it holds stays, for a later start."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        with server.noted:
            open_connections = list(server.connections)
        for connection in open_connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed by its client meanwhile
        server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://{self._address[0]}:{self._address[1]}"

    @property
    def parent(self) -> str:
        return f"projects/{self.project}/locations/{self.location}"

    def environment(self) -> dict[str, str]:
        """The variables that point tuneport and Google's SDKs at this simulator, with no credentials of yours.

        google-genai by itself takes GOOGLE_VERTEX_BASE_URL and asks for credentials all the same; tuneport shows a stand-in
        on this machine a token that is none.
        """
        return {
            "TUNEPORT_VERTEX_BASE_URL": self.url,
            "TUNEPORT_VERTEX_BUCKET": f"gs://{BUCKET}/tuneport",
            "GOOGLE_VERTEX_BASE_URL": self.url,
            "GOOGLE_GENAI_USE_VERTEXAI": "true",
            "GOOGLE_CLOUD_PROJECT": self.project,
            "GOOGLE_CLOUD_LOCATION": self.location,
            "STORAGE_EMULATOR_HOST": self.url,
        }

    @property
    def log(self) -> list[Entry]:
        """Every request so far, oldest first."""
        return list(self._log)

    @property
    def failures(self) -> list[str]:
        """What went wrong in the simulator itself: a request that it neither answered nor refused. Empty, or a bug here."""
        return list(self._failures)

    def requests(self, operation: str) -> list[Entry]:
        """Those of one operation."""
        return [entry for entry in self.log if entry.operation == operation]

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """Every job that was ever created, oldest first, as the service would show it now."""
        with self._state.lock:
            return [self._state.job(name) for name in self._state.jobs]

    @property
    def objects(self) -> dict[str, bytes]:
        """The content of each object that is held, by its address."""
        with self._state.lock:
            return {f"gs://{held.bucket}/{held.name}": held.content for held in self._state.objects.held.values()}
