"""Supervised fine-tuning: TRL's SFTTrainer on rows that are tokens already, with our labels, batches, log and checkpoints.

TRL does the stepping and the loss: summed over the trained tokens and divided by all trained tokens of the optimiser step's
micro-batches, which is what a mean over the whole batch is. Ours are four things that it does otherwise:

- validation loss is a mean over tokens, where the Trainer's is a mean of the batches' means;
- the order of the rows follows from the seed and the epoch alone, where the Trainer's grouping by length draws from a
  generator that a resumed run finds in another state, so that it would train some rows twice and others never;
- checkpoints are whole or absent, and hold parameters by name (see `checkpoint`);
- what is logged, validated and saved at a step is decided in one place, `_Flow.on_step_end`.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from transformers import PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from tuneport.errors import TuneportError
from tuneport.result import Checkpoint, CurvePoint
from tuneport_local import checkpoint
from tuneport_local.config import RunConfig
from tuneport_local.data import ChatTokenizer, Example, collate
from tuneport_local.order import LengthGroups
from tuneport_local.score import losses, mean_loss

_MOST_POINTS = 400  # training points in the log; a longer run logs every so many steps
_HEAD_TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2}

Emit = Callable[..., None]


class DivergedError(TuneportError):
    """The loss is no longer a number."""


@dataclass
class Stop:
    """Set by a signal handler; the run ends after the step that it is in."""

    requested: bool = False
    training: bool = field(default=False, init=False)


@dataclass
class Outcome:
    """What training left behind. `model` holds the best checkpoint's parameters where there was a validation."""

    model: Any
    steps: int
    log: list[dict[str, Any]]
    tokens: int
    seconds: float
    restored_step: int
    stopped: bool
    early: bool
    checkpoints: list[Checkpoint]

    def curve(self) -> list[CurvePoint]:
        return curve_of(self.log)


def train(
    config: RunConfig,
    job: Path,
    model: Any,
    chat: ChatTokenizer,
    rows: Sequence[Example],
    validation: Sequence[Example],
    *,
    attempt: int,
    stop: Stop,
    emit: Emit,
) -> Outcome:
    """Train `model`, whose parameters that require gradients learn, from the newest whole checkpoint if there is one.

    Raises DivergedError where the loss stops being a number, TuneportError where the disk is full.
    """
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    micro = min(config.micro_batch_size, config.batch_size)
    accumulate = math.ceil(config.batch_size / micro)
    steps_per_epoch = math.ceil(math.ceil(len(rows) / micro) / accumulate)
    total = config.max_steps or max(1, math.ceil(config.epochs * steps_per_epoch))
    quiet: dict[str, Any] = {
        "report_to": "none",
        "disable_tqdm": True,
        "push_to_hub": False,
        "logging_nan_inf_filter": False,
    }
    args = cast("Any", SFTConfig)(
        output_dir=str(job / ".trainer"),  # nothing is written there: saving is ours
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=accumulate,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.scheduler,
        warmup_steps=int(total * config.warmup_ratio),  # rounded down: the first step of a warm-up trains nothing
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        seed=config.seed,
        data_seed=config.seed,
        use_cpu=config.devices[0] == "cpu",
        bf16=config.precision == "bf16",
        gradient_checkpointing=None,
        activation_checkpointing=config.gradient_checkpointing,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        dataloader_pin_memory=config.devices[0] != "cpu",
        logging_strategy="no",
        eval_strategy="no",
        save_strategy="no",
        **quiet,
    )
    text_config = model.config.get_text_config()
    router_logits = getattr(text_config, "output_router_logits", None)
    flow = _Flow(config, total, steps_per_epoch, bool(validation), attempt, stop, emit)
    trainer = _Trainer(
        model=model,
        args=args,
        train_dataset=Dataset.from_list([{"input_ids": r.input_ids, "labels": r.labels} for r in rows]),
        data_collator=lambda batch: collate(
            [Example(0, b["input_ids"], b["labels"]) for b in batch], chat.pad_token_id
        ),
        processing_class=chat.tokenizer,
        callbacks=[flow],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.begin(config, job, attempt, rows, validation, chat.pad_token_id, emit)
    resume = checkpoint.newest(job)
    stop.training = True
    try:
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    finally:
        stop.training = False
        if router_logits is not None:
            # TRL asks a mixture of experts for its router's logits by way of the config. Saved like that, the model fails to
            # generate: with a cache, the balance loss meets a mask of another length.
            text_config.output_router_logits = router_logits
        shutil.rmtree(job / ".trainer", ignore_errors=True)
    state = trainer.state
    final = checkpoint.best_step(state.log_history) if validation else None
    restored = final if final is not None else state.global_step
    if not stop.requested and restored != state.global_step:
        checkpoint.load_trainable(trainer.model, checkpoint.directory(job, restored))
        emit(f"restored step {restored}, which had the lowest validation loss")
    saved = [checkpoint.step_of(path) or 0 for path in checkpoint.existing(job)]
    by_step = {point.step: point.validation_loss for point in curve_of(state.log_history)}
    return Outcome(
        model=trainer.model.eval(),
        steps=state.global_step,
        log=state.log_history,
        tokens=trainer.tokens,
        seconds=trainer.seconds,
        restored_step=restored,
        stopped=stop.requested,
        early=flow.exhausted(state.log_history),
        checkpoints=[
            Checkpoint(
                step=step,
                path=str(checkpoint.directory(job, step).relative_to(job)),
                validation_loss=by_step.get(step),
                best=step == final,
            )
            for step in saved
        ],
    )


class _Flow(TrainerCallback):  # type: ignore[misc]
    """Decides after each step what happens next, and says it as events."""

    def __init__(
        self, config: RunConfig, total: int, per_epoch: int, validates: bool, attempt: int, stop: Stop, emit: Emit
    ) -> None:
        self.log_every = max(1, math.ceil(total / _MOST_POINTS))
        self.save_every = config.checkpoint_steps or per_epoch
        self.eval_every = (config.eval_steps or per_epoch) if validates else 0
        self.patience, self.threshold = config.early_stopping_patience, config.early_stopping_threshold
        self.attempt, self.stop, self.emit = attempt, stop, emit

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002
        step, last = state.global_step, state.global_step >= state.max_steps
        control.should_log = last or step == 1 or step % self.log_every == 0
        control.should_save = last or step % self.save_every == 0
        control.should_evaluate = bool(self.eval_every) and (last or step % self.eval_every == 0)
        if control.should_evaluate:
            control.should_log = True
        if self.stop.requested:
            # A validation that is due is still made: the resumed run has to find the log that an unbroken one would have.
            control.should_log = control.should_save = control.should_training_stop = True
        return control

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002
        if checkpoint.best_step(state.log_history) == state.global_step:
            control.should_save = True  # the best can be restored only if it was kept
        if self.exhausted(state.log_history):
            control.should_training_stop = control.should_save = True
            self.emit(
                f"stopping early at step {state.global_step}: {self.patience} validations without an improvement"
                + (f" of more than {self.threshold:g}" if self.threshold else "")
            )
        return control

    def exhausted(self, log: Sequence[dict[str, Any]]) -> bool:
        found = [entry["eval_loss"] for entry in log if "eval_loss" in entry]
        return self.patience is not None and checkpoint.exhausted(found, self.patience, self.threshold)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        # An attempt that had stopped early, and was lost before it could report, has nothing left to train.
        control.should_training_stop = self.exhausted(state.log_history)

    def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        entry = state.log_history[-1]
        if "loss" not in entry and "eval_loss" not in entry:
            return  # the Trainer's own closing summary
        loss = entry.get("loss", entry.get("eval_loss"))
        if not math.isfinite(loss):
            raise DivergedError(
                f"the loss is {loss} at step {state.global_step}: training has diverged. Lower the learning rate "
                f"({args.learning_rate:g}), raise warmup_ratio, or use precision='fp32'."
            )
        point = curve_of([entry])[0].model_dump(exclude={"attempt"}, exclude_none=True)
        self.emit("", type="metrics", data={**point, "max_steps": state.max_steps})


class _Trainer(SFTTrainer):  # type: ignore[misc]
    """SFTTrainer with the four differences that the module's docstring names."""

    model: Any
    control: Any

    def begin(
        self,
        config: RunConfig,
        job: Path,
        attempt: int,
        rows: Sequence[Example],
        validation: Sequence[Example],
        pad_token_id: int,
        emit: Emit,
    ) -> None:
        self.config, self.job, self.attempt, self.emit = config, job, attempt, emit
        self.rows, self.validation, self.pad_token_id = rows, validation, pad_token_id
        self.lengths = [len(row.input_ids) for row in rows]
        self.tokens, self.seconds = 0, 0.0  # of the whole job; a checkpoint brings those of earlier attempts
        self._logged = (0, 0.0)
        for parameter in self.model.parameters():
            # SFTTrainer turns a quantised model's adapter to bf16, in which a small update is lost to rounding.
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        self._check_head()

    def _check_head(self) -> None:
        """Compare TRL's fused head with the model's own logits on one row.

        The fused head multiplies the last hidden state with the head's weights and knows the scalings of the families that
        it knows. A model that does something else between the two would be trained on a wrong loss, in silence.
        """
        row = min(self.rows, key=lambda row: len(row.input_ids))
        batch = {k: v.to(self.args.device) for k, v in collate([row], self.pad_token_id).items()}
        self.model.eval()
        with torch.no_grad(), self.compute_loss_context_manager():
            fused = self.model(**batch, use_cache=False, fused_lm_head=True)
            fused_loss = float(-fused.log_probs.sum() / fused.label_mask.sum())
        own_loss = mean_loss(losses(self.model, [row], self.pad_token_id, 1, bf16=self.args.bf16))[0]
        if abs(fused_loss - own_loss) > _HEAD_TOLERANCE[self.config.precision] * max(1.0, abs(own_loss)):
            raise TuneportError(
                f"the trainer's loss of this model is {fused_loss:.4f} where the model's own logits give {own_loss:.4f}: its "
                "head does something that the trainer does not know, and training would go astray. Use another base model."
            )

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:  # noqa: ARG002
        return LengthGroups(self.lengths, self.config.batch_size, self.config.seed)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        if not self.control.should_training_stop:
            super()._run_epoch(*args, **kwargs)

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        started = time.monotonic()
        batch = args[1]
        self.tokens += int(batch["attention_mask"].sum())
        loss = super().training_step(*args, **kwargs)
        self.seconds += time.monotonic() - started
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            tokens, seconds = self.tokens - self._logged[0], self.seconds - self._logged[1]
            self._logged = (self.tokens, self.seconds)
            logs["tokens"], logs["tokens_per_second"] = self.tokens, tokens / seconds if seconds > 0 else 0.0
            if auxiliary := self._metrics["train"].get("aux_loss"):
                # The curve is cross-entropy; a mixture of experts' balance term is trained and told apart.
                logs["loss"] -= self.router_aux_loss_coef * sum(auxiliary) / len(auxiliary)
        logs["attempt"] = self.attempt
        super().log(logs, start_time)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:  # noqa: ARG002
        size = max(1, min(2 * self.args.per_device_train_batch_size, 64))
        scored = losses(self.model, self.validation, self.pad_token_id, size, bf16=self.args.bf16)
        loss, accuracy = mean_loss(scored)
        metrics = {"eval_loss": loss, "eval_token_accuracy": accuracy}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save_checkpoint(self, model: Any, trial: Any) -> None:  # noqa: ARG002
        step = self.state.global_step
        path = checkpoint.directory(self.job, step)
        with checkpoint.writing(path) as part:
            checkpoint.save_trainable(self.model, part)
            self._save_optimizer_and_scheduler(str(part))
            self._save_rng_state(str(part))
            self.state.save_to_json(str(part / checkpoint.TRAINER_STATE))
            progress = checkpoint.Progress(step=step, tokens=self.tokens, seconds=self.seconds)
            (part / checkpoint.PROGRESS).write_text(progress.model_dump_json(), encoding="utf-8")
            checkpoint.seal(part)
        best = checkpoint.best_step(self.state.log_history)
        checkpoint.prune(self.job, self.config.keep_checkpoints, best)
        data = {"step": step, "path": str(path.relative_to(self.job)), "best": step == best}
        self.emit(f"saved step {step}", type="checkpoint", data=data)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:  # noqa: ARG002
        path = Path(resume_from_checkpoint)
        checkpoint.load_trainable(self.model, path)
        progress = checkpoint.Progress.model_validate_json((path / checkpoint.PROGRESS).read_bytes())
        self.tokens, self.seconds = progress.tokens, progress.seconds
        self._logged = (self.tokens, self.seconds)
        self.emit(f"resuming from step {progress.step}")


def curve_of(log: Sequence[dict[str, Any]]) -> list[CurvePoint]:
    """A trainer's log as points, a step each, training and validation together."""
    points: dict[int, dict[str, Any]] = {}
    for entry in log:
        names = {
            "loss": "loss",
            "mean_token_accuracy": "token_accuracy",
            "learning_rate": "learning_rate",
            "grad_norm": "grad_norm",
            "tokens": "tokens",
            "tokens_per_second": "tokens_per_second",
            "eval_loss": "validation_loss",
            "eval_token_accuracy": "validation_token_accuracy",
        }
        values = {ours: entry[theirs] for theirs, ours in names.items() if theirs in entry}
        if values and ("loss" in entry or "eval_loss" in entry):
            point = points.setdefault(entry["step"], {"step": entry["step"]})
            point.update(values, epoch=entry.get("epoch"), attempt=entry.get("attempt", 1))
    return [CurvePoint.model_validate(point) for _, point in sorted(points.items())]
