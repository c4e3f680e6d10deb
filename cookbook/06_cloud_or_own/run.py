"""Take the cloud's tuned model, the one on your own GPU, or neither? One dataset, both, and a report to send on.

    python cookbook/06_cloud_or_own/run.py --simulate                # a stand-in for OpenAI on loopback: no key, no bill
    python cookbook/06_cloud_or_own/run.py --cloud openai:gpt-4.1-mini-2025-04-14 --budget 5

The local model is really tuned and really asked, in both. See README.md for the numbers to expect.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from tuneport import FewShot, FineTuneJob, Hyperparameters, compare
from tuneport_local.layout import STARTER_DATA

TRAIN, TEST = STARTER_DATA / "train.jsonl", STARTER_DATA / "test.jsonl"


def simulated(stack: ExitStack) -> None:
    """A stand-in whose tuned model is right on most of the test rows, as a large model would be; its hours are seconds."""
    from tuneport_backends.simulators.clock import Clock
    from tuneport_backends.simulators.openai import OpenAISimulator

    rows = [json.loads(line)["messages"] for line in TEST.read_text(encoding="utf-8").splitlines()]
    known = {turns[-2]["content"]: turns[-1]["content"] for turns in rows}

    def answer(model: str, messages: Sequence[Mapping[str, str]]) -> str | None:
        asked = str(messages[-1]["content"])
        if asked not in known:
            return None
        if model.startswith("ft:"):
            return known[asked] if len(asked) % 12 else known[asked].replace('"n":', '"count":')
        return "Thank you for your e-mail. I have filed it as a ticket."

    simulator = stack.enter_context(OpenAISimulator(Clock(speed=1200), answer=answer))
    os.environ.update(simulator.environment())
    os.environ["TUNEPORT_NOW"] = "2026-12-01"  # the stand-in's day: OpenAI takes no new jobs from 2027-01-06 on
    os.environ.setdefault("TUNEPORT_POLL_SECONDS", "0.2")


def test_rows(most: int | None) -> list[dict[str, object]]:
    return [json.loads(line) for line in TEST.read_text(encoding="utf-8").splitlines()][:most]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--simulate", action="store_true", help="a stand-in on loopback")
    parser.add_argument("--cloud", default="openai:gpt-4.1-mini-2025-04-14")
    parser.add_argument("--budget", type=float, default=None, help="US dollars, for training and again for asking")
    parser.add_argument("--gpu-price", type=float, default=0.8, help="US dollars an hour of your own device")
    parser.add_argument("--calls", type=int, default=100_000, help="calls a month")
    parser.add_argument("--steps", type=int, default=None, help="stop the local training early, to see the recipe run")
    parser.add_argument("--report", default="cloud-or-own.html")
    parser.add_argument("--rows", type=int, default=None, help="ask so many test rows only")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        if options.simulate:
            os.environ.setdefault("TUNEPORT_HOME", stack.enter_context(tempfile.TemporaryDirectory()))
            simulated(stack)
        cloud = FineTuneJob.create(options.cloud, TRAIN, budget_usd=options.budget, metadata={"recipe": "06"})
        own = FineTuneJob.create("local:starter", TRAIN, hyperparameters=Hyperparameters(max_steps=options.steps))
        for job in (cloud, own):
            print(f"{job.model}: {job.wait(timeout=6 * 3600).metrics}")
        found = compare(
            [own, cloud, "base", FewShot(options.cloud, shots=4, examples=TRAIN)],
            test_rows(options.rows),
            gpu_per_hour=options.gpu_price,
            calls_per_month=options.calls,
            budget_usd=options.budget,
            prices={options.cloud: (0.4, 1.6)},  # the untuned model's: the catalog has only the tuned one's
        )
    print("\n".join(found.verdict))
    for one in found.contenders:
        bill = found.money.monthly[one.key]
        month = "unknown" if bill is None else f"${bill:,.2f}"
        print(f"  {one.key} {one.name:<52} {found.value(one.key, 'json_equal'):>6.1%}  {month:>10} a month")
    page = Path(options.report)
    found.to_html(page)
    found.to_json(page.with_suffix(".json"))
    print(f"report: {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
