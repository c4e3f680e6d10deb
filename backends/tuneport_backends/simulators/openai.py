"""A stand-in for OpenAI's fine-tuning on a loopback socket, for the real SDK: stateful, strict, driven by a clock.

    with OpenAISimulator() as simulator:
        os.environ.update(simulator.environment())
        ...                              # the openai package, tuneport, or curl
        simulator.clock.advance(600)     # jobs move through their states

It also stands in for Azure (`service="azure"`) and for Bedrock's OpenAI-compatible endpoint (`service="bedrock-openai"`).

Faults (see `faults`) name these operations: files.create, files.list, files.retrieve, files.delete, files.content,
uploads.create, uploads.part, uploads.complete, uploads.cancel, jobs.create, jobs.retrieve, jobs.list, jobs.cancel, jobs.pause,
jobs.resume, jobs.events, jobs.checkpoints, models.list, models.retrieve, models.delete, chat. `state` is met by jobs.retrieve
and jobs.list; `fail` and `never-ends` by jobs.create.

A tuned model has learnt its training rows by heart: asked one of their prompts it gives that row's answer, else a fixed
sentence; a base model gives another. `answer(model, messages)`, where given, speaks first; None leaves it at that.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from tuneport_backends.simulators.clock import Clock
from tuneport_backends.simulators.faults import Fault, Faults
from tuneport_backends.simulators.openai_http import Entry, Server
from tuneport_backends.simulators.openai_jobs import Timing
from tuneport_backends.simulators.openai_state import TUNABLE, Answer, Service, State

KEY = "sk-tuneport-simulator"
__all__ = ["KEY", "Entry", "OpenAISimulator", "Timing"]


class OpenAISimulator:
    """`listing_lag`: seconds before a new job is in the list. `closed`: creating is refused as to an organisation that may no
    longer tune (403 training_not_available). `models`: more that can be tuned, each with its methods."""

    def __init__(
        self,
        clock: Clock | None = None,
        faults: Faults | Sequence[Fault | Mapping[str, Any]] = (),
        *,
        api_key: str = KEY,
        host: str = "127.0.0.1",
        port: int = 0,
        service: Service = "openai",
        listing_lag: float = 0.0,
        timing: Timing | None = None,
        closed: bool = False,
        models: Mapping[str, Iterable[str]] | None = None,
        answer: Answer | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.faults = faults if isinstance(faults, Faults) else Faults(faults)
        self.service: Service = service
        self._address = (host, port)
        self._key = api_key
        self._state = State(
            clock=self.clock,
            faults=self.faults,
            timing=timing or Timing(),
            service=service,
            listing_lag=listing_lag,
            closed=closed,
            answer=answer,
            tunable={**TUNABLE, **{name: frozenset(methods) for name, methods in (models or {}).items()}},
        )
        self._server: Server | None = None
        self._log: list[Entry] = []
        self._failures: list[str] = []

    def start(self) -> Self:
        if self._server is None:
            self._server = Server(*self._address, self._state, self._key)
            self._server.log, self._server.failures = self._log, self._failures
            self._address = (self._address[0], self._server.server_port)  # started again, it is where it was
            threading.Thread(
                target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="openai-simulator", daemon=True
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
        """What the SDK is given as its base URL (Azure: as its endpoint)."""
        root = f"http://{self._address[0]}:{self._address[1]}"
        return root if self.service == "azure" else f"{root}/v1"

    def environment(self) -> dict[str, str]:
        """The variables that point the real SDK, and tuneport, at this simulator."""
        if self.service == "azure":
            return {"AZURE_OPENAI_ENDPOINT": self.url, "AZURE_OPENAI_API_KEY": self._key}
        if self.service == "bedrock-openai":
            return {
                "AWS_BEDROCK_BASE_URL": self.url,
                "AWS_BEARER_TOKEN_BEDROCK": self._key,
                "AWS_REGION": "us-west-2",
            }
        return {"OPENAI_BASE_URL": self.url, "OPENAI_API_KEY": self._key}

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
    def files(self) -> dict[str, bytes]:
        """The content of each file that is held, by its id."""
        with self._state.lock:
            return {name: file.content for name, file in self._state.files.held.items()}

    def deploy(self, name: str, model: str) -> None:
        """Azure: what its control plane would do. Chat then knows `name`."""
        with self._state.lock:
            self._state.deployments[name] = model
