"""From `"<backend>:<model>"` to a backend, by entry point (group `tuneport.backends`), imported only when asked for."""

from __future__ import annotations

import threading
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from tuneport.backend import Backend, ChatSession, OpensModels
from tuneport.errors import NotInstalledError, SpecError, UnsupportedError
from tuneport.spec import ModelId
from tuneport.strict import suggest

GROUP = "tuneport.backends"
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
                    f"pip install 'tuneport[{name}]'",
                    extra=name,
                ) from error
        return _loaded[name]


def open_model(model: str) -> ChatSession:
    """A session that answers for `"<backend>:<model>"`; one is kept for each model and reused."""
    parts = ModelId.split(model)
    backend = get(parts.backend)
    if not isinstance(backend, OpensModels):
        raise UnsupportedError(f"the {parts.backend} backend cannot chat with a model", feature="chat")
    with _lock:
        if model not in _sessions:
            _sessions[model] = backend.open_model(parts.model)
        return _sessions[model]


def close_models() -> None:
    """End every open chat session (also done at exit, and by the sessions themselves when idle)."""
    with _lock:
        for session in _sessions.values():
            session.close()
        _sessions.clear()
