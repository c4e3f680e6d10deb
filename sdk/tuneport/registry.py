"""From `"<backend>:<model>"` to a backend, by entry point (group `tuneport.backends`), imported only when asked for."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from tuneport.backend import Backend, ChatSession, OpensModels
from tuneport.errors import NotInstalledError, SpecError, UnsupportedError
from tuneport.spec import ModelId
from tuneport.strict import suggest

GROUP = "tuneport.backends"
_EXTRAS = {"azure": "openai", "bedrock-openai": "openai"}  # which extra brings a backend, where it is not its name's
_loaded: dict[str, Backend] = {}
_sessions: dict[str, ChatSession] = {}
_lock = threading.RLock()


def available() -> dict[str, EntryPoint]:
    """Every registered backend by name; nothing is imported."""
    return {point.name: point for point in entry_points(group=GROUP)}


def get(name: str) -> Backend:
    """The backend of that name. SpecError if there is none, NotInstalledError if its packages are missing."""
    with _lock:
        if name not in _loaded:
            points = available()
            if name not in points:
                raise SpecError(f"no backend is named {name!r}: {suggest(name, points)}")
            try:
                _loaded[name] = cast("type[Backend]", points[name].load())()
            except ImportError as error:
                raise NotInstalledError(
                    f"the {name} backend needs a package that is not installed ({error.name or error}): "
                    f"pip install 'tuneport[{_EXTRAS.get(name, name)}]'",
                    extra=_EXTRAS.get(name, name),
                ) from error
        return _loaded[name]


def open_model(model: str, options: Mapping[str, Any] | None = None) -> ChatSession:
    """A session that answers for `"<backend>:<model>"`; one is kept for each model and reused. `options`: the backend's own."""
    parts = ModelId.split(model)
    backend = get(parts.backend)
    if not isinstance(backend, OpensModels):
        raise UnsupportedError(f"the {parts.backend} backend cannot chat with a model", feature="chat")
    key = _session_key(model, options)
    with _lock:
        if key not in _sessions:
            _sessions[key] = backend.open_model(parts.model, options)
        return _sessions[key]


def close_model(model: str, options: Mapping[str, Any] | None = None) -> None:
    """End the session of one model, where one is open: a local one then leaves its device to another."""
    with _lock:
        session = _sessions.pop(_session_key(model, options), None)
    if session is not None:
        session.close()


def _session_key(model: str, options: Mapping[str, Any] | None) -> str:
    return f"{model} {json.dumps(dict(options or {}), sort_keys=True, default=str)}"


def close_models() -> None:
    """End every open chat session (also done at exit, and by the sessions themselves when idle)."""
    with _lock:
        for session in _sessions.values():
            session.close()
        _sessions.clear()
