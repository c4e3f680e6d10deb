"""One dataset, three providers and this machine: the same four lines for each, and their results side by side.

    python cookbook/03_three_providers/run.py --simulate          # stand-ins on loopback: no keys, no bill
    python cookbook/03_three_providers/run.py --budget 5          # the real services; refuses above 5 US dollars each

For the real services set what their SDKs want (OPENAI_API_KEY; AWS credentials and region; Google's application default), and
TUNEPORT_BEDROCK_BUCKET, TUNEPORT_BEDROCK_ROLE, TUNEPORT_VERTEX_BUCKET and GOOGLE_CLOUD_PROJECT.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import ExitStack

from tuneport import FineTuneJob, Hyperparameters, plan
from tuneport.errors import NotDeployedError, TuneportError
from tuneport.result import FineTuneResult

MODELS = (
    "openai:gpt-4.1-mini-2025-04-14",
    "bedrock:amazon.nova-lite-v1:0:300k",
    "vertex:gemini-3.5-flash",
    "local:starter",
)
PLACES = {"bedrock": {"region": "us-east-1"}, "vertex": {"location": "us-central1"}}


def rows() -> list[dict[str, object]]:
    """Sixty orders, as free text and as a record."""
    made: list[dict[str, object]] = []
    for n in range(60):
        thing, count = ("lamp", "chair", "desk", "rug", "vase")[n % 5], 2 + n * 7 % 40
        text = f"Order {1000 + n * 13}: please send {count} of the {thing}, as in week {1 + n % 50}."
        record = json.dumps({"order": 1000 + n * 13, "item": thing, "count": count})
        made.append({"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": record}]})
    return made


def simulated(stack: ExitStack) -> None:
    """Point the SDKs at stand-ins whose hours pass in seconds."""
    from tuneport_backends.simulators.bedrock import BedrockSimulator
    from tuneport_backends.simulators.clock import Clock
    from tuneport_backends.simulators.openai import OpenAISimulator
    from tuneport_backends.simulators.vertex import VertexSimulator

    for make in (OpenAISimulator, BedrockSimulator, VertexSimulator):
        simulator = stack.enter_context(make(Clock(speed=1200)))
        os.environ.update(simulator.environment())
    os.environ["TUNEPORT_NOW"] = "2026-12-01"  # the stand-ins' day: OpenAI takes no new jobs from 2027-01-06 on
    os.environ.setdefault("TUNEPORT_BEDROCK_BUCKET", "s3://mine/ft")
    os.environ.setdefault("TUNEPORT_BEDROCK_ROLE", "arn:aws:iam::123456789012:role/tune")
    os.environ.setdefault("TUNEPORT_VERTEX_BUCKET", "gs://mine/ft")
    os.environ.setdefault("GOOGLE_CLOUD_PROJECT", "mine")
    os.environ.setdefault("TUNEPORT_POLL_SECONDS", "0.2")
    os.environ.setdefault("TUNEPORT_HOME", stack.enter_context(tempfile.TemporaryDirectory()))


def line(name: str, result: FineTuneResult, answer: str) -> str:
    cost = result.cost.actual if result.cost.actual is not None else result.cost.estimated
    money = "unknown" if cost is None else f"{cost:.2f} {result.cost.currency}"
    wall = f"{result.usage.wall_seconds:,.0f} s" if result.usage.wall_seconds is not None else "unknown"
    tokens = f"{result.trained_tokens:,}" if result.trained_tokens is not None else "unknown"
    return f"{name:<36}{tokens:>10}{wall:>12}{money if not name.startswith('local') else 'own machine':>14}  {answer}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--simulate", action="store_true", help="stand-ins on loopback")
    parser.add_argument("--budget", type=float, default=None, help="US dollars for each job")
    parser.add_argument("--models", nargs="*", default=MODELS)
    options = parser.parse_args(arguments)
    data = rows()
    question = data[7]["messages"][:1]  # type: ignore[index]
    with ExitStack() as stack:
        if options.simulate:
            simulated(stack)
        jobs: dict[str, FineTuneJob] = {}
        for model in options.models:
            backend = model.partition(":")[0]
            fields = {
                "hyperparameters": Hyperparameters(epochs=2, max_steps=8 if backend == "local" else None),
                "options": PLACES.get(backend),
                "budget_usd": options.budget,
            }
            try:
                made = plan(model, data, **fields)
                print(
                    f"{model}: {made.splits['train']} rows, {made.tokens['total']:,} tokens ({made.tokens['counted']})"
                )
                jobs[model] = FineTuneJob.create(model, data, **fields)
            except TuneportError as error:
                print(f"{model}: not started: {error}")
        print(f"\n{'model':<36}{'tokens':>10}{'time':>12}{'cost':>14}  asked again what a row asked")
        for model, job in jobs.items():
            try:
                result = job.wait(timeout=6 * 3600)
                answer = result.model.chat(question, max_tokens=60).content  # type: ignore[arg-type]
            except NotDeployedError as error:
                answer = f"not deployed: {error}"
            except TuneportError as error:
                print(f"{model:<36}{error}")
                continue
            print(line(model, result, " ".join(answer.split())[:60]))
    return 0 if len(jobs) == len(options.models) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
