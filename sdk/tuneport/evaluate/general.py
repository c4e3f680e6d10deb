"""Forgetting: what a fine-tune cost a model elsewhere, base against tuned, by item, with an interval for each task.

The probe that comes with tuneport, which needs no network. The two models are paired by item, which is what lets a few dozen
items tell anything. Tasks of EleutherAI's lm-evaluation-harness: `harness`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from tuneport import registry
from tuneport.backend import Scores
from tuneport.errors import BackendError, DeviceBusyError, SpecError
from tuneport.evaluate import pricing
from tuneport.evaluate.answers import Budget, Decoding, Journal, ask, remote
from tuneport.evaluate.comparison import Forgetting
from tuneport.evaluate.contenders import Contestant, Entrant
from tuneport.evaluate.forgetting import Measured, pair, paired, unmeasured
from tuneport.evaluate.pricing import Forecast
from tuneport.evaluate.questions import Question, digest
from tuneport.scoring import probe
from tuneport.scoring.probe import ProbeQuestion, ProbeText

_LETTERS = "ABCDEFGH"
_ASKED = Decoding(temperature=0.0, max_tokens=128)  # the longest that is asked for has some 20 tokens
_ALONE = re.compile(r"\W*([A-H])(?=[*_]*\s*(?:[.):,\n]|$))")  # not "A dog"
_NAMED = re.compile(r"answer(?:\s+is)?\W*\b([A-H])\b", re.IGNORECASE)
_TEXTS = {"english": "English text", "languages": "text in other languages", "code": "code"}
Progress = Callable[[str, int, int], None]
_T = TypeVar("_T")


def general(
    model: Contestant,
    base: Contestant | None = None,
    *,
    limit: int | None = None,
    prices: Mapping[str, tuple[float, float]] | None = None,
    budget_usd: float | None = None,
    before_spending: Callable[[Sequence[Forecast]], None] | None = None,
    progress: Progress | None = None,
) -> list[Forgetting]:
    """The shipped probe, `model` against `base`: 122 questions and 40 texts, or the first `limit` of each task.

    `model` and `base` are given as to `compare`; `base` None: what the job or result was tuned from. Where both models say
    likelihoods, a question is answered by the likeliest of its choices, and texts give bits per byte; else both are asked for
    the letter, and what cannot be measured is there with a `note` and without numbers. Questions to a service are kept as
    `compare` keeps them (never paid for twice); `budget_usd`, `prices` and `before_spending` are those of `compare`.
    `progress` is told a name, items done and items in all.

    `fell` is said by task at 95%: of eight tasks, one falls by luck in one of five honest comparisons.

    Raises SpecError where there is no base, BudgetExceededError, DeviceBusyError, and what no other question would mend.
    """
    before, after = pair(model, base)
    questions = _first(probe.questions(), limit, lambda one: one.task)
    texts = _first(probe.texts(), limit, lambda one: one.kind)
    silent = [one.name for one in (before, after) if not _says_likelihoods(one)]
    known = pricing.checked(prices, [before, after])
    rates = {one.name: pricing.rate(one, known) for one in (before, after)}
    asked = _asked(questions, likely=not silent)
    services = [one for one in (before, after) if remote(one)]
    journals = {one.name: Journal.of(one, _ASKED) for one in services}
    forecasts = [
        pricing.forecast(
            one,
            [q for q in asked.values() if (q.key, q.occurrence) not in journals[one.name].kept],
            _ASKED.max_tokens,
            rates[one.name],
        )
        for one in services
    ]
    pricing.refuse_over(budget_usd, forecasts)
    if before_spending is not None and forecasts:
        before_spending(forecasts)
    budget = Budget(budget_usd)
    found: list[Measured] = []
    for one in (before, after):  # one after the other, as two local models share a device
        rate = rates[one.name]
        found.append(
            _measure(
                one,
                questions,
                asked,
                [] if silent else texts,
                Journal.of(one, _ASKED),
                price=None if rate is None else rate.of,
                budget=budget,
                progress=progress,
            )
        )
        if not remote(one) and one.model is not None:
            registry.close_model(one.model, one.options)
    left, right = found
    names = before.name, after.name
    tasks = list(dict.fromkeys(one.task for one in questions))
    results = [_answers(task, left, right, names, likely=not silent) for task in tasks]
    for kind in dict.fromkeys(one.kind for one in texts):
        if silent:
            results.append(unmeasured(_TEXTS[kind], "bits_per_byte", names, _no_likelihoods(silent)))
        else:
            results.append(paired(_TEXTS[kind], "bits_per_byte", left, right, names, higher=False))
    return results


def _says_likelihoods(one: Entrant) -> bool:
    return isinstance(registry.open_model(one.model or "", one.options), Scores)


def _no_likelihoods(silent: Sequence[str]) -> str:
    return (
        f"{' and '.join(silent)} {'give' if len(silent) > 1 else 'gives'} no log-probabilities of a given text: "
        "bits per byte cannot be measured"
    )


def _first(items: Sequence[_T], limit: int | None, group: Callable[[_T], str]) -> list[_T]:
    if limit is None:
        return list(items)
    if limit < 1:
        raise SpecError(f"limit is {limit}: give 1 or more items of each task.")
    taken: dict[str, int] = {}
    kept: list[_T] = []
    for item in items:
        taken[group(item)] = taken.get(group(item), 0) + 1
        if taken[group(item)] <= limit:
            kept.append(item)
    return kept


def _asked(questions: Sequence[ProbeQuestion], *, likely: bool) -> dict[str, Question]:
    """What is asked and answered in words, by the probe's id: instructions, and where there are no likelihoods, all."""
    found: dict[str, Question] = {}
    for number, one in enumerate(questions, 1):
        if likely and one.choices:
            continue
        text = one.asked
        if one.choices:
            listed = "\n".join(f"{_LETTERS[i]}. {choice}" for i, choice in enumerate(one.choices))
            text = f"{text}\n{listed}\nAnswer with the letter alone."
        messages = [{"role": "user", "content": text}]
        key = digest({"messages": messages, "tools": []})
        found[one.id] = Question(number, key, messages, [], None, [], key, 0, {"messages": messages})
    return found


def _measure(
    one: Entrant,
    questions: Sequence[ProbeQuestion],
    asked: Mapping[str, Question],
    texts: Sequence[ProbeText],
    journal: Journal,
    *,
    price: Callable[[int, int], float] | None,
    budget: Budget,
    progress: Progress | None,
) -> Measured:
    session = registry.open_model(one.model or "", one.options)
    found = Measured()
    total, done = len(questions) + len(texts), 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(one.name, done, total)

    if not remote(one):
        journal.kept.clear()  # a local answer costs nothing, and an older one may be another engine's
    told(sum((q.key, q.occurrence) in journal.kept for q in asked.values()))
    answers = ask(one, list(asked.values()), _ASKED, journal, price=price, budget=budget, progress=told)
    for item in questions:
        question = asked.get(item.id)
        if question is not None:
            answer = answers[question.key, question.occurrence].answer
            if answer.error is not None:
                found.missed(item.task, item.id, answer.error)
            else:
                said = answer.content or ""
                right = chosen(said, item) == item.answer if item.choices else item.obeyed(said)
                found.got(item.task, item.id, float(right))
        elif isinstance(session, Scores):
            with _noted(found, item.task, item.id):
                turns = [{"role": "user", "content": item.asked}]
                nats = [session.score(turns, choice)[0] for choice in item.choices]
                found.got(item.task, item.id, float(nats.index(min(nats)) == item.answer))
            told(1)
    for text in texts:
        if isinstance(session, Scores):
            with _noted(found, _TEXTS[text.kind], text.id):
                nats_of_text = session.score_text(text.text)[0]
                found.got(_TEXTS[text.kind], text.id, nats_of_text / math.log(2) / len(text.text.encode()))
            told(1)
    return found


@contextmanager
def _noted(found: Measured, task: str, item: str) -> Generator[None]:
    """An item that the model cannot take (longer than its context) is noted, and the next is asked."""
    try:
        yield
    except DeviceBusyError:
        raise
    except BackendError as error:
        found.missed(task, item, str(error))


def chosen(said: str, item: ProbeQuestion) -> int | None:
    """The number of the choice that an answer names: by its letter, or by its words; None where it names none."""
    text = said.strip()
    match = _ALONE.match(text) or _NAMED.search(text)
    if match is not None:
        number = _LETTERS.index(match[1].upper())
        return number if number < len(item.choices) else None
    plain = [choice.strip(" .").casefold() for choice in item.choices]
    return plain.index(text.strip(" .").casefold()) if text.strip(" .").casefold() in plain else None


def _answers(task: str, base: Measured, tuned: Measured, names: tuple[str, str], *, likely: bool) -> Forgetting:
    how = "" if likely or task == "instructions" else "asked for the letter, as not both models give log-probabilities"
    return paired(task, "accuracy", base, tuned, names, higher=True, kind="binary", how=how)
