"""Early stopping on validation loss, against forgetting: the same training, watched and not.

    python cookbook/04_early_stopping/run.py

See README.md for the numbers to expect. `--seeds 1 2 3` repeats it on other rows.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from desks import GENERAL_TEST, difference, splits

from tuneport import FineTuneJob, Hyperparameters, LoRA, compare


def once(seed: int, epochs: int) -> None:
    train, validation, test = splits(seed)
    long = Hyperparameters(epochs=epochs, batch_size=8, micro_batch_size=8, learning_rate=5e-3, scheduler="constant")
    blind = FineTuneJob.create(
        "local:starter", train, test=test, method=LoRA(rank=16, alpha=32), hyperparameters=long, name=f"blind-{seed}"
    )
    watched = FineTuneJob.create(
        "local:starter",
        train,
        validation=validation,
        test=test,
        method=LoRA(rank=16, alpha=32),
        hyperparameters=long.model_copy(update={"early_stopping_patience": 3}),
        name=f"watched-{seed}",
    )
    for job in (blind, watched):
        result = job.wait()
        exact = next(m for m in result.test.metrics if m.name == "exact_match") if result.test else None
        print(f"{job.name}: the weights of step {result.metrics['restored_step']:.0f},", end=" ")
        print(f"right on the task {exact.tuned or 0:.0%}" if exact else "no test", flush=True)
        for point in result.curve if job is watched else []:
            if point.validation_loss is not None:
                print(f"  epoch {point.epoch:.0f}: validation loss {point.validation_loss:.2f}")
    names = [f"blind-{seed}", f"watched-{seed}"]
    found = compare([blind, watched, "base"], GENERAL_TEST, metrics=["exact_match", "bits_per_byte"], max_tokens=32)
    base = found.contenders[-1].name
    print("what the starter could do before, on 60 rows:")
    for name in (base, *names):
        print(
            f"  {name}: right {found.value(name, 'exact_match'):.0%}, {found.value(name, 'bits_per_byte'):.2f} bits a byte"
        )
    if gap := difference(found, "bits_per_byte", *names):
        print(f"watched against blind: {gap.estimate:+.2f} bits a byte ({gap.low:+.2f} to {gap.high:+.2f})", flush=True)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("TUNEPORT_HOME", folder)
        for seed in options.seeds:
            once(seed, options.epochs)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
