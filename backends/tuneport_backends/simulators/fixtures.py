"""pytest fixtures, for everybody's tests: a simulator of the test's own, with the environment pointed at it.

    def test_ours(openai_simulator):
        job = FineTuneJob.create("openai:gpt-4.1-mini-2025-04-14", rows)
        openai_simulator.clock.advance(3600)
        assert job.wait().model.chat(messages).content == "what the rows taught"

Found by pytest through the entry point `tuneport_simulators`; it imports nothing but pytest until a fixture is asked for. With
a simulator comes a TUNEPORT_HOME of the test's own, so that no test writes into yours, and a fast poll. Close to an end date of
the catalog, set `TUNEPORT_NOW` too.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from tuneport_backends.simulators.base import Simulator
    from tuneport_backends.simulators.bedrock import BedrockSimulator
    from tuneport_backends.simulators.openai import OpenAISimulator
    from tuneport_backends.simulators.vertex import VertexSimulator


S = TypeVar("S", bound="Simulator")


@contextmanager
def _running(simulator: S, home: Path) -> Generator[S]:
    from tuneport import registry

    with simulator, simulator.pointed(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEPORT_HOME", str(home / "tuneport"))
        patch.delenv("TUNEPORT_DATABASE_URL", raising=False)
        patch.setenv("TUNEPORT_POLL_SECONDS", "0.02")
        try:
            yield simulator
        finally:
            registry.close_models()


@pytest.fixture
def openai_simulator(tmp_path: Path) -> Generator[OpenAISimulator]:
    from tuneport_backends.simulators.openai import OpenAISimulator

    with _running(OpenAISimulator(), tmp_path) as simulator:
        yield simulator


@pytest.fixture
def bedrock_simulator(tmp_path: Path) -> Generator[BedrockSimulator]:
    from tuneport_backends.simulators.bedrock import BedrockSimulator

    with _running(BedrockSimulator(), tmp_path) as simulator:
        yield simulator


@pytest.fixture
def vertex_simulator(tmp_path: Path) -> Generator[VertexSimulator]:
    from tuneport_backends.simulators.vertex import VertexSimulator

    with _running(VertexSimulator(), tmp_path) as simulator:
        yield simulator
