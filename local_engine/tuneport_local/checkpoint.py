"""Checkpoints that are whole or do not exist.

    <job>/checkpoints/step-00000012/
        manifest.json            every other file's name and size, written last
        trainable.safetensors    each trained parameter under its own name, in the type it is trained in
        optimizer.pt  scheduler.pt  rng_state.pth     torch archives, read back with `weights_only=True`
        trainer_state.json       step, epoch, and the whole log: the curve, and what early stopping and "best" follow from
        progress.json            `Progress`

A checkpoint is written under a name with a leading dot, flushed to the disk, and renamed. One whose files are not those of
its manifest, to the byte, is ignored. Parameters are kept by name, and not in a layout for serving, because a layout can be
lossy: transformers rewrites fused expert weights on saving and then skips, with a mere warning, what it cannot match on
resuming; PEFT initialises some adapters again on loading.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from tuneport.errors import ModelError, TuneportError
from tuneport_local.config import CHECKPOINTS

MANIFEST, WEIGHTS, PROGRESS, TRAINER_STATE = (
    "manifest.json",
    "trainable.safetensors",
    "progress.json",
    "trainer_state.json",
)
_NAME = re.compile(r"step-(\d{8,})")
_FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})


class Progress(BaseModel):
    """What the job had done when the checkpoint was made, over all its attempts."""

    model_config = ConfigDict(frozen=True)

    step: int
    tokens: int
    seconds: float


def directory(job: Path, step: int) -> Path:
    return job / CHECKPOINTS / f"step-{step:08d}"


def step_of(path: Path) -> int | None:
    """The step in a checkpoint's name; None where the name is not a checkpoint's."""
    match = _NAME.fullmatch(path.name)
    return int(match[1]) if match else None


def whole(path: Path) -> bool:
    """True where every file that the manifest names is there with its size."""
    try:
        sizes: dict[str, int] = json.loads((path / MANIFEST).read_bytes())["sizes"]
        return bool(sizes) and all((path / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def existing(job: Path) -> list[Path]:
    """Every whole checkpoint, oldest first."""
    folder = job / CHECKPOINTS
    found = [path for path in folder.iterdir() if step_of(path) is not None] if folder.is_dir() else []
    return sorted((path for path in found if whole(path)), key=lambda path: step_of(path) or 0)


def newest(job: Path) -> Path | None:
    """The whole checkpoint to resume from."""
    found = existing(job)
    return found[-1] if found else None


def best_step(log: list[dict[str, Any]]) -> int | None:
    """The step with the lowest validation loss in a trainer's log, the first of equals; None without a validation."""
    scored = [(entry["eval_loss"], entry["step"]) for entry in log if "eval_loss" in entry]
    return min(scored)[1] if scored else None


def exhausted(losses: list[float], patience: int, threshold: float) -> bool:
    """True where the last `patience` validations have not brought the loss below the best before them by more than `threshold`.

    It follows from the log alone, so that a resumed run decides as the uninterrupted one would have.
    """
    best, waited = float("inf"), 0
    for loss in losses:
        if loss < best - threshold:
            best, waited = loss, 0
        else:
            waited += 1
    return waited >= patience


@contextmanager
def writing(final: Path) -> Generator[Path, None, None]:
    """A fresh directory to fill, which becomes `final` when the block ends well and vanishes when it does not.

    Raises TuneportError where the disk is full, with what to free.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    part = final.parent / f".{final.name}.part"
    shutil.rmtree(part, ignore_errors=True)  # left by an attempt that was killed while it saved
    part.mkdir()
    try:
        yield part
        files = [path for path in part.rglob("*") if path.is_file()]
        for path in files:
            _sync(path)
        _sync(part)
        shutil.rmtree(final, ignore_errors=True)
        part.rename(final)
        _sync(final.parent)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if disk_full(error):
            raise full_disk_error(final) from error
        raise


def seal(part: Path) -> None:
    """Write the manifest of what is in `part`; the last file of a checkpoint."""
    sizes = {str(path.relative_to(part)): path.stat().st_size for path in sorted(part.rglob("*")) if path.is_file()}
    (part / MANIFEST).write_text(json.dumps({"version": 1, "sizes": sizes}, indent=1) + "\n", encoding="utf-8")


def prune(job: Path, keep: int, best: int | None) -> list[Path]:
    """Delete all but the `keep` newest and the best; what is not whole goes too. Returns what was deleted."""
    kept = {step_of(path) for path in existing(job)[-keep:]} | {best}
    gone = [path for path in (job / CHECKPOINTS).iterdir() if step_of(path) is not None and step_of(path) not in kept]
    for path in gone:
        hidden = path.with_name(f".{path.name}.gone")  # renamed first: a half-deleted checkpoint must not look like one
        path.rename(hidden)
        shutil.rmtree(hidden, ignore_errors=True)
    return gone


def save_trainable(model: Any, path: Path) -> None:
    """Every parameter that learns, by name, as safetensors."""
    from safetensors.torch import save_file

    tensors = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
    save_file(tensors, path / WEIGHTS, metadata={"format": "pt"})


def load_trainable(model: Any, path: Path) -> None:
    """Put a checkpoint's parameters back. Raises ModelError where its names or shapes are not this model's."""
    import torch
    from safetensors.torch import load_file

    own = {name: p for name, p in model.named_parameters() if p.requires_grad}
    saved = load_file(path / WEIGHTS)
    wrong = sorted(own.keys() ^ saved.keys()) or [n for n, p in own.items() if p.shape != saved[n].shape]
    if wrong:
        raise ModelError(
            f"checkpoint {path} does not fit this model and method: {len(wrong)} parameters differ, {wrong[0]!r} for one. "
            "It was made with another model or method: start the job anew, or remove the checkpoint."
        )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(saved[name])


def disk_full(error: BaseException | None) -> bool:
    """True where the error, or what caused it, says that the disk, the quota or the file-size limit is used up.

    safetensors and torch lose the number: the first keeps it in its text, the second says only that it failed writing.
    """
    while error is not None:
        text = str(error)
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if type(error).__name__ == "SafetensorError" and any(f"os error {number})" in text for number in _FULL):
            return True
        if isinstance(error, RuntimeError) and ("PytorchStreamWriter failed" in text or "file write failed" in text):
            return True
        error = error.__cause__ or error.__context__
    return False


def full_disk_error(path: Path) -> TuneportError:
    try:
        free = f"{shutil.disk_usage(path.parent).free / 2**20:,.0f} MiB are free there"
    except OSError:
        free = "how much is free there is not known"
    return TuneportError(
        f"no room to write {path}: the disk, a quota or a file-size limit is used up ({free}). Free space there, for one "
        "by removing old jobs (tuneport rm), and resume: every earlier checkpoint is whole."
    )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
