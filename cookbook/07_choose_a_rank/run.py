"""How large must a LoRA be? A sweep over ranks, and the smallest that cannot be told from the best.

    python cookbook/07_choose_a_rank/run.py

See README.md for the numbers to expect. `--steps 20` runs it through in a minute, and shows nothing but that it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence

from tuneport import FineTuneJob, Hyperparameters, LoRA, compare
from tuneport_local.layout import STARTER_DATA

TRAIN, TEST = STARTER_DATA / "train.jsonl", STARTER_DATA / "test.jsonl"


def test_rows(most: int | None) -> list[dict[str, object]]:
    return [json.loads(line) for line in TEST.read_text(encoding="utf-8").splitlines()][:most]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--steps", type=int, default=None, help="stop each run early, to see the recipe run")
    parser.add_argument("--rows", type=int, default=None, help="ask so many test rows only")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("TUNEPORT_HOME", folder)
        jobs: dict[int, FineTuneJob] = {}
        for rank in options.ranks:  # one device: the next waits in the queue for the one before
            jobs[rank] = FineTuneJob.create(
                "local:starter",
                TRAIN,
                method=LoRA(rank=rank, alpha=2 * rank),
                hyperparameters=Hyperparameters(max_steps=options.steps),
                name=f"rank-{rank}",
            )
        for rank, job in jobs.items():
            result = job.wait()
            print(f"rank {rank}: {result.usage.device_seconds or 0:.0f} s, {result.model.kind} of", end=" ")
            print(f"{sum(a.bytes or 0 for a in result.artifacts if a.kind == 'adapter') / 1024:,.0f} KiB", flush=True)
        found = compare([*jobs.values(), "base"], test_rows(options.rows), metrics=["json_equal", "json_field_f1"])
    print("\n".join(found.verdict))
    best = max(jobs, key=lambda rank: found.value(f"rank-{rank}", "json_equal") or 0.0)
    enough = best
    for gap in found.differences:
        pair = {found[gap.base].name, found[gap.other].name}
        other = next((rank for rank in jobs if f"rank-{rank}" in pair and rank != best), None)
        if gap.metric == "json_equal" and f"rank-{best}" in pair and other is not None:
            if gap.outcome in {"undecided", "same"}:
                enough = min(enough, other)
            print(f"  rank {other} against {best}: {gap.words}")
    print(f"Enough on {found.test.used} rows: rank {enough}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
