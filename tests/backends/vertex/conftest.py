"""The simulated Vertex AI, with Google's real SDKs pointed at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tuneport import registry
from tuneport_backends import vertex_service
from tuneport_backends.simulators.vertex import VertexSimulator
from tuneport_backends.vertex import VertexBackend

VARIABLES = (
    "TUNEPORT_VERTEX_BASE_URL",
    "TUNEPORT_VERTEX_BUCKET",
    "GOOGLE_VERTEX_BASE_URL",
    "GOOGLE_GENAI_USE_VERTEXAI",
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_CLOUD_LOCATION",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_API_KEY",
    "GEMINI_API_KEY",
    "STORAGE_EMULATOR_HOST",
)


@pytest.fixture
def samples(samples: SimpleNamespace) -> SimpleNamespace:
    return SimpleNamespace(**{**vars(samples), "chat": partial(samples.chat, system="Count.")})


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No variable and no login of the machine's own, and a day on which the models still take jobs."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "no-gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("TUNEPORT_NOW", "2026-10-01")
    monkeypatch.setenv("TUNEPORT_POLL_SECONDS", "0.02")
    yield
    vertex_service.close()


@pytest.fixture
def simulate(launch: Callable[..., Any]) -> Callable[..., VertexSimulator]:
    """`simulate(faults=[…])` starts one and points the environment at it."""
    return partial(launch, VertexSimulator)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request is repeated by the SDK, so that a fault is seen at once."""
    monkeypatch.setattr(vertex_service, "ATTEMPTS", 1)
    vertex_service.close()


@pytest.fixture
def backend() -> VertexBackend:
    return VertexBackend()


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """The backend under its name, whether or not the installed package has its entry point."""
    point = EntryPoint("vertex", "tuneport_backends.vertex:VertexBackend", registry.GROUP)
    known = registry.available()
    monkeypatch.setattr(registry, "available", lambda: {**known, "vertex": point})
    monkeypatch.setattr(registry, "_loaded", {})
    monkeypatch.setattr(registry, "_sessions", {})
