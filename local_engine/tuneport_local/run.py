"""The trainer process: one run, from the rows in a job's directory to its artifacts and report.

    python -m tuneport_local.run <job> [--attempt 1] [--parent-fd FD]

It ends with one of the codes below. SIGTERM lets it finish the step that it is in and save a checkpoint; before and after
training it ends at once. `--parent-fd` is the reading end of a pipe of which only the supervisor holds the other end: when
that closes, the supervisor is gone, and so is this process.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tuneport.errors import DatasetError, TuneportError, UnsupportedError
from tuneport.methods import Full, QLoRA
from tuneport.result import LedgerTotals, TestScores
from tuneport.status import Event
from tuneport_local import config as files
from tuneport_local.config import Failure, RunConfig, RunReport

if TYPE_CHECKING:
    from tuneport_local.data import ChatTokenizer, Example, Prepared
    from tuneport_local.objectives.sft import Outcome, Stop

EXIT_DONE = 0
EXIT_FAILED = 1  # failure.json says why
EXIT_TERMINATED = 128 + signal.SIGTERM  # asked to stop: resumable from the last whole checkpoint
EXIT_ORPHANED = 128 + signal.SIGHUP  # the supervisor went away

_SPLITS = ("train", "validation", "test")


class Terminated(Exception):
    """The run was asked to stop and did, after a whole step."""


class _Job:
    """The directory of the job, and its voice."""

    def __init__(self, path: Path, attempt: int) -> None:
        self.path, self.attempt = path, attempt
        self.warnings: list[str] = []

    def emit(
        self,
        message: str,
        *,
        type: Literal["metrics", "checkpoint", "message"] = "message",  # noqa: A002
        level: Literal["info", "warning", "error"] = "info",
        data: dict[str, Any] | None = None,
    ) -> None:
        event = Event(seq=0, level=level, type=type, message=message, attempt=self.attempt, data=data or {})
        files.append_event(self.path, event)

    def warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)
            self.emit(message, level="warning")


def train(path: Path, *, attempt: int = 1, stop: Stop | None = None) -> RunReport:
    """Carry out the run in the job's directory `path`, resuming where an earlier attempt left a whole checkpoint.

    Writes everything that the directory's contract names, report.json last, and returns the report. Raises Terminated
    where `stop` was requested, TuneportError where the user can do something about it.
    """
    from transformers import set_seed

    from tuneport_local import artifacts, checkpoint, forgetting, models, score
    from tuneport_local.objectives import sft
    from tuneport_local.provenance import peak_memory, provenance_of

    config = RunConfig.load(path / files.CONFIG)
    job = _Job(path, attempt)
    (path / files.FAILURE).unlink(missing_ok=True)
    if config.objective.get("kind", "sft") != "sft":
        wanted = config.objective.get("kind")
        raise UnsupportedError(
            f"objective {wanted!r} cannot be trained locally: use 'sft'", feature=f"objective:{wanted}"
        )
    method = models.method_of(config)
    set_seed(config.seed)
    base = Path(config.model_path)
    device = "cpu" if config.devices[0] == "cpu" else "cuda:0"  # `models.see_only` hid the others
    effective = _fit_context(config, base, job)
    config = config.model_copy(update=effective)

    chat, prepared, rows = _prepare(config, base, job)
    examples: dict[str, list[Example]] = {split: prepared[split].examples for split in prepared}
    totals = {split: prepared[split].totals() for split in prepared}
    test = examples.get("test", [])

    def load(folder: Path | None) -> Any:
        if folder is not None:
            adapter = None if isinstance(method, Full) else folder
            return models.load_for_inference(
                base if adapter else folder, adapter, device=device, precision=config.precision
            )
        return models.load_base(
            base,
            device=device,
            precision=config.precision,
            method=method,
            trust_remote_code=config.trust_remote_code,
            training=True,
        )

    def score_test(model: Any, who: str, out: Path) -> None:
        def say(done: int, of: int) -> None:
            job.emit(f"scoring the {who} model: {done} of {of} test rows", data={"done": done, "of": of})

        scores = score.score(model, chat, test, rows["test"], config, progress=say)
        score.write(out, scores)
        if full := score.unanswered(scores):
            job.warn(f"test: {_rows(full)} without exact match: the question alone fills the model's context")

    model = load(None)
    models.use_threads(model, config.threads)
    if isinstance(method, QLoRA) and (left := models.left_whole(model)):
        job.warn(left)
    if test and not (path / files.BASE_SCORES).exists():
        score_test(model, "base", path / files.BASE_SCORES)
    bf16 = config.precision == "bf16"
    general = forgetting.general_loss(model, chat, bf16=bf16)
    if general.words:
        job.emit(general.words)
    model = models.attach(model, method)
    initial: Path | None = None
    if artifacts.changes_base(method):
        initial = path / ".initial" / "start"
        model.save_pretrained(str(initial), save_embedding_layers=False)
    learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
    every = sum(p.numel() for p in model.parameters())
    job.emit(f"training {learning:,} of {every:,} parameters on {len(examples['train'])} rows")

    outcome = sft.train(
        config,
        path,
        model,
        chat,
        examples["train"],
        examples.get("validation", []),
        attempt=attempt,
        stop=stop or sft.Stop(),
        emit=job.emit,
    )
    if outcome.stopped:
        raise Terminated(f"stopped after step {outcome.steps}")

    fingerprint = models.fingerprint(base)
    kind: Literal["adapter", "full"] = "full" if isinstance(method, Full) else "adapter"
    scores: TestScores | None = None
    metrics = _metrics(outcome)
    with checkpoint.writing(path / files.ARTIFACTS) as part:
        artifacts.save_model(part, outcome.model, chat, method, config, initial)
        probe = max(examples["train"], key=lambda e: len(e.input_ids))
        trained = artifacts.logits(outcome.model, probe, chat.pad_token_id, bf16=bf16)
        # From here on it is the artifact that is looked at, loaded afresh: what is scored is what will be served. The
        # trained model goes first, so that there is never room needed for two.
        model = outcome.model = None
        gc.collect()
        reloaded = load(part)
        artifacts.check_parity(
            trained, artifacts.logits(reloaded, probe, chat.pad_token_id, bf16=bf16), config.precision
        )
        if test:
            score_test(reloaded, "tuned", path / files.TUNED_SCORES)
            before, after = score.read(path / files.BASE_SCORES), score.read(path / files.TUNED_SCORES)
            scores = score.compare(before, after, score.decoding(reloaded, chat, config))
        if not general.words:
            after_all = forgetting.general_loss(reloaded, chat, bf16=bf16)
            verdict = forgetting.compare(general, after_all, int(reloaded.config.get_text_config().vocab_size))
            metrics.update(verdict.metrics)
            if verdict.warning:
                job.warn(verdict.warning)
            elif verdict.note:
                job.emit(verdict.note)
        card = artifacts.model_card(
            config,
            kind=kind,
            totals=totals,
            steps=outcome.steps,
            test=scores,
            base_fingerprint=fingerprint,
            template_source=chat.template_source,
            warnings=job.warnings,
        )
        (part / "README.md").write_text(card, encoding="utf-8")
    shutil.rmtree(path / ".initial", ignore_errors=True)

    report = RunReport(
        kind=kind,
        metrics=metrics,
        curve=outcome.curve(),
        checkpoints=outcome.checkpoints,
        ledger=totals,
        trained_tokens=outcome.tokens,
        steps=outcome.steps,
        test=scores,
        artifacts=artifacts.describe(path / files.ARTIFACTS),
        peak_memory_bytes=peak_memory(device),
        train_seconds=outcome.seconds,
        provenance=provenance_of(config, device, fingerprint, chat.template_source),
        effective=effective,
        warnings=job.warnings,
    )
    report.save(path / files.REPORT)
    job.emit(f"done after {outcome.steps} steps")
    return report


def _fit_context(config: RunConfig, base: Path, job: _Job) -> dict[str, Any]:
    """What has to differ from the configuration, because the model or the batch is smaller than it says."""
    from tuneport_local import layout

    changed: dict[str, Any] = {}
    context = layout.context_length(layout.check(base))
    if context is not None and config.max_length > context:
        changed["max_length"] = context
        job.warn(f"max_length {config.max_length} is above the model's context: {context} tokens are used")
    if config.micro_batch_size > config.batch_size:
        changed["micro_batch_size"] = config.batch_size
    return changed


def _prepare(
    config: RunConfig, base: Path, job: _Job
) -> tuple[ChatTokenizer, dict[str, Prepared], dict[str, list[dict[str, Any]]]]:
    """Tokenizer, tokenised splits and their canonical rows; writes the ledger. Raises DatasetError with nothing to train on."""
    from tuneport_local.data import load_chat_tokenizer, prepare

    chat = load_chat_tokenizer(base, trust_remote_code=config.trust_remote_code)
    for warning in chat.warnings:
        job.warn(warning)
    rows = {split: found for split in _SPLITS if (found := files.read_rows(job.path, split))}
    if "train" not in rows:
        raise DatasetError("train.jsonl has no rows: there is nothing to train on", source="train.jsonl")
    prepared: dict[str, Prepared] = {}
    for split, found in rows.items():
        prepared[split] = prepare(found, chat, split=split, max_length=config.max_length, truncation=config.truncation)
        for warning in prepared[split].warnings:
            job.warn(warning)
    lines = [entry.model_dump_json() + "\n" for one in prepared.values() for entry in one.ledger]
    files.write_atomic(job.path / files.LEDGER, "".join(lines).encode())
    for split, one in prepared.items():
        t = one.totals()
        text = f"{split}: {t.used} of {t.rows} rows used, {t.truncated} truncated, {t.dropped} dropped"
        job.emit(f"{text}; {t.trainable_tokens or 0:,} of {t.tokens or 0:,} tokens are trained", data=t.model_dump())
    if not prepared["train"].examples:
        raise DatasetError(_nothing(prepared["train"].totals(), config), source="train.jsonl")
    for split in ("validation", "test"):
        if split in prepared and not prepared[split].examples:
            job.warn(f"{split}: not one of its {len(rows[split])} rows can be used, so there is no {split}")
            del prepared[split]
    return chat, prepared, rows


def _rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"


def _nothing(totals: LedgerTotals, config: RunConfig) -> str:
    reasons = ", ".join(f"{count} × {reason}" for reason, count in Counter(totals.reasons).most_common())
    return (
        f"not one of the {totals.rows} training rows can be used, all were dropped: {reasons}. With max_length "
        f"{config.max_length} and truncation {config.truncation!r}; {files.LEDGER} names each row."
    )


def _metrics(outcome: Outcome) -> dict[str, float]:
    """The figures of the model that was kept, by name."""
    points = outcome.curve()
    found: dict[str, float] = {"restored_step": outcome.restored_step, "stopped_early": float(outcome.early)}
    last = [point for point in points if point.step <= outcome.restored_step]
    for name in ("loss", "token_accuracy", "validation_loss", "validation_token_accuracy"):
        values = [value for point in last if (value := getattr(point, name)) is not None]
        if values:
            found["train_" + name if not name.startswith("validation") else name] = values[-1]
    if points and points[-1].epoch is not None:
        found["epochs"] = points[-1].epoch
    if outcome.seconds > 0:
        found["tokens_per_second"] = outcome.tokens / outcome.seconds
    return found


def failure_of(error: BaseException) -> Failure:
    """What to tell about an error that ended the run."""
    import torch

    from tuneport_local import checkpoint

    name, text = type(error).__name__, str(error) or repr(error)
    if isinstance(error, TuneportError):
        return Failure(error=name, message=text, user_error=True, resumable=checkpoint.disk_full(error))
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in text:
        advice = (
            "lower micro_batch_size (batch_size can stay), set gradient_checkpointing, lower max_length, or use QLoRA"
        )
        return Failure(
            error=name, message=f"out of memory: {advice}. {text.splitlines()[0]}", user_error=True, out_of_memory=True
        )
    if checkpoint.disk_full(error):
        where = Path(getattr(error, "filename", None) or "the job's directory")
        return Failure(error=name, message=str(checkpoint.full_disk_error(where)), user_error=True)
    return Failure(error=name, message=text)


def _watch(handle: int) -> None:
    """End this process when the pipe's other end closes. Nothing is saved: what is on disk is whole or ignored."""

    def wait() -> None:
        while os.read(handle, 1):
            pass
        os._exit(EXIT_ORPHANED)

    threading.Thread(target=wait, daemon=True).start()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Trains the job in a directory.")
    parser.add_argument("job", type=Path)
    parser.add_argument("--attempt", type=int, default=1)
    parser.add_argument("--parent-fd", type=int)
    args = parser.parse_args(argv)
    job: Path = args.job.resolve()
    if args.parent_fd is not None:
        _watch(args.parent_fd)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false")
    try:
        from tuneport_local import models

        models.see_only(*RunConfig.load(job / files.CONFIG).devices)
        from tuneport_local.objectives.sft import Stop

        stop = Stop()

        def terminate(*_: object) -> None:
            if not stop.training or stop.requested:
                sys.exit(EXIT_TERMINATED)
            stop.requested = True

        signal.signal(signal.SIGTERM, terminate)
        train(job, attempt=args.attempt, stop=stop)
    except Terminated as error:
        print(error, file=sys.stderr)  # noqa: T201
        return EXIT_TERMINATED
    except Exception as error:  # noqa: BLE001  the last that can still speak
        traceback.print_exc()
        failure_of(error).save(job / files.FAILURE)
        return EXIT_FAILED
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
