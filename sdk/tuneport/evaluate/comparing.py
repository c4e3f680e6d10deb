"""`compare`: contenders on one frozen test set, paired, with intervals, prices and words.

from tuneport import FewShot, compare
compare([job, "base", FewShot(shots=4)], test="test.jsonl").to_html("report.html")
"""

from __future__ import annotations

import platform
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tuneport import registry
from tuneport.clock import now
from tuneport.errors import SpecError, TuneportError
from tuneport.evaluate import pricing, questions, scores
from tuneport.evaluate.answers import Budget, Decoding, Journal, Kept, ask, remote
from tuneport.evaluate.comparison import Answer, ComparedRow, Comparison, Contender, Judgement, Latency, TestSet
from tuneport.evaluate.contenders import Contestant, Entrant, enter, read_recorded
from tuneport.evaluate.costs import money
from tuneport.evaluate.general import general as forgotten
from tuneport.evaluate.judge import judge as judged
from tuneport.evaluate.pricing import Forecast, Rate
from tuneport.evaluate.questions import Question
from tuneport.ids import new_job_id
from tuneport.job import FineTuneJob
from tuneport.result import Cost

_CHARACTERS_PER_TOKEN = 3.0  # few, so that no answer of the length of the expected ones is cut
_ANSWER_TOKENS = 256  # at least
_MOST_TOKENS = 4096  # where the expected answers are longer still, say max_tokens

_STARTING_POINTS = frozenset({"base", "few-shot", "system-prompt"})  # what a tuned model is compared with

Found = dict[tuple[str, int], Kept]


def compare(
    contenders: Sequence[Contestant],
    test: Any = None,
    *,
    metrics: Sequence[Any] | None = None,
    max_tokens: int | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    concurrency: int | None = None,
    schema: Mapping[str, Any] | None = None,
    examples: Any = None,
    embed: Callable[[Sequence[str]], Sequence[Sequence[float]]] | None = None,
    judge: str | None = None,
    general: bool = False,
    prices: Mapping[str, tuple[float, float]] | None = None,
    calls_per_month: int | None = None,
    gpu_per_hour: float | None = None,
    budget_usd: float | None = None,
    fresh: bool = False,
    before_spending: Callable[[Sequence[Forecast]], None] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Comparison:
    """Ask every contender the rows of `test` and lay the answers side by side.

    `contenders`: see `contenders`. `test`: anything that a dataset can be read from; None: the rows that the jobs held out.
    All answer with the same decoding; `max_tokens` None: enough for the longest expected answer. `metrics`: names of `scoring`,
    functions of your own `(answer, expected, row) -> float | bool`, or None for those that fit the rows. `schema`: a JSON
    Schema for the answers. `embed`: texts to vectors, for semantic similarity. `judge`: "<backend>:<model>".
    `general`: also what each job has forgotten, by the general probe, against what it was tuned from.

    Answers are kept as they come: the same call again pays for nothing twice (`fresh`: ask again). `before_spending` is told
    what asking is likely to cost, and may raise; `budget_usd` refuses above it, and stops there. `prices`: US dollars per
    million tokens read and written, by a contender's name or model, where the catalog does not know them. `progress` is told
    a name, rows done and rows in all.

    A row that a contender fails on counts as wrong, and is shown. Raises SpecError for a test set that overlaps a job's
    training rows, DatasetError for one that cannot be read, BudgetExceededError, and what no other row would mend
    (credentials, a model that is not deployed), with the contender's name.
    """
    if isinstance(contenders, (str, bytes)):
        raise SpecError(f"contenders is {contenders!r}: give a list, as in [{contenders!r}].")
    money([], calls_per_month, gpu_per_hour)  # what it cannot reckon with is refused before anything is paid
    asked, test_set, said = _test(contenders, test)
    entrants = enter(contenders, asked, seed=seed, examples=examples)
    for entrant in entrants:
        if entrant.job is not None:
            questions.refuse_overlap(entrant.job, asked)
    decoding = Decoding(temperature, max_tokens or _enough(asked), seed)
    chosen = scores.choose(metrics, asked, schema=schema, embed=embed)
    likely = any(one.name in scores.LIKELIHOOD for one in chosen)
    rates = _rates(entrants, prices)
    journals = {entrant.name: _journal(entrant, decoding, fresh=fresh) for entrant in entrants}
    _price_first(entrants, asked, decoding, journals, rates, budget_usd, before_spending)
    found = _ask_all(
        entrants, asked, decoding, journals, rates, Budget(budget_usd), concurrency, progress, scored=likely
    )
    keys = dict(zip((entrant.name for entrant in entrants), _letters(len(entrants)), strict=True))
    rows = [_row(question, entrants, keys, found) for question in asked]
    scored = scores.score(
        chosen,
        rows,
        asked,
        list(keys.values()),
        _nats(entrants, keys, asked, found),
        first=[keys[entrant.name] for entrant in entrants if entrant.kind in _STARTING_POINTS],
        seed=seed,
    )
    shown = [
        _contender(entrant, keys[entrant.name], asked, found[entrant.name], rates[entrant.name], gpu_per_hour)
        for entrant in entrants
    ]
    forgetting = [
        task.model_copy(update={"contender": keys[entrant.name]})
        for entrant in entrants
        if general and entrant.result is not None
        for task in forgotten(
            entrant.result,
            prices={key: value for key, value in (prices or {}).items() if key in {entrant.model, entrant.base_model}},
            budget_usd=budget_usd,
            before_spending=before_spending,
            progress=progress,
        )
    ]
    judgements = _judgements(judge, scored.rows, shown, Budget(budget_usd), progress)
    said += _said(shown, test_set)
    return Comparison(
        id=new_job_id().replace("tp-", "cmp-", 1),
        created=now(),
        test=test_set,
        decoding={
            "temperature": temperature,
            "max_tokens": decoding.max_tokens,
            "seed": seed if temperature > 0 else None,
        },
        seed=seed,
        metrics=scored.metrics,
        contenders=shown,
        values=scored.values,
        differences=scored.differences,
        rows=scored.rows,
        confusion=scored.confusion,
        forgetting=forgetting,
        judgements=judgements,
        money=money(shown, calls_per_month, gpu_per_hour),
        verdict=scores.verdict(scored, shown),
        warnings=said,
        provenance=_provenance(),
    )


def _test(contenders: Sequence[Contestant], test: Any) -> tuple[list[Question], TestSet, list[str]]:
    if test is not None:
        asked, test_set = questions.read_test(test)
        return asked, test_set, []
    jobs = [one if isinstance(one, FineTuneJob) else _job(one) for one in contenders]
    return questions.common_test([job for job in jobs if job is not None])


def _job(given: Contestant) -> FineTuneJob | None:
    """The job of a string that can only be a job's id or name."""
    if isinstance(given, str) and ":" not in given and given != "base":
        return FineTuneJob.get(given)
    return None


def _enough(asked: Sequence[Question]) -> int:
    longest = max(len(question.expected or "") for question in asked)
    return min(max(_ANSWER_TOKENS, round(longest / _CHARACTERS_PER_TOKEN)), _MOST_TOKENS)


def _rates(entrants: Sequence[Entrant], prices: Mapping[str, Any] | None) -> dict[str, Rate | None]:
    known = pricing.checked(prices, entrants)
    return {entrant.name: pricing.rate(entrant, known) for entrant in entrants}


def _journal(entrant: Entrant, decoding: Decoding, *, fresh: bool) -> Journal:
    journal = Journal.of(entrant, decoding)
    if fresh:
        journal.kept.clear()
    return journal


def _price_first(
    entrants: Sequence[Entrant],
    asked: Sequence[Question],
    decoding: Decoding,
    journals: Mapping[str, Journal],
    rates: Mapping[str, Rate | None],
    budget_usd: float | None,
    before_spending: Callable[[Sequence[Forecast]], None] | None,
) -> None:
    forecasts: list[Forecast] = []
    for entrant in entrants:
        kept = journals[entrant.name].kept
        missing = [question for question in asked if (question.key, question.occurrence) not in kept]
        forecasts.append(
            pricing.forecast(
                entrant, missing, decoding.max_tokens, rates[entrant.name], already=len(asked) - len(missing)
            )
        )
    pricing.refuse_over(budget_usd, forecasts)
    if before_spending is not None:
        before_spending(forecasts)


def _ask_all(
    entrants: Sequence[Entrant],
    asked: Sequence[Question],
    decoding: Decoding,
    journals: Mapping[str, Journal],
    rates: Mapping[str, Rate | None],
    budget: Budget,
    concurrency: int | None,
    progress: Callable[[str, int, int], None] | None,
    *,
    scored: bool,
) -> dict[str, Found]:
    """One contender after the other, as two local ones share a device. Services are asked one row each before anything else:
    who has no credentials for the last contender should not have paid for the first."""

    def turn(entrant: Entrant, *, only_first: bool = False) -> Found:
        done = 0
        rate = rates[entrant.name]

        def told(count: int) -> None:
            nonlocal done
            done += count
            if progress is not None:
                progress(entrant.name, done + before, len(asked))

        before = sum((q.key, q.occurrence) in journals[entrant.name].kept for q in asked)
        try:
            return ask(
                entrant,
                asked,
                decoding,
                journals[entrant.name],
                concurrency=concurrency,
                scored=scored,
                price=None if rate is None else rate.of,
                budget=budget,
                progress=told,
                only_first=only_first,
            )
        except TuneportError as error:
            raise error.reworded(f"{entrant.name}: {error}") from error

    waiting = [e for e in entrants if any((q.key, q.occurrence) not in journals[e.name].kept for q in asked)]
    for entrant in [one for one in waiting if remote(one)]:
        turn(entrant, only_first=True)
    found: dict[str, Found] = {}
    for entrant in entrants:
        if entrant.recorded is not None:
            answers = read_recorded(entrant.recorded, asked)
            found[entrant.name] = {
                where: Kept(key=where[0], occurrence=where[1], answer=answer) for where, answer in answers.items()
            }
            continue
        found[entrant.name] = turn(entrant)
        if entrant.model is not None and entrant.backend == pricing.LOCAL:
            registry.close_model(entrant.model, entrant.options)  # the next one may need its device
    return found


def _letters(count: int) -> list[str]:
    """A to Z, then AA, AB, …"""
    letters = string.ascii_uppercase
    return [letters[i] if i < 26 else letters[i // 26 - 1] + letters[i % 26] for i in range(count)]


def _row(
    question: Question, entrants: Sequence[Entrant], keys: Mapping[str, str], found: Mapping[str, Found]
) -> ComparedRow:
    nothing = Kept(key="", occurrence=0, answer=Answer(error="no answer is recorded for this row"))
    return ComparedRow(
        row=question.row,
        hash=question.hash,
        messages=question.messages,
        tools=question.tools,
        expected=question.expected,
        expected_tool_calls=question.expected_tool_calls,
        answers={
            keys[entrant.name]: found[entrant.name].get((question.key, question.occurrence), nothing).answer
            for entrant in entrants
        },
    )


def _nats(
    entrants: Sequence[Entrant], keys: Mapping[str, str], asked: Sequence[Question], found: Mapping[str, Found]
) -> dict[str, dict[int, scores.Likelihood]]:
    """By contender and row, where the model could say."""
    return {
        keys[entrant.name]: {
            question.row: scores.Likelihood(kept.nats, kept.nats_tokens or 0)
            for question in asked
            if (kept := found[entrant.name].get((question.key, question.occurrence))) is not None
            and kept.nats is not None
        }
        for entrant in entrants
    }


def _contender(
    entrant: Entrant,
    key: str,
    asked: Sequence[Question],
    found: Found,
    rate: Rate | None,
    gpu_per_hour: float | None,
) -> Contender:
    kept = [found[where] for question in asked if (where := (question.key, question.occurrence)) in found]
    answered = [one for one in kept if not one.answer.failed]
    errors = Counter(one.answer.error for one in kept if one.answer.error is not None)
    if silent := len(asked) - len(kept):
        errors["no answer is recorded for this row"] += silent
    read = _sum([one.answer.prompt_tokens for one in answered])
    written = _sum([one.answer.completion_tokens for one in answered])
    known = rate is not None and read is not None and written is not None
    latency = _latency(answered)
    result = entrant.result
    per_thousand = Cost()
    if entrant.backend == pricing.LOCAL:
        if gpu_per_hour is not None and latency is not None:
            speed = f"{latency.mean:.2f} s a call, {latency.concurrency} at a time"
            per_thousand = Cost(
                estimated=round(gpu_per_hour * latency.mean / 3.6 / latency.concurrency, 6),
                price_source=f"{speed}, at {gpu_per_hour:g} USD an hour of a device",
            )
    elif known and answered:
        per_thousand = rate.cost(read or 0, written or 0, times=1000 / len(answered))  # type: ignore[union-attr]
    return Contender(
        key=key,
        name=entrant.name,
        kind=entrant.kind,
        model=entrant.model,
        backend=entrant.backend,
        base_model=entrant.base_model,
        job_id=result.job_id if result is not None else None,
        method=result.method if result is not None else {},
        prompt=entrant.prompt,
        shots=entrant.shots,
        overlap="none" if entrant.job is not None else "unknown",
        rows=len(answered),
        failed=len(asked) - len(answered),
        errors={str(text): count for text, count in errors.most_common()},
        cut=sum(one.answer.finish_reason == "length" for one in answered),
        prompt_tokens=read,
        completion_tokens=written,
        latency=latency,
        asked=rate.cost(read or 0, written or 0) if known else Cost(),  # type: ignore[union-attr]
        per_thousand_calls=per_thousand,
        training=pricing.training(entrant, gpu_per_hour),
        keeping_per_month=pricing.keeping(entrant),
        training_seconds=result.usage.wall_seconds if result is not None else None,
        devices=result.usage.devices if result is not None else [],
        hyperparameters=result.hyperparameters if result is not None else [],
        curve=result.curve if result is not None else [],
        ledger=result.dataset.ledger if result is not None else {},
        warnings=result.warnings if result is not None else [],
    )


def _sum(values: Sequence[int | None]) -> int | None:
    """None where any is not known: half a sum would be no price."""
    return None if not values or any(value is None for value in values) else sum(value or 0 for value in values)


def _latency(answered: Sequence[Kept]) -> Latency | None:
    seconds = sorted(one.answer.seconds for one in answered if one.answer.seconds is not None)
    if not seconds:
        return None

    def at(share: float) -> float:
        return seconds[min(len(seconds) - 1, max(0, round(share * len(seconds) + 0.5) - 1))]

    return Latency(
        p50=at(0.5),
        p90=at(0.9),
        p99=at(0.99),
        mean=sum(seconds) / len(seconds),
        answers=len(seconds),
        concurrency=max(one.concurrency for one in answered),
    )


def _judgements(
    model: str | None,
    rows: Sequence[ComparedRow],
    shown: Sequence[Contender],
    budget: Budget,
    progress: Callable[[str, int, int], None] | None,
) -> list[Judgement]:
    if model is None:
        return []
    found: list[Judgement] = []
    for other in shown[1:]:
        done = 0

        def told(count: int) -> None:
            nonlocal done
            done += count
            if progress is not None:
                progress(f"the judge {model}", done, 2 * len(rows))

        found.append(judged(model, rows, shown[0], other, budget=budget, progress=told))
    return found


def _said(shown: Sequence[Contender], test: TestSet) -> list[str]:
    said: list[str] = []
    for one in shown:
        if one.failed:
            worst = next(iter(one.errors), "")
            said.append(f"{one.name} gave no answer to {one.failed} of {test.used} rows, which count as wrong: {worst}")
        if one.cut:
            said.append(
                f"{one.cut} answers of {one.name} ended at the token limit: raise max_tokens if they were not done."
            )
    foreign = [one.name for one in shown if one.overlap == "unknown" and one.kind in {"model", "recorded"}]
    if foreign:
        said.append(
            f"Whether {' and '.join(foreign)} had seen the test rows before is unknown: no job of this store tuned it."
        )
    return said


def _provenance() -> dict[str, Any]:
    versions = {"tuneport": version("tuneport"), "python": platform.python_version()}
    for package in ("openai", "boto3", "google-genai", "transformers", "torch", "sacrebleu", "rouge-score"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"versions": versions, "platform": platform.platform(), "machine": platform.machine()}
