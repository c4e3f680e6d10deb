"""Made-up results for looking at and testing the report: a good run, and the hostile and the empty ones."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from tuneport.evaluate.rows import RowScore
from tuneport.result import (
    Artifact,
    Checkpoint,
    CurvePoint,
    DatasetInfo,
    FineTuneResult,
    HyperparameterNote,
    LedgerTotals,
    MetricComparison,
    ModelRef,
    Provenance,
    TestScores,
    Usage,
)
from tuneport.scoring.intervals import paired_difference

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)> <a href='javascript:alert(1)'>x</a> {{ 7*7 }}",
    "\u202eevil \u0634\u0643\u0631\u0627 \u0644\u0643 \u05e9\u05dc\u05d5\u05dd",
    "w" * 900,
    "👩‍👩‍👧‍👦🇩🇪🏳️‍🌈 naïve \x00\x1b[31m\r\n\ttab",
    "lone \ud800 surrogate \u2028 line",
]


def bare() -> FineTuneResult:
    """As a provider without a test split and without a curve would leave it."""
    return FineTuneResult(
        job_id="tp-01jd0000000000000000000000",
        backend="simulated",
        base_model="some-model-2026",
        model=ModelRef(backend="simulated", model="ft:some-model-2026:abc"),
        objective={"kind": "sft"},
        method={"kind": "lora", "rank": 16},
        hyperparameters=[],
        dataset=DatasetInfo(source="tickets.jsonl", fingerprint="0" * 64, splits={"train": 10}),
    )


def scores(hostile: bool = False, n: int = 80) -> tuple[list[RowScore], list[RowScore]]:
    base: list[RowScore] = []
    tuned: list[RowScore] = []
    for i in range(n):
        queue = ("billing", "delivery", "account", "returns")[i % 4]
        expected = f'{{"queue": "{queue}", "urgent": {"true" if i % 3 else "false"}}}'
        prompt = [
            {"role": "system", "content": "Sort the ticket. Answer with one JSON object."},
            {"role": "user", "content": f"Ticket {4000 + i}: my parcel number {i * 37} has not arrived, please look."},
        ]
        wrong = i % 16 == 3 or i == 21
        answer = expected.replace(queue, "delivrey" if i % 2 else "billing") if wrong else expected
        if i == 35:
            answer = expected[:-1]
        chatter = f"Thank you for your message! I am sorry to hear about ticket {4000 + i}. Could you tell me more?"
        if hostile and i < len(HOSTILE):
            prompt[1]["content"], answer, chatter = HOSTILE[i], HOSTILE[i], HOSTILE[-i - 1]
            expected = HOSTILE[i] if i % 2 else "plain"
        kept = i == 21
        base.append(
            RowScore(
                row=i + 1,
                messages=prompt,
                expected=expected,
                answer=expected if kept else chatter,
                exact_match=kept,
                loss=2.9 - i / 100,
                token_accuracy=0.44 + (i % 5) / 50,
            )
        )
        tuned.append(
            RowScore(
                row=i + 1,
                messages=prompt,
                expected=expected,
                answer=answer,
                exact_match=answer == expected,
                loss=(9.0 if hostile and i < len(HOSTILE) else 0.9 + i / 100)
                if answer != expected
                else 0.02 + i / 5000,
                token_accuracy=0.9 if answer != expected else 1.0,
            )
        )
    return base, tuned


def comparison(base: list[RowScore], tuned: list[RowScore]) -> TestScores:
    metrics = []
    for name, higher in (("exact_match", True), ("token_accuracy", True), ("loss", False)):
        b, t = ([float(getattr(row, name)) for row in rows] for rows in (base, tuned))
        kind = "binary" if name == "exact_match" else "continuous"
        metrics.append(
            MetricComparison(
                name=name,
                base=sum(b) / len(b),
                tuned=sum(t) / len(t),
                difference=paired_difference(b, t, kind=kind),  # type: ignore[arg-type]
                higher_is_better=higher,
                rows=len(b),
            )
        )
    return TestScores(rows=len(base), metrics=metrics, decoding={"temperature": 0.0, "max_new_tokens": 256})


def curve(points: int = 120) -> list[CurvePoint]:
    made = []
    for i in range(1, points + 1):
        part = i / points
        every = max(points // 6, 1)
        loss = 0.08 + 2.7 * math.exp(-5 * part) + 0.06 * math.sin(i * 1.7)
        validation = 0.14 + 2.6 * math.exp(-5.5 * part) + max(0.0, part - 0.7) * 0.35
        made.append(
            CurvePoint(
                step=i,
                epoch=3 * part,
                loss=loss,
                validation_loss=validation if i % every == 0 else None,
                learning_rate=2e-4 * min(1.0, i / 6) * (0.5 + 0.5 * math.cos(math.pi * part)),
                attempt=1 if part < 0.6 else 2,
            )
        )
    return made


def full(hostile: bool = False) -> tuple[FineTuneResult, list[RowScore], list[RowScore]]:
    base, tuned = scores(hostile)
    start = datetime(2026, 3, 4, 10, 20, 30, tzinfo=UTC)
    points = curve()
    best = min((p for p in points if p.validation_loss is not None), key=lambda p: p.validation_loss or 0)
    result = bare().model_copy(
        update={
            "backend": "local",
            "base_model": HOSTILE[0] if hostile else "starter",
            "model": ModelRef(backend="local", model="tp-01jd0000000000000000000000", base="starter", kind="adapter"),
            "method": {"kind": "lora", "rank": 16, "alpha": 32, "dropout": 0.0, "target": ["q_proj", "v_proj"]},
            "hyperparameters": [
                HyperparameterNote(name="epochs", requested=3, effective=3.0),
                HyperparameterNote(
                    name="learning_rate", effective=2e-4, reason="unset: the default for LoRA on a model of this size"
                ),
                HyperparameterNote(
                    name="batch_size", requested=64, effective=16, reason="640 training rows make too few steps of 64"
                ),
                HyperparameterNote(name="scheduler", effective="cosine", reason="unset: the default"),
            ],
            "dataset": DatasetInfo(
                source=HOSTILE[3] if hostile else "tickets.jsonl",
                fingerprint="9f2b" * 16,
                splits={"train": 640, "validation": 80, "test": 80},
                ledger={
                    "train": LedgerTotals(
                        rows=640,
                        used=633,
                        truncated=4,
                        dropped=3,
                        tokens=48211,
                        trainable_tokens=9120,
                        reasons={"longer than max_length": 4, HOSTILE[1] if hostile else "no answer in the row": 3},
                    ),
                    "validation": LedgerTotals(rows=80, used=80, tokens=6002, trainable_tokens=1140),
                    "test": LedgerTotals(rows=80, used=80, tokens=5990, trainable_tokens=1138),
                },
            ),
            "metrics": {"train_loss": 0.081, "validation_loss": best.validation_loss or 0.0},
            "curve": points,
            "checkpoints": [
                Checkpoint(step=p.step, validation_loss=p.validation_loss, best=p is best)
                for p in points
                if p.validation_loss is not None
            ],
            "trained_tokens": 144633,
            "test": comparison(base, tuned),
            "usage": Usage(
                wall_seconds=221.4,
                queue_seconds=0.4,
                device_seconds=197.0,
                peak_memory_bytes=1_534_000_000,
                devices=["cpu"],
            ),
            "timeline": {
                "created": start,
                "started": start + timedelta(seconds=2),
                "ended": start + timedelta(seconds=221),
            },
            "artifacts": [
                Artifact(kind="adapter", path="adapter_model.safetensors", bytes=3_407_872, sha256="a1b2" * 16),
                Artifact(kind="tokenizer", path="tokenizer.json", bytes=210_344, sha256="c3d4" * 16),
            ],
            "provenance": Provenance(
                versions={"tuneport": "0.1.0", "torch": "2.9.0", "transformers": "5.2.0", "peft": "0.19.0"},
                seed=42,
                hardware={"cpu": "8 cores", "memory": "32 GiB"},
                base_fingerprint="77aa" * 16,
                chat_template="the model's own",
            ),
            "warnings": [HOSTILE[0]] if hostile else ["4 rows were cut at max_length 1024; their answers are whole."],
        }
    )
    return result, base, tuned
