"""Made-up comparisons for the page, the Markdown and the review."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tuneport.evaluate.comparison import (
    Answer,
    ComparedRow,
    Comparison,
    Contender,
    Crossing,
    Forgetting,
    Judgement,
    Latency,
    Money,
    TestSet,
)
from tuneport.evaluate.questions import Question, digest
from tuneport.evaluate.scores import choose, score, verdict
from tuneport.result import Cost, CurvePoint, LedgerTotals
from tuneport.scoring.intervals import Interval

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</textarea></div></main><h1>gone</h1>",
    "\u202eright to left\u202c \u0000 \ud800 \x1b[31m",
    "[link](javascript:alert(1)) | `code` | <b>",
    "{{ 7 * 7 }} {% raw %}",
    "# " + "A" * 1_000_000,
    "ספר على الرف 本が棚にある",
)


def _interval(low: float, middle: float, high: float, n: int) -> Interval:
    return Interval(estimate=middle, low=low, high=high, method="made up", n=n)


def comparison(
    names: tuple[str, ...] = ("base local:starter", "triage"),
    rows: int = 40,
    *,
    hostile: bool = False,
    failing: bool = False,
    rich: bool = False,
    metrics: tuple[str, ...] = ("exact_match", "token_f1"),
    expected: Any = None,
) -> Comparison:
    """`names` become contenders A, B, …: the later, the more often right. `rich`: with money, curves, judges, forgetting."""
    keys = [chr(65 + place) for place in range(len(names))]
    made: list[ComparedRow] = []
    questions: list[Question] = []
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
        made.append(ComparedRow(row=n + 1, hash=f"{n:032x}", messages=messages, expected=right, answers=answers))
        questions.append(
            Question(
                n + 1, f"{n:032x}", messages, [], right, [], digest(messages), 0, {"row": n + 1, "messages": messages}
            )
        )
    scored = score(choose(list(metrics), questions, schema=None, embed=None), made, questions, keys, {}, first=keys[:1])
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
            latency=Latency(
                p50=0.2 * (place + 1), p90=0.4 * (place + 1), p99=0.9, mean=0.3, answers=rows, concurrency=1
            ),
            per_thousand_calls=Cost(estimated=0.05 * (place + 1)) if rich else Cost(),
            training=Cost(estimated=4.2 * place) if rich else Cost(),
            keeping_per_month=Cost(estimated=0.0 if place < 2 else 12.0) if rich else Cost(),
            training_seconds=90.0 * place if rich else None,
            curve=[CurvePoint(step=s, loss=2 / (s + place), validation_loss=2.1 / (s + place)) for s in range(1, 40)]
            if rich and place
            else [],
            ledger={"train": LedgerTotals(rows=300, used=298, truncated=1, dropped=1, tokens=9000)}
            if rich and place
            else {},
            prompt=HOSTILE[1] if hostile else None,
        )
        for place, (key, name) in enumerate(zip(keys, names, strict=True))
    ]
    return Comparison(
        id="cmp-1",
        created=datetime(2026, 11, 25, 12, 0, tzinfo=UTC),
        test=TestSet(
            source=HOSTILE[0] if hostile else "test.jsonl",
            fingerprint="f" * 64,
            rows=rows + 1,
            used=rows,
            left_out={"no answer": 1},
        ),
        decoding={"temperature": 0.0, "max_tokens": 256, "seed": None},
        metrics=scored.metrics,
        contenders=contenders,
        values=scored.values,
        differences=scored.differences,
        rows=scored.rows,
        confusion=scored.confusion,
        forgetting=[
            Forgetting(
                task="arithmetic",
                source="tuneport's probe",
                metric="accuracy",
                base_contender=keys[0],
                contender=keys[-1],
                base=0.8,
                tuned=0.6,
                difference=_interval(-0.3, -0.2, -0.1, 120),
                rows=120,
                fell=True,
            )
        ]
        if rich
        else [],
        judgements=[
            Judgement(
                judge="people",
                raters=3,
                base=keys[0],
                other=keys[-1],
                rows=30,
                other_wins=20,
                base_wins=6,
                ties=3,
                both_bad=1,
                win_rate=_interval(0.6, 0.74, 0.85, 29),
                agreement=0.61,
                words="three people preferred it on 20 of 30 rows.",
            )
        ]
        if rich
        else [],
        money=Money(
            calls_per_month=50_000,
            gpu_per_hour=0.8,
            monthly={key: 10.0 * (place + 1) for place, key in enumerate(keys)},
            crossings=[Crossing(cheaper_below=keys[-1], cheaper_above=keys[0], calls=41_000)],
            notes=["A device of its own, kept all month."],
        )
        if rich
        else Money(),
        verdict=verdict(scored, contenders),
        warnings=["10 rows have no answer."] if failing else [],
        provenance={"versions": {"tuneport": "0.1.0"}, "platform": "Linux"},
    )
