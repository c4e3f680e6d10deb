"""The simulated OpenAI and its like, with the real SDK pointed at them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from tuneport_backends.openai import AzureBackend, BedrockOpenAIBackend, OpenAIBackend
from tuneport_backends.openai_service import AZURE, BEDROCK, OPENAI
from tuneport_backends.simulators.openai import OpenAISimulator

LAMBDA = {"type": "lambda", "lambda": {"function": "arn:aws:lambda:us-west-2:123456789012:function:reward"}}


@pytest.fixture
def samples(samples: SimpleNamespace) -> SimpleNamespace:
    return SimpleNamespace(**vars(samples), grader_lambda=LAMBDA)


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine's own, and a day on which the providers still take jobs."""
    for service in (OPENAI, AZURE, BEDROCK):
        for name in (*service.keys, *service.places):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TUNEPORT_NOW", "2026-10-01")


@pytest.fixture
def simulate(launch: Callable[..., Any]) -> Callable[..., OpenAISimulator]:
    """`simulate(faults=[…])` starts one and points the environment at it."""
    return partial(launch, OpenAISimulator)


@pytest.fixture
def backend() -> OpenAIBackend:
    return OpenAIBackend()


@pytest.fixture
def azure() -> AzureBackend:
    return AzureBackend()


@pytest.fixture
def bedrock() -> BedrockOpenAIBackend:
    return BedrockOpenAIBackend()
