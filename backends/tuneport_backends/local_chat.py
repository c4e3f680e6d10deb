"""Answers from a local model in a child process, so that torch never loads into the application."""

from __future__ import annotations

import atexit
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from tuneport.errors import BackendError, DeviceBusyError, ModelError, TuneportError
from tuneport.home import home
from tuneport.result import Message

IDLE_SECONDS = 120.0


class LocalChat:
    """One child for one model. It starts with the first question, ends when idle, and starts again when asked again."""

    concurrency = 1  # the child answers in turn

    def __init__(self, path: Path, *, adapter: Path | None = None, device: str | None = None) -> None:
        self._path, self._adapter, self._device = path, adapter, device
        self._child: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._next = 0
        atexit.register(self.close)

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        temperature: float = 0.0,
        max_tokens: int = 256,
        tools: Sequence[Mapping[str, Any]] | None = None,
        seed: int | None = None,
    ) -> Message:
        """One answer. Raises DeviceBusyError while a job holds the device, BackendError where the child fails."""
        reply = self._request(
            {
                "messages": list(messages),
                "tools": list(tools) if tools else None,
                "temperature": temperature,
                "max_tokens": max_tokens,
                "seed": seed,
            }
        )
        return Message.model_validate(reply)

    def score(
        self, messages: Sequence[Mapping[str, Any]], answer: str, *, tools: Sequence[Mapping[str, Any]] | None = None
    ) -> tuple[float, int]:
        """Summed -ln p of `answer` after `messages`, and its tokens. BackendError where it is longer than the context."""
        reply = self._request({"messages": list(messages), "tools": list(tools) if tools else None, "answer": answer})
        return float(reply["nats"]), int(reply["tokens"])

    def score_text(self, text: str) -> tuple[float, int]:
        """Summed -ln p of a plain text, and its tokens."""
        reply = self._request({"text": text})
        return float(reply["nats"]), int(reply["tokens"])

    def _request(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            self._next += 1
            reply = self._ask({"id": self._next, **fields})
        if "error" in reply:
            raise BackendError(str(reply["error"]))
        return reply

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        line = json.dumps(request) + "\n"
        for fresh in (False, True):
            if fresh or self._child is None or self._child.poll() is not None:
                self._start()
            child = cast("subprocess.Popen[str]", self._child)
            try:
                cast("Any", child.stdin).write(line)
                cast("Any", child.stdin).flush()
                answer = cast("Any", child.stdout).readline()
            except BrokenPipeError:
                answer = ""
            if answer:
                return cast("dict[str, Any]", json.loads(answer))
            # It may have gone idle between our look and our question: ask a new one, once.
        raise BackendError(f"the process that answers for {self._path} ended without an answer.")

    def _start(self) -> None:
        self._stop()
        command = [sys.executable, "-m", "tuneport_local.generate", "--model", str(self._path), "--home", str(home())]
        command += ["--idle-seconds", str(IDLE_SECONDS)]
        if self._adapter is not None:
            command += ["--adapter", str(self._adapter)]
        if self._device is not None:
            command += ["--device", self._device]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        first = cast("Any", self._child.stdout).readline()
        hello = json.loads(first) if first else {"fatal": "it ended before it was ready"}
        if "fatal" in hello:
            self._stop()
            kinds: dict[str, type[TuneportError]] = {"DeviceBusyError": DeviceBusyError, "ModelError": ModelError}
            kind = kinds.get(str(hello.get("error")), BackendError)
            raise kind(str(hello["fatal"]))

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if child.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()  # end of input: the child leaves by itself
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout is not None:
            child.stdout.close()

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._stop()
