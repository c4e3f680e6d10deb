"""A stand-in for OpenAI's fine-tuning on a loopback socket, for the real SDK: stateful, strict, driven by a clock.

    with OpenAISimulator() as simulator, simulator.pointed():
        ...                              # the openai package, tuneport, or curl
        simulator.clock.advance(600)     # jobs move through their states

It also stands in for Azure (`service="azure"`) and for Bedrock's OpenAI-compatible endpoint (`service="bedrock-openai"`).

Fault scripts and the log name its requests as `OpenAISimulator.operations` does; docs/simulators.md says more of both.

A tuned model has learnt its training rows by heart: asked one of their prompts it gives that row's answer, else a fixed
sentence; a base model gives another. `answer(model, messages)`, where given, speaks first; None leaves it at that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tuneport_backends.simulators.base import Simulator
from tuneport_backends.simulators.clock import Clock
from tuneport_backends.simulators.faults import Fault, Faults
from tuneport_backends.simulators.openai_azure import MANAGEMENT, PLACE, Standing
from tuneport_backends.simulators.openai_http import ROUTES, Server
from tuneport_backends.simulators.openai_jobs import Timing
from tuneport_backends.simulators.openai_state import TUNABLE, Answer, Service, State
from tuneport_backends.simulators.wire import Entry

KEY = "sk-tuneport-simulator"
__all__ = ["KEY", "Entry", "OpenAISimulator", "Timing"]


class OpenAISimulator(Simulator):
    """`listing_lag`: seconds before a new job is in the list. `closed`: creating is refused as to an organisation that may no
    longer tune (403 training_not_available). `models`: more that can be tuned, each with its methods."""

    name = "openai"
    operations = ROUTES.operations
    blank = (
        *("AZURE_OPENAI_AD_TOKEN", "OPENAI_ADMIN_KEY"),
        *("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS"),  # every class of the SDK sends them
    )

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
        super().__init__(clock, faults, (host, port))
        self.service: Service = service
        self._key = api_key
        self._state = State(
            clock=self.clock,
            faults=self.faults,
            timing=timing or Timing(),
            service=service,
            listing_lag=listing_lag,
            closed=closed,
            answer=answer,
            tunable={**TUNABLE[service], **{name: frozenset(methods) for name, methods in (models or {}).items()}},
        )

    def _serve(self, address: tuple[str, int]) -> Server:
        return Server(address, self._log, self.faults, self._state, self._key)

    @property
    def url(self) -> str:
        """What the SDK is given as its base URL (Azure: as its endpoint)."""
        return super().url if self.service == "azure" else f"{super().url}/v1"

    def _variables(self) -> Mapping[str, str]:
        if self.service == "azure":
            return {
                "AZURE_OPENAI_ENDPOINT": self.url,
                "AZURE_OPENAI_API_KEY": self._key,
                "TUNEPORT_AZURE_MANAGEMENT_URL": self.url,
                "AZURE_MANAGEMENT_TOKEN": MANAGEMENT,
                **PLACE,
            }
        if self.service == "bedrock-openai":
            return {
                "AWS_BEDROCK_BASE_URL": self.url,
                "AWS_BEARER_TOKEN_BEDROCK": self._key,
                "AWS_REGION": "us-west-2",
            }
        return {"OPENAI_BASE_URL": self.url, "OPENAI_API_KEY": self._key}

    @property
    def jobs(self) -> list[dict[str, Any]]:
        with self._state.lock:
            return [self._state.job(name) for name in self._state.jobs]

    @property
    def files(self) -> dict[str, bytes]:
        """The content of each file that is held, by its id."""
        with self._state.lock:
            return {name: file.content for name, file in self._state.files.held.items()}

    def deploy(self, name: str, model: str) -> None:
        """Azure: a deployment of any model that stands at once, as if it had been made before. Chat then knows `name`."""
        with self._state.lock:
            now = self.clock.seconds()
            self._state.deployments[name] = Standing(name, model, "Standard", 1, now - self._state.timing.deploying)
