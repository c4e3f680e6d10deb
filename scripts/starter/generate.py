"""Writes the starter dataset, or prints pretraining rows to look at.

python generate.py demo --seed 0 --train 300 --test 80 --out DIR
python generate.py pretraining --seed 1 --count 20
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import demo_task
import skills


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def demo_rows(seed: int, train: int = 300, test: int = 80) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Training and test rows of the demo task, proved to share no open value."""
    sets = demo_task.rows(seed, train, "train"), demo_task.rows(seed, test, "test")
    seen, held_out = (
        set().union(*(demo_task.open_values(row["messages"][-1]["content"]) for row in rows)) for rows in sets
    )
    if shared := seen & held_out:
        raise AssertionError(f"training and test rows share {sorted(shared)[:5]}")
    return sets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo")
    demo.add_argument("--seed", type=int, default=0)
    demo.add_argument("--train", type=int, default=300)
    demo.add_argument("--test", type=int, default=80)
    demo.add_argument("--out", type=Path, required=True)
    look = commands.add_parser("pretraining")
    look.add_argument("--seed", type=int, default=1)
    look.add_argument("--stage", type=int, default=1)
    look.add_argument("--count", type=int, default=20)
    args = parser.parse_args()
    if args.command == "demo":
        args.out.mkdir(parents=True, exist_ok=True)
        train, test = demo_rows(args.seed, args.train, args.test)
        write_jsonl(args.out / "train.jsonl", train)
        write_jsonl(args.out / "test.jsonl", test)
    else:
        for row in itertools.islice(skills.pretraining_rows(args.seed, args.stage), args.count):
            print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    main()
