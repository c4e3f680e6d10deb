"""lm-evaluation-harness over a service: an `LM` that asks a chat session, in a process of its own.

    python -m tuneport.evaluate.harness_hosted ASKED.json --out OUT.json

A chat API writes answers and does not say how likely a given one is: tasks of kind `generate_until` run, the others are left
out with that reason, before anything is asked. Answers are kept as `compare` keeps them, and not paid for twice.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuneport import errors
from tuneport.evaluate import pricing
from tuneport.evaluate.answers import Budget, Decoding, Journal, ask
from tuneport.evaluate.contenders import Entrant
from tuneport.evaluate.questions import Question, digest
from tuneport.home import home
from tuneport.scoring import harness
from tuneport.scoring.harness import HarnessScores

REFUSAL = (
    "a chat API does not say how likely a given answer is, and that is what such a task compares. Take one whose answer is "
    "written (generate_until), as gsm8k"
)
_TOKENS = 256  # where the task does not say


def measure(
    one: Entrant,
    tasks: Sequence[str],
    *,
    include_path: Path | None = None,
    limit: int | None = None,
    budget_usd: float | None = None,
) -> HarnessScores:
    """The scores of a hosted model, by document. Raises what the child met: SpecError, NotInstalledError, BackendError, …"""
    rate = pricing.rate(one, {})
    if budget_usd is not None and rate is None:
        raise errors.BudgetExceededError(
            f"budget_usd is {budget_usd:g}, but what asking {one.name} costs is unknown: leave the budget out, and set a limit."
        )
    asked = {
        "model": one.model,
        "options": dict(one.options),
        "name": one.name,
        "tasks": list(tasks),
        "include_path": None if include_path is None else str(include_path),
        "limit": limit,
        "budget_usd": budget_usd,
        "price": None if rate is None else [rate.input, rate.output],
        "datasets": str(home() / "cache" / "datasets"),
    }
    with tempfile.TemporaryDirectory(prefix="tuneport-") as folder:
        where = Path(folder) / "asked.json"
        where.write_text(json.dumps(asked), encoding="utf-8")
        return harness.from_child(["-m", "tuneport.evaluate.harness_hosted", str(where)])


class _Asks:
    """The harness's requests as questions to one entrant, and its answers cut where the task says."""

    def __init__(self, entrant: Entrant, price: Sequence[float] | None, budget: Budget) -> None:
        self._entrant, self._budget = entrant, budget
        self._rate = None if price is None else pricing.Rate(price[0], price[1], "as planned")
        self.failed: list[str] = []

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        groups: dict[Decoding, list[tuple[int, Question]]] = {}
        for place, request in enumerate(requests):
            text, settings = request.args
            decoding = Decoding(0.0, int(settings.get("max_gen_toks") or settings.get("max_tokens") or _TOKENS))
            messages = [{"role": "user", "content": str(text)}]
            key = digest({"messages": messages, "tools": []})
            question = Question(place + 1, key, messages, [], None, [], key, 0, {"messages": messages})
            groups.setdefault(decoding, []).append((place, question))
        found = [""] * len(requests)
        for decoding, asked in groups.items():
            different = list({question.key: question for _, question in asked}.values())
            answers = ask(
                self._entrant,
                different,
                decoding,
                Journal.of(self._entrant, decoding),
                price=None if self._rate is None else self._rate.of,
                budget=self._budget,
            )
            for place, question in asked:
                answer = answers[question.key, 0].answer
                if answer.error is not None:
                    self.failed.append(answer.error)
                found[place] = cut(answer.content or "", requests[place].args[1].get("until") or ())
        return found


def cut(text: str, until: str | Sequence[str]) -> str:
    """`text` before the first of the strings that end an answer."""
    for stop in [until] if isinstance(until, str) else until:
        if stop:
            text = text.partition(stop)[0]
    return text


def _run(asked: Mapping[str, Any]) -> HarnessScores:
    os.environ.setdefault("HF_DATASETS_CACHE", str(asked["datasets"]))
    try:
        base: Any = importlib.import_module("lm_eval.api.model").LM
    except ImportError as error:
        raise errors.NotInstalledError(
            f"lm-evaluation-harness is not installed ({error}): pip install 'tuneport[lm-eval]'", extra="lm-eval"
        ) from error
    entrant = Entrant(str(asked["name"]), "model", str(asked["model"]), asked["options"])
    asks = _Asks(entrant, asked["price"], Budget(asked["budget_usd"]))

    def refused(*_: object, **__: object) -> Any:
        raise errors.UnsupportedError(f"{entrant.name}: {REFUSAL}.", feature="likelihood", reason=REFUSAL)

    def generate_until(_: object, requests: Sequence[Any], **__: object) -> list[str]:
        return asks.generate_until(requests)

    # The class is made here, as the harness is imported by this process alone.
    parts = {"generate_until": generate_until, "loglikelihood": refused, "loglikelihood_rolling": refused}
    found = harness.measure(
        type("SessionLM", (base,), parts)(),
        asked["tasks"],
        include_path=Path(asked["include_path"]) if asked["include_path"] else None,
        limit=asked["limit"],
        kinds={"generate_until"},
        refusal=REFUSAL,
    )
    if not asks.failed:
        return found
    why = f"{len(asks.failed)} answers of {entrant.name} failed and count as wrong, for one: {asks.failed[0]}"
    return found.model_copy(update={"notes": [*found.notes, why]})


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="lm-evaluation-harness over a service, scores by document.")
    parser.add_argument("asked", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    asked = json.loads(args.asked.read_text(encoding="utf-8"))
    return harness.to_parent(args.out.resolve(), lambda: _run(asked))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
