"""Two tuned models whose answers no metric can rank: let people judge, blindly.

    python cookbook/08_judged_by_people/run.py            # tunes both, compares them, and says how to open the page
    tuneport review judged/report.json                    # three colleagues, each under a name of their own
    tuneport review judged/report.json --results

One was tuned for one epoch and one for five, on the same rows. `--steps 10` runs it through in a minute.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tuneport import FineTuneJob, Hyperparameters, compare
from tuneport_local.layout import STARTER_DATA

TRAIN, TEST = STARTER_DATA / "train.jsonl", STARTER_DATA / "test.jsonl"


def test_rows(most: int | None) -> list[dict[str, object]]:
    return [json.loads(line) for line in TEST.read_text(encoding="utf-8").splitlines()][:most]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="judged")
    parser.add_argument("--steps", type=int, default=None, help="stop each run early, to see the recipe run")
    parser.add_argument("--rows", type=int, default=None, help="ask so many test rows only")
    options = parser.parse_args(arguments)
    jobs = {
        epochs: FineTuneJob.create(
            "local:starter", TRAIN, hyperparameters=Hyperparameters(epochs=epochs, max_steps=options.steps)
        )
        for epochs in (1, 5)
    }
    for epochs, job in jobs.items():
        job.wait()
        print(f"{epochs} epoch{'s' * (epochs > 1)}: {job.id}", flush=True)
    found = compare(list(jobs.values()), test_rows(options.rows))
    folder = Path(options.out)
    found.to_html(folder / "report.html")
    found.to_json(folder / "report.json")
    print("\n".join(found.verdict))
    differ = sum(row.answers["A"].content != row.answers["B"].content for row in found.rows)
    print(f"{differ} of {found.test.used} rows are answered differently: those are judged.")
    print(f"Next: tuneport review {folder / 'report.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
