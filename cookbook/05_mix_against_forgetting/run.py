"""General rows mixed in, against forgetting: the same task rows alone, and with one general row to four of them.

    python cookbook/05_mix_against_forgetting/run.py

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
from desks import GENERAL, GENERAL_TEST, difference, splits

from tuneport import FineTuneJob, Hyperparameters, LoRA, Mix, compare


def once(seed: int, fraction: float, epochs: int) -> None:
    train, _, test = splits(seed)
    jobs = {
        name: FineTuneJob.create(
            "local:starter",
            train,
            test=test,
            mix=mix,
            method=LoRA(rank=16, alpha=32),
            hyperparameters=Hyperparameters(epochs=epochs, batch_size=16, learning_rate=5e-3, scheduler="constant"),
            name=name,
        )
        for name, mix in ((f"alone-{seed}", None), (f"mixed-{seed}", Mix(str(GENERAL), fraction=fraction)))
    }
    for name, job in jobs.items():
        result = job.wait()
        exact = next(m for m in result.test.metrics if m.name == "exact_match") if result.test else None
        print(f"{name}: {result.dataset.splits['train']} rows,", end=" ")
        print(f"right on the task {exact.tuned or 0:.0%}" if exact else "no test", flush=True)
    found = compare([*jobs.values(), "base"], GENERAL_TEST, metrics=["exact_match", "bits_per_byte"], max_tokens=32)
    base = found.contenders[-1].name
    print("what the starter could do before, on 60 rows:")
    for name in (base, *jobs):
        print(
            f"  {name}: right {found.value(name, 'exact_match'):.0%}, {found.value(name, 'bits_per_byte'):.2f} bits a byte"
        )
    if gap := difference(found, "bits_per_byte", *jobs):
        print(f"mixed against alone: {gap.estimate:+.2f} bits a byte ({gap.low:+.2f} to {gap.high:+.2f})", flush=True)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--fraction", type=float, default=0.2)
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("TUNEPORT_HOME", folder)
        for seed in options.seeds:
            once(seed, options.fraction, options.epochs)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
