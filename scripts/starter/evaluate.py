"""Tunes the starter on fresh demo sets and prints exact match before and after, one line a seed.

python evaluate.py ../../local_engine/tuneport_local/starter --seeds 11 12 13 14 15
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import time
from dataclasses import replace
from pathlib import Path

import generate
import skills
import torch
import tuning


def skill_scores(model_path: Path, seed: int, count: int) -> dict[str, float]:
    """Exact match of the untuned starter on fresh rows of its own pretraining tasks."""
    model, tokenizer = tuning.load(model_path)
    scores = {}
    for make, _ in skills.MIXTURES[1]:
        rng = random.Random(f"skills:{seed}:{make.__name__}")
        rows = [make(rng) for _ in range(count)]
        scores[make.__name__], _ = tuning.exact(model, tokenizer, rows)
    return scores


def main() -> None:
    default = tuning.Settings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13, 14, 15])
    parser.add_argument("--train", type=int, default=300)
    parser.add_argument("--test", type=int, default=80)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rank", type=int, default=default.rank)
    parser.add_argument("--lr", type=float, default=default.learning_rate)
    parser.add_argument("--epochs", type=int, default=default.epochs)
    parser.add_argument("--batch", type=int, default=default.batch_size)
    parser.add_argument("--schedule", default=default.schedule)
    parser.add_argument("--wrong", type=int, default=0, help="wrong answers to print")
    parser.add_argument("--skills", type=int, default=0, help="rows of each pretraining task to try first")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.skills:
        for name, score in skill_scores(args.model, 99, args.skills).items():
            print(f"{name:14} {score:.2f}", flush=True)
    settings = replace(
        default,
        rank=args.rank,
        alpha=2 * args.rank,
        learning_rate=args.lr,
        epochs=args.epochs,
        batch_size=args.batch,
        schedule=args.schedule,
    )
    before, after = [], []
    for seed in args.seeds:
        train, test = ([row["messages"] for row in rows] for rows in generate.demo_rows(seed, args.train, args.test))
        model, tokenizer = tuning.load(args.model)
        start = time.monotonic()
        base, _ = tuning.exact(model, tokenizer, test)
        based = time.monotonic()
        model = tuning.tune(model, tokenizer, train, replace(settings, seed=seed))
        tuned_at = time.monotonic()
        tuned, wrong = tuning.exact(model, tokenizer, test)
        print(
            f"seed {seed}: base {base:.3f}  tuned {tuned:.3f}   base answers {based - start:.0f} s, "
            f"tuning {tuned_at - based:.0f} s, tuned answers {time.monotonic() - tuned_at:.0f} s",
            flush=True,
        )
        for asked, got, wanted in itertools.islice(wrong, args.wrong):
            print(f"  {asked}\n    got    {got}\n    wanted {wanted}")
        before.append(base)
        after.append(tuned)
    print(f"base {statistics.mean(before):.3f}; tuned mean {statistics.mean(after):.3f}, lowest {min(after):.3f}")


if __name__ == "__main__":
    main()
