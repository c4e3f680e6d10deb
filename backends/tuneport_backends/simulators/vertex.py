"""A stand-in for Vertex AI's tuning, with the Cloud Storage that it needs, on a loopback socket, for Google's real SDKs.

    with VertexSimulator() as simulator, simulator.pointed():
        ...                              # google-genai, google-cloud-storage, tuneport, or curl
        simulator.clock.advance(600)     # jobs move through their states

Every request is held against google.genai.types, in either key case. Rows are read by the simulator's own rules: a wrong one
fails the job while its data is processed.

Fault scripts and the log name its requests as `VertexSimulator.operations` does; docs/simulators.md says more of both.

A tuned model has learnt its training rows by heart: asked one of their prompts it gives that row's answer, else a fixed
sentence; a base model gives another. `answer(model, contents)`, where given, speaks first; None leaves it at that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tuneport_backends.simulators.base import Simulator
from tuneport_backends.simulators.clock import Clock
from tuneport_backends.simulators.faults import Fault, Faults
from tuneport_backends.simulators.vertex_gcs import Objects
from tuneport_backends.simulators.vertex_http import ROUTES, Server
from tuneport_backends.simulators.vertex_jobs import Timing
from tuneport_backends.simulators.vertex_state import BASE, UNLEARNT, Answer, State
from tuneport_backends.simulators.wire import Entry

PROJECT = "tuneport-simulated"
BUCKET = "tuneport-simulated"
LOCATION = "us-central1"
__all__ = ["BASE", "BUCKET", "LOCATION", "PROJECT", "UNLEARNT", "Entry", "Timing", "VertexSimulator"]


class VertexSimulator(Simulator):
    """`listing_lag`: seconds before a new job is in the list. `filters`: whether the list takes a filter. `buckets`: each with
    its location; one more is always there. `locations`: where tuning is offered.

    google-genai by itself takes GOOGLE_VERTEX_BASE_URL, and asks for credentials all the same: it finds a login of gcloud's
    where there is one. tuneport shows a stand-in on this machine a token that is none.
    """

    name = "vertex"
    operations = ROUTES.operations
    blank = ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_API_KEY", "GEMINI_API_KEY")

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
        super().__init__(clock, faults, (host, port))
        self.project, self.location = project, location
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

    def _serve(self, address: tuple[str, int]) -> Server:
        return Server(address, self._log, self.faults, self._state)

    @property
    def parent(self) -> str:
        return f"projects/{self.project}/locations/{self.location}"

    def _variables(self) -> Mapping[str, str]:
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
    def jobs(self) -> list[dict[str, Any]]:
        with self._state.lock:
            return [self._state.job(name) for name in self._state.jobs]

    @property
    def objects(self) -> dict[str, bytes]:
        """The content of each object that is held, by its address."""
        with self._state.lock:
            return {f"gs://{held.bucket}/{held.name}": held.content for held in self._state.objects.held.values()}
