"""Asking: every contender the same questions, several at a time, each answer kept as it comes.

Answers are kept under `$TUNEPORT_HOME/answers`, a file for each contender (what it is, what stands before the question, the
decoding) and a line for each answer. So a comparison that dies goes on where it was, and another comparison with the same
contender on the same rows pays for nothing again. What was under way when a process was killed is asked again.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tuneport import registry
from tuneport.backend import ChatSession, Scores
from tuneport.errors import (
    AccessDeniedError,
    BackendError,
    BudgetExceededError,
    CredentialsError,
    DeviceBusyError,
    ModelError,
    NotDeployedError,
    NotInstalledError,
    RateLimitedError,
    RemoteNotFoundError,
    TuneportError,
    UnavailableError,
    UnsupportedError,
)
from tuneport.evaluate.comparison import Answer
from tuneport.evaluate.contenders import Entrant
from tuneport.evaluate.questions import Question, digest
from tuneport.home import home

CONCURRENCY = 8  # questions under way at once, where the session does not say how many it bears
_ATTEMPTS = 5
_LONGEST_WAIT = 60.0  # seconds between two attempts
# Nothing that asking the next row would change.
_HOPELESS = (
    AccessDeniedError,
    CredentialsError,
    DeviceBusyError,
    ModelError,
    NotDeployedError,
    NotInstalledError,
    RemoteNotFoundError,
    UnsupportedError,
)


@dataclass(frozen=True)
class Decoding:
    """How every contender writes its answers. `seed` is sent only where there is chance in it, to those that take one."""

    temperature: float = 0.0
    max_tokens: int = 256
    seed: int | None = None


class Kept(BaseModel):
    """One line of a contender's file: an answer, and how likely the expected one was, where the model can say that."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    key: str
    occurrence: int
    answer: Answer
    concurrency: int = 1
    scored: bool = Field(default=False, description="whether `nats` was asked for; None then: the model could not say")
    nats: float | None = Field(default=None, description="of the expected answer, summed over its tokens: -ln p")
    nats_tokens: int | None = None


class Journal:
    """The kept answers of one contender under one decoding. Appending is safe for threads and processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept: dict[tuple[str, int], Kept] = {}
        if path.exists():
            for line in path.read_bytes().split(b"\n"):
                # The last line may be cut short by a kill: its answer is asked for again.
                with contextlib.suppress(ValueError):
                    one = Kept.model_validate(json.loads(line))
                    self.kept[one.key, one.occurrence] = one

    @classmethod
    def of(cls, entrant: Entrant, decoding: Decoding) -> Journal:
        name = digest([entrant.identity, decoding.temperature, decoding.max_tokens, decoding.seed])
        return cls(home() / "answers" / f"{name[:40]}.jsonl")

    def add(self, one: Kept) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # One write with O_APPEND, begun by a line end, so that a line that a kill has cut stays one line.
        data = f"\n{json.dumps(one.model_dump(mode='json', exclude_none=True))}\n".encode()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)
        self.kept[one.key, one.occurrence] = one


@dataclass
class Budget:
    """What may still be spent, over all contenders together. `limit` None: no cap."""

    limit: float | None
    spent: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def spend(self, amount: float) -> None:
        with self._lock:
            self.spent += amount

    def check(self) -> None:
        if self.limit is not None and self.spent >= self.limit:
            raise BudgetExceededError(
                f"{self.spent:.4f} USD are spent, and the cap is {self.limit:g}: stopped. What was answered is kept: the same "
                "command with a higher budget goes on from here."
            )


Price = Callable[[int, int], float]  # prompt and completion tokens to US dollars


def ask(
    entrant: Entrant,
    questions: Sequence[Question],
    decoding: Decoding,
    journal: Journal,
    *,
    concurrency: int | None = None,
    scored: bool = False,
    price: Price | None = None,
    budget: Budget | None = None,
    progress: Callable[[int], None] | None = None,
    only_first: bool = False,
) -> dict[tuple[str, int], Kept]:
    """Ask what the journal does not have yet; the answers by question. A row that fails is an answer with its `error`, and is
    not kept, so that the next run asks it again. `scored`: also the log-probability of the expected answer, where the model
    can say it. `only_first`: one question, to see that it answers at all.

    Raises what no other row would mend (credentials, a model that is not deployed), and BudgetExceededError at the cap.
    """
    missing = [q for q in questions if (q.key, q.occurrence) not in journal.kept]
    if scored and entrant.model is not None:
        unscored = [q for q in questions if q.expected and not _scored(journal.kept.get((q.key, q.occurrence)))]
        if unscored and isinstance(registry.open_model(entrant.model, entrant.options), Scores):
            missing = [q for q in questions if q in missing or q in unscored]
        else:
            scored = False
    missing = missing[:1] if only_first else missing
    found: dict[tuple[str, int], Kept] = {}
    if missing and entrant.model is not None:
        session = registry.open_model(entrant.model, entrant.options)
        width = min(_width(session), concurrency or CONCURRENCY)
        asking = _Asking(session, entrant, decoding, width, scored, price, budget or Budget(None))
        for kept in asking.all(missing):
            if kept.answer.failed:
                found[kept.key, kept.occurrence] = kept
            else:
                journal.add(kept)
            if progress is not None:
                progress(1)
    for question in questions:
        where = question.key, question.occurrence
        if where in journal.kept and where not in found:
            found[where] = journal.kept[where]
    return found


def remote(entrant: Entrant) -> bool:
    """Whether it is asked over a network, several questions at a time."""
    return entrant.model is not None and _width(registry.open_model(entrant.model, entrant.options)) > 1


def _width(session: ChatSession) -> int:
    return int(getattr(session, "concurrency", CONCURRENCY))


def _scored(kept: Kept | None) -> bool:
    return kept is not None and kept.scored


@dataclass
class _Asking:
    session: ChatSession
    entrant: Entrant
    decoding: Decoding
    width: int
    scored: bool
    price: Price | None
    budget: Budget

    def all(self, questions: Sequence[Question]) -> Iterator[Kept]:
        """Answers as they come. The first failure that is hopeless ends it, after what is under way has been kept."""
        rest = iter(questions)
        hopeless: TuneportError | None = None
        with ThreadPoolExecutor(self.width) as pool:
            running: set[Future[Kept]] = set()
            while True:
                while hopeless is None and len(running) < self.width:
                    question = next(rest, None)
                    if question is None:
                        break
                    running.add(pool.submit(self.one, question))
                if not running:
                    break
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    try:
                        yield future.result()
                    except TuneportError as error:
                        hopeless = hopeless or error
        if hopeless is not None:
            raise hopeless

    def one(self, question: Question) -> Kept:
        messages = self.entrant.ask(question)
        try:
            answer = self._answer(messages, question)
        except _HOPELESS:
            raise
        except BackendError as error:
            return Kept(key=question.key, occurrence=question.occurrence, answer=Answer(error=str(error)))
        nats, tokens = self._nats(messages, question)
        return Kept(
            key=question.key,
            occurrence=question.occurrence,
            answer=answer,
            concurrency=self.width,
            scored=self.scored,
            nats=nats,
            nats_tokens=tokens,
        )

    def _answer(self, messages: Sequence[Mapping[str, Any]], question: Question) -> Answer:
        """Asked again where the service was busy or away, as often as `_ATTEMPTS` says; then its error is raised."""
        attempt = 0
        while True:
            self.budget.check()
            attempt += 1
            start = time.perf_counter()
            try:
                said = self.session.chat(
                    messages,
                    temperature=self.decoding.temperature,
                    max_tokens=self.decoding.max_tokens,
                    tools=question.tools or None,
                    seed=self.decoding.seed if self.decoding.temperature > 0 else None,
                )
            except (RateLimitedError, UnavailableError) as error:
                if attempt == _ATTEMPTS:
                    raise
                told = error.retry_after if isinstance(error, RateLimitedError) else None
                pause = told if told is not None else random.uniform(0.5, 1.0) * 2 ** (attempt - 1)
                time.sleep(min(pause, _LONGEST_WAIT))
                continue
            seconds = time.perf_counter() - start
            if self.price is not None:
                self.budget.spend(self.price(said.prompt_tokens or 0, said.completion_tokens or 0))
            return Answer(
                content=said.content,
                tool_calls=said.tool_calls,
                finish_reason=said.finish_reason,
                prompt_tokens=said.prompt_tokens,
                completion_tokens=said.completion_tokens,
                seconds=seconds,
            )

    def _nats(self, messages: Sequence[Mapping[str, Any]], question: Question) -> tuple[float | None, int | None]:
        if not self.scored or question.expected is None or not isinstance(self.session, Scores):
            return None, None
        try:
            return self.session.score(messages, question.expected, tools=question.tools or None)
        except BackendError:  # longer than the model's context: this row has no likelihood, and that is counted
            return None, None
