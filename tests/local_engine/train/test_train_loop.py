"""What happens between the first step and the last: the loss's mean, resuming, stopping early, checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tuneport.errors import DatasetError, ModelError
from tuneport_local import checkpoint, run
from tuneport_local.config import RunConfig, read_events
from tuneport_local.objectives.sft import DivergedError, Stop, curve_of
from tuneport_local.order import LengthGroups

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:The following .* did not match any targeted module:RuntimeWarning"),
]
MakeJob = Callable[..., Path]
DROPOUT = {"kind": "lora", "rank": 4, "dropout": 0.2}


class StopAfter(Stop):
    """A stop that is requested while the job makes its `step`th step, as a signal would do it."""

    def __init__(self, job: Path, step: int) -> None:
        super().__init__()
        self.job, self.step = job, step

    @property
    def requested(self) -> bool:  # type: ignore[override]
        steps = [e.data["step"] for e in read_events(self.job) if e.type == "metrics"] if self.training else []
        self.latched = getattr(self, "latched", False) or (self.training and max(steps, default=0) >= self.step - 1)
        return self.latched

    @requested.setter
    def requested(self, value: bool) -> None: ...


def contradict(job: Path) -> None:
    """Make validation ask what training asks and expect other answers: it improves at first, then gets worse for good."""
    lines = (job / "validation.jsonl").read_text()
    for old, new in (("Paris", "@"), ("Lima", "Paris"), ("Tokyo", "Lima"), ("Oslo", "Tokyo"), ("@", "Oslo")):
        lines = lines.replace(old, new)
    (job / "validation.jsonl").write_text(lines)


def weights(job: Path) -> dict[str, torch.Tensor]:
    return load_file(next((job / "artifacts").glob("*.safetensors")))


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_accumulated_micro_batches_train_as_the_whole_batch_would(make_job: MakeJob) -> None:
    one = run.train(make_job(name="8x1", micro_batch_size=8))
    two = run.train(make_job(name="2x4", micro_batch_size=2))
    for left, right in zip(one.curve, two.curve, strict=True):
        assert left.loss == pytest.approx(right.loss, rel=1e-5)
        assert left.grad_norm == pytest.approx(right.grad_norm, rel=1e-4)
        assert left.tokens == right.tokens


def test_the_logged_loss_is_the_mean_over_the_trained_tokens_of_the_batch(make_job: MakeJob) -> None:
    from tuneport_local.config import read_rows
    from tuneport_local.data import load_chat_tokenizer, prepare
    from tuneport_local.models import load_base
    from tuneport_local.score import losses, mean_loss

    job = make_job(train=8, max_steps=1, micro_batch_size=2)
    report = run.train(job)
    base = Path(RunConfig.load(job / "config.json").model_path)
    chat = load_chat_tokenizer(base)
    examples = prepare(read_rows(job, "train"), chat, split="train", max_length=256, truncation="drop").examples
    assert (
        len({sum(label != -100 for label in e.labels) for e in examples}) > 1
    )  # of uneven length, or this proves nothing
    loss, _ = mean_loss(losses(load_base(base), examples, chat.pad_token_id, 3))
    assert report.curve[0].loss == pytest.approx(loss, rel=1e-5)


def test_a_mixture_of_experts_trains_its_balance_and_logs_cross_entropy(make_job: MakeJob) -> None:
    from tuneport_local.models import load_base

    job = make_job("qwen3_moe", train=8, max_steps=1, test=8)
    report = run.train(job)
    base = [json.loads(line) for line in (job / "base_scores.jsonl").read_text().splitlines()]
    mean = sum(row["loss"] * row["tokens"] for row in base) / sum(row["tokens"] for row in base)
    assert report.curve[0].loss == pytest.approx(mean, rel=1e-4)  # the same rows: train and test are alike here
    model = load_base(Path(RunConfig.load(job / "config.json").model_path))
    assert model.config.router_aux_loss_coef > 0


def test_only_what_the_assistant_says_is_trained(make_job: MakeJob) -> None:
    """The loss is that of the labelled tokens, each predicted from what stands before it, and of no others."""
    from tuneport_local.data import Example, collate
    from tuneport_local.models import load_base

    job = make_job()
    model = load_base(Path(RunConfig.load(job / "config.json").model_path))
    example = Example(1, [5, 6, 7, 8, 9, 10], [-100, -100, -100, -100, 9, 10])
    batch = collate([example], 0)
    ours = model(**batch).loss
    logits = model(input_ids=batch["input_ids"]).logits[0]
    by_hand = torch.nn.functional.cross_entropy(logits[3:5], torch.tensor([9, 10]))
    assert ours.item() == pytest.approx(by_hand.item(), rel=1e-6)


@pytest.mark.parametrize("method", [DROPOUT, {"kind": "full"}], ids=["lora", "full"])
@pytest.mark.parametrize("at", [3, 4])  # within the second epoch, and at its end: two steps make an epoch
def test_a_run_that_was_stopped_and_resumed_is_the_run_that_was_not(
    method: dict[str, Any], at: int, make_job: MakeJob
) -> None:
    settings: dict[str, Any] = {"method": method, "max_steps": 8, "epochs": 8, "validation": 4, "checkpoint_steps": 100}
    whole = run.train(make_job(name="whole", **settings))
    job = make_job(name="parts", **settings)
    with pytest.raises(run.Terminated):
        run.train(job, stop=StopAfter(job, at))
    newest = checkpoint.newest(job)
    assert newest is not None
    assert checkpoint.step_of(newest) == at
    parts = run.train(job, attempt=2)
    assert same(weights(job.parent / "whole"), weights(job))
    for left, right in zip(whole.curve, parts.curve, strict=True):
        assert (left.step, left.loss, left.grad_norm, left.learning_rate, left.tokens, left.validation_loss) == (
            right.step,
            right.loss,
            right.grad_norm,
            right.learning_rate,
            right.tokens,
            right.validation_loss,
        )
    assert [point.attempt for point in parts.curve] == [1] * at + [2] * (8 - at)
    assert parts.trained_tokens == whole.trained_tokens
    assert parts.metrics["restored_step"] == whole.metrics["restored_step"]


def test_a_checkpoint_that_is_not_whole_is_passed_over(make_job: MakeJob) -> None:
    settings: dict[str, Any] = {"max_steps": 6, "checkpoint_steps": 2, "keep_checkpoints": 5, "method": DROPOUT}
    whole = make_job(name="whole", **settings)
    run.train(whole)
    job = make_job(name="torn", **settings)
    with pytest.raises(run.Terminated):
        run.train(job, stop=StopAfter(job, 4))
    victim = checkpoint.directory(job, 4) / "optimizer.pt"
    victim.write_bytes(victim.read_bytes()[:-100])
    assert [checkpoint.step_of(path) for path in checkpoint.existing(job)] == [2]
    run.train(job, attempt=2)
    assert any(e.message == "resuming from step 2" for e in read_events(job))
    assert same(weights(whole), weights(job))


def test_resuming_after_the_last_step_only_finishes(make_job: MakeJob) -> None:
    job = make_job(test=4)
    with pytest.raises(run.Terminated):
        run.train(job, stop=StopAfter(job, 4))
    scored = (job / "base_scores.jsonl").stat().st_mtime_ns
    report = run.train(job, attempt=2)
    assert report.steps == 4
    assert report.trained_tokens > 0
    assert (job / "base_scores.jsonl").stat().st_mtime_ns == scored  # the base was not scored again


def test_the_newest_checkpoints_and_the_best_are_kept(make_job: MakeJob) -> None:
    job = make_job(
        method={"kind": "full"},
        max_steps=60,
        eval_steps=1,
        checkpoint_steps=1,
        learning_rate=5e-3,
        scheduler="constant",
    )
    cities = ["Paris", "Lima", "Tokyo", "Oslo"]
    for split, shift, times in (("train", 0, 4), ("validation", 1, 1)):  # validation expects another's answer
        rows = [
            [
                {"role": "user", "content": ["red", "green", "blue", "black"][i % 4]},
                {"role": "assistant", "content": cities[(i + shift) % 4]},
            ]
            for i in range(4 * times)
        ]
        lines = [json.dumps({"row": n, "messages": messages}) for n, messages in enumerate(rows, 1)]
        (job / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    report = run.train(job)
    losses = {point.step: point.validation_loss for point in report.curve}
    best = min(losses, key=lambda step: losses[step])
    assert best < 59
    assert [c.step for c in report.checkpoints] == [best, 59, 60]
    assert [c.best for c in report.checkpoints] == [True, False, False]
    assert report.metrics["restored_step"] == best
    assert report.metrics["validation_loss"] == losses[best]
    saved = load_file(checkpoint.directory(job, best) / checkpoint.WEIGHTS)
    kept = weights(job)
    name = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(saved[name], kept[name])


def test_it_stops_early_and_gives_back_the_best(make_job: MakeJob) -> None:
    job = make_job(
        method={"kind": "full"},
        max_steps=60,
        eval_steps=1,
        validation=4,
        learning_rate=2e-2,
        early_stopping_patience=2,
    )
    contradict(job)
    report = run.train(job)
    losses = [point.validation_loss for point in report.curve]
    best = int(report.metrics["restored_step"])
    assert report.steps == best + 2 < 60
    assert losses[best - 1] == min(losses)
    assert report.metrics["stopped_early"] == 1.0
    saved = load_file(checkpoint.directory(job, best) / checkpoint.WEIGHTS)
    kept = weights(job)
    assert all(torch.equal(saved[name], kept[name]) for name in kept if name in saved)
    # Lost after the stop and before the report: the next attempt does not train on.
    (job / "report.json").unlink()
    again = run.train(job, attempt=2)
    assert again.steps == report.steps
    assert same(kept, weights(job))


def test_without_validation_the_last_step_is_kept(make_job: MakeJob) -> None:
    report = run.train(make_job(max_steps=3))
    assert report.metrics["restored_step"] == 3
    assert not any(c.best for c in report.checkpoints)


def test_a_checkpoint_of_another_method_is_refused(make_job: MakeJob) -> None:
    job = make_job(max_steps=4)
    with pytest.raises(run.Terminated):
        run.train(job, stop=StopAfter(job, 2))
    config = RunConfig.load(job / "config.json")
    config.model_copy(update={"method": {"kind": "lora", "rank": 2}}).save(job / "config.json")
    with pytest.raises(ModelError, match="does not fit"):
        run.train(job, attempt=2)


def test_a_loss_that_is_no_number_ends_the_run(make_job: MakeJob) -> None:
    job = make_job(method={"kind": "full"}, learning_rate=1.0, max_grad_norm=1e30, max_steps=200, train=8)
    config = RunConfig.load(job / "config.json")
    config.model_copy(update={"learning_rate": 1e30}).save(job / "config.json")
    with pytest.raises(DivergedError, match=r"diverged.*learning rate"):
        run.train(job)


def test_no_usable_row_says_how_many_went_where(make_job: MakeJob) -> None:
    with pytest.raises(DatasetError, match=r"not one of the 16 training rows.*16 × "):
        run.train(job := make_job(max_length=8))
    assert len((job / "ledger.jsonl").read_text().splitlines()) == 16


@pytest.mark.parametrize(
    ("losses", "patience", "threshold", "over"),
    [
        ([], 1, 0.0, False),
        ([2.0], 1, 0.0, False),
        ([2.0, 2.0], 1, 0.0, True),
        ([2.0, 1.0, 1.5], 2, 0.0, False),
        ([2.0, 1.0, 1.5, 1.2], 2, 0.0, True),
        ([2.0, 1.0, 1.5, 0.9], 2, 0.0, False),
        ([2.0, 1.95, 1.92], 2, 0.1, True),
        ([2.0, 1.95, 1.85], 2, 0.1, False),  # slowly, but by more than 0.1 in all
    ],
)
def test_patience(losses: list[float], patience: int, threshold: float, over: bool) -> None:
    assert checkpoint.exhausted(losses, patience, threshold) is over


@pytest.mark.parametrize(("rows", "batch"), [(1, 8), (7, 8), (100, 8), (513, 8)])
def test_the_order_has_every_row_once_and_follows_from_seed_and_epoch(rows: int, batch: int) -> None:
    lengths = [(i * 37) % 91 + 1 for i in range(rows)]

    def order(seed: int, epoch: int) -> list[int]:
        sampler = LengthGroups(lengths, batch, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    first = order(1, 0)
    assert sorted(first) == list(range(rows))
    assert first == order(1, 0)
    if rows > batch:
        assert first != order(1, 1)
        assert first != order(2, 0)
        assert max(lengths) in [lengths[i] for i in first[:batch]]


def test_grouping_by_length_leaves_little_padding() -> None:
    lengths = [(i * 37) % 91 + 1 for i in range(512)]

    def padded(order: list[int]) -> int:
        return sum(8 * max(lengths[i] for i in order[start : start + 8]) for start in range(0, 512, 8))

    assert padded(list(LengthGroups(lengths, 8, 0))) < 1.2 * sum(lengths) < padded(list(range(512)))


def test_the_curve_joins_training_and_validation_of_a_step() -> None:
    log = [
        {"step": 1, "epoch": 0.5, "loss": 2.0, "tokens": 10, "attempt": 1},
        {"step": 2, "epoch": 1.0, "loss": 1.0, "tokens": 20, "attempt": 2},
        {"step": 2, "epoch": 1.0, "eval_loss": 1.5, "attempt": 2},
        {"step": 2, "train_runtime": 3.0},
    ]
    points = curve_of(log)
    assert [(p.step, p.loss, p.validation_loss, p.tokens, p.attempt) for p in points] == [
        (1, 2.0, None, 10, 1),
        (2, 1.0, 1.5, 20, 2),
    ]
