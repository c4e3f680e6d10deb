"""A child that checks blocks, started by `scan`. It reads a context, then blocks, and answers each."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
from typing import IO, Any

_LENGTH = 8  # bytes before each message, in which its length stands


def write_message(stream: IO[bytes], value: Any) -> None:
    body = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(len(body).to_bytes(_LENGTH, "little"))
    stream.write(body)
    stream.flush()


def read_message(stream: IO[bytes]) -> Any:
    """The next message; EOFError where the other side is gone."""
    head = stream.read(_LENGTH)
    if len(head) < _LENGTH:
        raise EOFError
    return pickle.loads(stream.read(int.from_bytes(head, "little")))


def serve(reading: IO[bytes], writing: IO[bytes]) -> None:
    from tuneport.dataset.scan import look, make

    context, names = read_message(reading)
    checks, _ = make(context, names)
    gc.disable()  # rows hold no cycles; what little else there is, is collected after each block
    while True:
        try:
            block, split = read_message(reading)
        except EOFError:
            return
        try:
            answer: Any = look(block, split, checks, context.group_key)
        except Exception as error:  # noqa: BLE001  raised again where the answer is read
            answer = error
        write_message(writing, answer)
        del answer
        gc.collect(1)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer: it closes our input, and we end
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    serve(sys.stdin.buffer, answers)
