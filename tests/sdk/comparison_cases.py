"""Made-up comparisons for the page, the Markdown and the review: invented answers, scored by the real code."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from tuneport.evaluate import costs
from tuneport.evaluate.comparison import (
    Answer,
    ComparedRow,
    Comparison,
    Contender,
    Forgetting,
    Judgement,
    Latency,
    Money,
    TestSet,
)
from tuneport.evaluate.questions import Question, digest
from tuneport.evaluate.scores import choose, score, verdict
from tuneport.result import Cost, CurvePoint, HyperparameterNote, LedgerTotals
from tuneport.scoring.intervals import Interval

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</textarea></div></main><h1>gone</h1>",
    "\u202eright to left\u202c \u0000 \ud800 \x1b[31m",
    "[link](javascript:alert(1)) | `code` | <b>",
    "{{ 7 * 7 }} {% raw %}",
    "# " + "A" * 1_000_000,
    "ספר על הרף 本が棚にある",
)
LABELS = ("billing", "delivery", "refund", "technical")
_TICKETS = {
    "billing": "I was charged twice for order {n}. Please look at the second payment.",
    "delivery": "Order {n} should have come last week, and the tracking page has not moved since.",
    "refund": "I sent order {n} back on Monday. When do I get my money?",
    "technical": "The app closes when I open order {n}. I have the newest version.",
}


def _interval(low: float, middle: float, high: float, n: int) -> Interval:
    return Interval(estimate=middle, low=low, high=high, method="made up", n=n)


def made(
    contenders: Sequence[Contender],
    rows: Sequence[ComparedRow],
    metrics: Sequence[str],
    *,
    money: Money | None = None,
    forgetting: Sequence[Forgetting] = (),
    judgements: Sequence[Judgement] = (),
    warnings: Sequence[str] = (),
    source: str = "test.jsonl",
) -> Comparison:
    """These answers, scored and told as `compare` does."""
    questions = [
        Question(
            row.row,
            row.hash,
            row.messages,
            row.tools,
            row.expected,
            row.expected_tool_calls,
            digest(row.messages),
            0,
            {"row": row.row, "messages": row.messages},
        )
        for row in rows
    ]
    keys = [one.key for one in contenders]
    first = [one.key for one in contenders if one.kind in {"base", "few-shot", "system-prompt"}]
    scored = score(choose(list(metrics), questions, schema=None, embed=None), rows, questions, keys, {}, first=first)
    return Comparison(
        id="cmp-1",
        created=datetime(2026, 11, 25, 12, 0, tzinfo=UTC),
        test=TestSet(
            source=source, fingerprint="f" * 64, rows=len(rows) + 1, used=len(rows), left_out={"no answer": 1}
        ),
        decoding={"temperature": 0.0, "max_tokens": 256, "seed": None},
        metrics=scored.metrics,
        contenders=list(contenders),
        values=scored.values,
        differences=scored.differences,
        rows=scored.rows,
        confusion=scored.confusion,
        forgetting=list(forgetting),
        judgements=list(judgements),
        money=money or Money(),
        verdict=verdict(scored, contenders),
        warnings=list(warnings),
        provenance={
            "versions": {"tuneport": "0.1.0", "python": "3.11.9"},
            "platform": "Linux",
            "command": "tuneport compare …",
        },
    )


def comparison(
    names: tuple[str, ...] = ("base local:starter", "triage"),
    rows: int = 40,
    *,
    hostile: bool = False,
    failing: bool = False,
    rich: bool = False,
    metrics: tuple[str, ...] = ("exact_match", "token_f1"),
    expected: Callable[[int], str] | None = None,
) -> Comparison:
    """`names` become contenders A, B, …: the later, the more often right. `rich`: with money, curves, judges, forgetting."""
    keys = [chr(65 + place) for place in range(len(names))]
    compared: list[ComparedRow] = []
    for n in range(rows):
        right = expected(n) if expected else f"Answer {n}"
        text = HOSTILE[n % len(HOSTILE)] if hostile else f"Question {n}"
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
        answers: dict[str, Answer] = {}
        for place, key in enumerate(keys):
            said = (
                right
                if (n * 7 + place * 3) % 10 < 3 + 2 * place
                else (text if hostile else (f"An Answer {n}" if n % 2 else f"Ans {n}"))
            )
            answers[key] = Answer(content=said, prompt_tokens=30, completion_tokens=6, seconds=0.1 + n / 100)
            if failing and key == keys[-1] and n % 4 == 0:
                answers[key] = Answer(error="the service was busy (429), five times" if not hostile else text)
        compared.append(ComparedRow(row=n + 1, hash=f"{n:032x}", messages=messages, expected=right, answers=answers))
    contenders = [
        Contender(
            key=key,
            name=HOSTILE[0] + name if hostile else name,
            kind="base" if place == 0 else "job",
            model=f"local:{name}",
            backend="local" if place < 2 else "openai",
            base_model="local:starter",
            job_id=None if place == 0 else f"tp-{place}",
            rows=rows - (rows // 4 if failing and place == len(names) - 1 else 0),
            failed=rows // 4 if failing and place == len(names) - 1 else 0,
            errors={"the service was busy (429), five times": rows // 4} if failing and place == len(names) - 1 else {},
            prompt_tokens=30 * rows,
            completion_tokens=6 * rows,
            latency=_latency(0.2 * (place + 1), rows),
            per_thousand_calls=Cost(estimated=0.05 * (place + 1)) if rich else Cost(),
            training=Cost(estimated=4.2 * place) if rich else Cost(),
            keeping_per_month=Cost(estimated=0.0 if place < 2 else 12.0) if rich else Cost(),
            training_seconds=90.0 * place if rich else None,
            curve=_curve(place) if rich and place else [],
            ledger=_LEDGER if rich and place else {},
            prompt=HOSTILE[1] if hostile else None,
        )
        for place, (key, name) in enumerate(zip(keys, names, strict=True))
    ]
    return made(
        contenders,
        compared,
        metrics,
        money=costs.money(contenders, 50_000, 0.8) if rich else None,
        forgetting=[_forgotten("arithmetic", keys[0], keys[-1], 0.8, -0.3, -0.2, -0.1)] if rich else [],
        judgements=[_judged(keys[0], keys[-1])] if rich else [],
        warnings=["10 rows have no answer."] if failing else [],
        source=HOSTILE[0] if hostile else "test.jsonl",
    )


_LEDGER = {
    "train": LedgerTotals(
        rows=300, used=296, truncated=1, dropped=3, tokens=19_000, reasons={"over-length": 1, "duplicate-row": 3}
    ),
    "validation": LedgerTotals(rows=30, used=30, tokens=1_900),
}


def _latency(p50: float, answers: int, concurrency: int = 1) -> Latency:
    return Latency(p50=p50, p90=1.7 * p50, p99=3.1 * p50, mean=1.15 * p50, answers=answers, concurrency=concurrency)


def _curve(place: int, steps: int = 40) -> list[CurvePoint]:
    noise = random.Random(place)
    return [
        CurvePoint(
            step=step * 5,
            loss=1.9 / (1 + 0.12 * step) + 0.1 * place + noise.uniform(-0.04, 0.04),
            validation_loss=2.0 / (1 + 0.11 * step) + 0.11 * place if step % 4 == 0 else None,
        )
        for step in range(1, steps)
    ]


def _forgotten(
    task: str, base: str, key: str, before: float, low: float, middle: float, high: float, rows: int = 120
) -> Forgetting:
    return Forgetting(
        task=task,
        source="tuneport's probe",
        metric="accuracy",
        base_contender=base,
        contender=key,
        base=before,
        tuned=before + middle,
        difference=_interval(low, middle, high, rows),
        rows=rows,
        fell=high < 0,
    )


def _judged(base: str, other: str, judge: str = "people") -> Judgement:
    people = judge == "people"
    return Judgement(
        judge=judge,
        raters=3 if people else 1,
        base=base,
        other=other,
        rows=30,
        other_wins=20,
        base_wins=6,
        ties=3,
        both_bad=1,
        unclear=0 if people else 2,
        win_rate=_interval(0.6, 0.74, 0.85, 29),
        agreement=0.61 if people else None,
        agreement_with_people=None if people else 0.83,
        outcomes={1: "other", 2: "base", 3: "tie"},
        words=f"{'three people' if people else judge} preferred it on 20 of 30 rows.",
    )


def tickets(shares: Mapping[str, float], rows: int = 120, seed: int = 7) -> list[ComparedRow]:
    """Tickets and their queues, answered right with each contender's share; hard rows are hard for all of them."""
    dice = random.Random(seed)
    compared: list[ComparedRow] = []
    for n in range(rows):
        right = LABELS[n % len(LABELS)]
        hard = dice.random()
        answers: dict[str, Answer] = {}
        for key, share in shares.items():
            luck = 0.75 * hard + 0.25 * dice.random()
            wrong = LABELS[(n + 1 + dice.randrange(3)) % len(LABELS)]
            said = right if luck < share else wrong if dice.random() < 0.7 else f"This looks like {right} to me."
            answers[key] = Answer(content=said, prompt_tokens=140, completion_tokens=4, seconds=0.3)
        messages = [
            {"role": "system", "content": "Name the queue of this ticket, in one word."},
            {"role": "user", "content": _TICKETS[right].format(n=48_000 + n)},
        ]
        compared.append(ComparedRow(row=n + 1, hash=f"{n:032x}", messages=messages, expected=right, answers=answers))
    return compared


def _entry(key: str, name: str, backend: str, rows: int = 120, **more: Any) -> Contender:
    given: dict[str, Any] = {"kind": "job", "rows": rows, "prompt_tokens": 140 * rows, "completion_tokens": 4 * rows}
    return Contender(key=key, name=name, backend=backend, model=f"{backend}:{name}", **(given | more))


@cache
def everywhere() -> Comparison:
    """The question behind the project: own GPU, three clouds, or neither."""
    rate = "price list of 2026-11-02"
    contenders = [
        _entry(
            "A",
            "few-shot:4 Qwen3-8B",
            "local",
            kind="few-shot",
            shots=4,
            prompt="user: Order 1 was charged twice.\nassistant: billing",
            base_model="local:Qwen/Qwen3-8B",
            latency=_latency(0.62, 120),
            asked=Cost(estimated=0.0),
            per_thousand_calls=Cost(estimated=0.2377, price_source="0.71 s a call at 1.2 USD an hour of a device"),
            training=Cost(estimated=0.0),
            keeping_per_month=Cost(estimated=0.0),
        ),
        _entry(
            "B",
            "triage-own (Qwen3-8B, LoRA 16)",
            "local",
            base_model="local:Qwen/Qwen3-8B",
            job_id="tp-01jd9xw3",
            overlap="none",
            method={"kind": "lora", "rank": 16, "alpha": 32},
            latency=_latency(0.31, 120),
            asked=Cost(estimated=0.0),
            per_thousand_calls=Cost(estimated=0.1188, price_source="0.36 s a call at 1.2 USD an hour of a device"),
            training=Cost(estimated=1.84, price_source="5,520 device seconds at 1.2 USD an hour, given by the user"),
            keeping_per_month=Cost(estimated=0.0),
            training_seconds=5_520.0,
            devices=["NVIDIA L4"],
            hyperparameters=[
                HyperparameterNote(name="epochs", requested=3, effective=3),
                HyperparameterNote(name="learning_rate", effective=2e-4, reason="LoRA's default"),
            ],
            curve=_curve(1),
            ledger=_LEDGER,
            warnings=["3 rows were dropped as duplicates."],
        ),
        _entry(
            "C",
            "triage-openai (gpt-4.1-mini)",
            "openai",
            base_model="openai:gpt-4.1-mini-2025-04-14",
            job_id="tp-01jd9xw4",
            overlap="none",
            latency=_latency(0.48, 120, 8),
            asked=Cost(estimated=0.0142),
            per_thousand_calls=Cost(estimated=1.19, price_source=rate, price_date="2026-11-02"),
            training=Cost(estimated=9.50, actual=9.12),
            keeping_per_month=Cost(estimated=0.0),
            training_seconds=2_700.0,
            curve=_curve(2),
            ledger=_LEDGER,
            cut=2,
        ),
        _entry(
            "D",
            "triage-bedrock (Nova Lite)",
            "bedrock",
            base_model="bedrock:amazon.nova-lite-v1:0:300k",
            job_id="tp-01jd9xw5",
            overlap="none",
            rows=117,
            failed=3,
            errors={"the service was busy (ThrottlingException), five times": 3},
            latency=_latency(0.83, 117, 4),
            asked=Cost(estimated=0.0011),
            per_thousand_calls=Cost(estimated=0.09, price_source=rate),
            training=Cost(estimated=2.40),
            keeping_per_month=Cost(estimated=1.95, price_source=rate),
            training_seconds=4_100.0,
            curve=_curve(3),
            ledger=_LEDGER,
        ),
        _entry(
            "E",
            "triage-vertex (gemini-2.5-flash)",
            "vertex",
            base_model="vertex:gemini-2.5-flash",
            job_id="tp-01jd9xw6",
            overlap="none",
            latency=_latency(0.56, 120, 8),
            asked=Cost(estimated=0.007),
            per_thousand_calls=Cost(estimated=0.58, price_source=rate),
            training=Cost(estimated=6.0),
            keeping_per_month=Cost(estimated=0.0),
            training_seconds=3_300.0,
            curve=_curve(4),
            ledger=_LEDGER,
        ),
    ]
    rows = tickets({"A": 0.48, "B": 0.9, "C": 0.88, "D": 0.74, "E": 0.85})
    for place in (10, 50, 90):
        failed = Answer(error="the service was busy (ThrottlingException), five times")
        rows[place] = rows[place].model_copy(update={"answers": rows[place].answers | {"D": failed}})
    return made(
        contenders,
        rows,
        ("label_accuracy", "macro_f1", "length"),
        money=costs.money(contenders, 400_000, 1.2),
        forgetting=[
            _forgotten("arithmetic", "A", "B", 0.81, -0.05, -0.01, 0.03),
            _forgotten("general knowledge", "A", "B", 0.74, -0.16, -0.09, -0.02),
        ],
        judgements=[_judged("A", "B"), _judged("B", "C", "openai:gpt-4.1")],
        warnings=[
            "triage-bedrock (Nova Lite) gave no answer to 3 of 120 rows, which count as wrong: the service was busy",
            "2 answers of triage-openai (gpt-4.1-mini) ended at the token limit: raise max_tokens if they were not done.",
        ],
        source="tickets-test.jsonl",
    )


@cache
def unpriced() -> Comparison:
    """Prices that nobody knows: a model of an endpoint, a job without its bill, a device without its price."""
    contenders = [
        _entry("A", "base openai:gpt-4.1-mini", "openai", kind="base"),
        _entry("B", "triage-azure", "azure", overlap="none", per_thousand_calls=Cost(estimated=2.0)),
        _entry("C", "triage-own", "local", latency=_latency(0.3, 120)),
        Contender(key="D", name="file:answers.jsonl", kind="recorded", rows=120),
    ]
    rows = tickets({"A": 0.5, "B": 0.8, "C": 0.7, "D": 0.6})
    return made(contenders, rows, ("label_accuracy",), money=costs.money(contenders, 10_000, None))


def _long(key: str, text: str) -> str:
    return f"{text} {key} " + "-".join(["a-name-that-a-pipeline-made"] * 6)


@cache
def cases() -> dict[str, Comparison]:
    """One of each kind, by name."""
    hebrew = "ספר על הרף 本が棚にある"
    return {
        "two": comparison(),
        "five": comparison(("base", "own", "cloud", "other cloud", "few-shot"), 60, rich=True),
        "everywhere": everywhere(),
        "unpriced": unpriced(),
        "one": comparison(("only",)),
        "failing": comparison(failing=True, rich=True),
        "hostile": comparison(hostile=True, failing=True, rich=True),
        "labels": comparison(expected=lambda n: ("refund", "shipping")[n % 2], metrics=("label_accuracy", "macro_f1")),
        "nothing fits": comparison(metrics=("json_equal",)),
        "no yes or no": comparison(metrics=("token_f1",)),
        "long names": comparison((_long("A", "base"), _long("B", "job"), "Ж" * 200), 30, rich=True),
        "many rows": comparison(rows=2000),
        "many contenders": comparison(tuple(f"sweep rank {2**n}" for n in range(9)), 30, rich=True),
        "right to left": comparison((hebrew, f"{hebrew} ２"), expected=lambda _: hebrew, rich=True),
    }
