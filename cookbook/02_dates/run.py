"""Tune the starter on dates from CLDR, and say where it still fails, locale by locale.

    python cookbook/02_dates/run.py

See README.md for the numbers to expect.
"""

from __future__ import annotations

import argparse
import collections
import subprocess
import sys
import tempfile
from pathlib import Path

from tuneport import Event, FineTuneJob, Full, Hyperparameters
from tuneport.evaluate.rows import read_scores

HERE = Path(__file__).parent


def show(event: Event) -> None:
    """Print what happens, and the loss now and then."""
    if event.type == "metrics" and event.data.get("validation_loss") is not None:
        print(f"  step {event.data['step']}: validation loss {event.data['validation_loss']:.4f}", flush=True)
    elif event.type == "message" and "done" not in event.data:  # not each batch that is scored
        print(f"  {event.message}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=12000)
    parser.add_argument("--test", type=int, default=612)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        make = [sys.executable, str(HERE / "make_data.py"), "--out", folder, "--seed", str(args.seed)]
        subprocess.run([*make, "--train", str(args.train), "--test", str(args.test)], check=True)
        job = FineTuneJob.create(
            model="local:starter",
            dataset=Path(folder) / "train.jsonl",
            validation=Path(folder) / "validation.jsonl",
            test=Path(folder) / "test.jsonl",
            method=Full(),
            hyperparameters=Hyperparameters(
                epochs=args.epochs,
                learning_rate=2e-3,
                scheduler="linear",
                batch_size=32,
                micro_batch_size=32,
                max_length=128,
            ),
            seed=args.seed,
        )
        result = job.wait(on_event=show)

    assert result.test is not None
    for metric in result.test.metrics:
        gap = metric.difference
        print(f"{metric.name}: {metric.base:.3f} → {metric.tuned:.3f}, difference {gap.low:+.3f} to {gap.high:+.3f}")

    right: collections.Counter[str] = collections.Counter()
    asked: collections.Counter[str] = collections.Counter()
    rows = read_scores(job.directory / "tuned_scores.jsonl", rows=job.directory / "test.jsonl")
    for row in rows:
        locale = row.messages[-1]["content"].split("]")[0][1:]
        asked[locale] += 1
        right[locale] += row.exact_match
    print("\nwhere it still fails:")
    for locale in sorted(asked, key=lambda name: (right[name] / asked[name], name))[:12]:
        print(f"  {locale}: {right[locale]} of {asked[locale]} right")
    print("\nanswers that are wrong:")
    for row in [row for row in rows if not row.exact_match][:8]:
        print(f"  {row.messages[-1]['content']}: expected {row.expected}, answered {row.answer}")


if __name__ == "__main__":
    main()
