"""Each simulator as `tuneport simulate` starts it: on a port, by a fault script from a file, its clock running by itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tuneport_backends.simulators.clock import Clock
from tuneport_backends.simulators.faults import Faults

if TYPE_CHECKING:
    from tuneport_backends.simulators.bedrock import BedrockSimulator
    from tuneport_backends.simulators.openai import OpenAISimulator
    from tuneport_backends.simulators.vertex import VertexSimulator


def openai(*, port: int, faults: Path | None, speed: float) -> OpenAISimulator:
    from tuneport_backends.simulators.openai import OpenAISimulator

    return OpenAISimulator(Clock(speed), _script(faults), port=port).start()


def azure(*, port: int, faults: Path | None, speed: float) -> OpenAISimulator:
    from tuneport_backends.simulators.openai import OpenAISimulator

    return OpenAISimulator(Clock(speed), _script(faults), port=port, service="azure").start()


def bedrock_openai(*, port: int, faults: Path | None, speed: float) -> OpenAISimulator:
    from tuneport_backends.simulators.openai import OpenAISimulator

    return OpenAISimulator(Clock(speed), _script(faults), port=port, service="bedrock-openai").start()


def bedrock(*, port: int, faults: Path | None, speed: float) -> BedrockSimulator:
    from tuneport_backends.simulators.bedrock import BedrockSimulator

    return BedrockSimulator(Clock(speed), _script(faults), port=port).start()


def vertex(*, port: int, faults: Path | None, speed: float) -> VertexSimulator:
    from tuneport_backends.simulators.vertex import VertexSimulator

    return VertexSimulator(Clock(speed), _script(faults), port=port).start()


def _script(path: Path | None) -> Faults:
    return Faults() if path is None else Faults.load(path)
