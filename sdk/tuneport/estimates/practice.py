"""Good practice for what is left unset, each value with its reason, and a word where the user's own leaves the usual range.

The seeds: a learning rate of 1e-5 to 5e-5 for full tuning and about ten times that for LoRA (Hu et al., arXiv 2106.09685, and
"LoRA Without Regret", Thinking Machines 2025), 1 to 5 epochs, rank 8 to 64 with alpha twice the rank, and batches as large as
fit while enough steps are left to learn in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tuneport.methods import Method

_BILLION = 1_000_000_000
_STEPS = 100  # optimiser steps an epoch should still have: fewer large steps learn less from little data
_PREFERENCE = {"dpo", "orpo"}
_REWARD = {"rlhf", "reinforcement"}


def practice(
    objective: str,
    method: str,
    rows: int,
    tokens: int | None = None,
    parameters: int | None = None,
    *,
    fits: int | None = None,
) -> dict[str, tuple[Any, str]]:
    """Values by name, each with its reason. `tokens`: of the longest row; `fits`: rows that fit in one pass, where known."""
    values: dict[str, tuple[Any, str]] = {"epochs": _epochs(objective, rows)}
    values["learning_rate"] = _rate(objective, method, parameters)
    batch, why = _batch(rows, fits)
    values["batch_size"] = (batch, why)
    if fits is not None:
        micro = max(size for size in range(1, min(batch, fits) + 1) if batch % size == 0)
        values["micro_batch_size"] = (
            micro,
            f"{fits} rows fit at once" + (f", {tokens:,} tokens long" if tokens else ""),
        )
    if method in {"lora", "qlora"}:
        rank, reason = _rank(rows)
        values["rank"] = (rank, reason)
        values["alpha"] = (2 * rank, "twice the rank, so that the update keeps its size whatever the rank")
    return values


def departures(
    values: Mapping[str, Any], objective: str, method: Method | str, rows: int, parameters: int | None = None
) -> list[str]:
    """What the user set outside the usual ranges, each with the range and what it tends to do."""
    kind = method if isinstance(method, str) else method.kind
    given = dict(values)
    if not isinstance(method, str):
        given.update({name: getattr(method, name) for name in ("rank", "alpha") if name in method.model_fields_set})
    said: list[str] = []
    rate = given.get("learning_rate")
    if rate is not None:
        low, high = _rates(objective, kind)
        if not low <= rate <= high * 2:
            effect = "it may diverge or forget much" if rate > high else "it may learn almost nothing"
            said.append(
                f"learning_rate {rate:g} is outside {low:g} to {high:g}, usual for {kind} and {objective}: {effect}."
            )
    epochs = given.get("epochs")
    if epochs is not None and epochs > 5 and rows >= 50:
        usual, _ = _epochs(objective, rows)
        said.append(
            f"{epochs:g} epochs over {rows:,} rows: 1 to 5 are usual ({usual:g} here); more learn the rows by heart."
        )
    rank, alpha = given.get("rank"), given.get("alpha")
    if rank is not None and not 8 <= rank <= 64:
        effect = "it may hold too little" if rank < 8 else "it rarely helps and costs memory"
        said.append(f"rank {rank} is outside 8 to 64: {effect}.")
    if rank is not None and alpha is not None and not rank <= alpha <= 4 * rank:
        said.append(
            f"alpha {alpha:g} is {alpha / rank:g} times the rank {rank}: once to twice is usual; it scales the update."
        )
    batch = given.get("batch_size")
    if batch is not None and rows and rows // batch < 10:
        steps = math.ceil(rows / batch)
        said.append(
            f"batch_size {batch} leaves {steps} steps an epoch on {rows:,} rows: 10 and more are needed to learn."
        )
    if kind == "full" and parameters is not None and rows < 1000 and parameters > _BILLION:
        said.append(
            f"full tuning of {parameters / _BILLION:.1f}B parameters on {rows:,} rows forgets much: LoRA is safer."
        )
    return said


def _epochs(objective: str, rows: int) -> tuple[float, str]:
    if objective == "cpt":
        return 1.0, "plain text is read once: a second pass learns it by heart"
    if objective in _PREFERENCE:
        return 1.0, "preferences are learnt in one pass; more drive the answers apart"
    if objective in _REWARD:
        return 1.0, "each prompt is answered several times already"
    for most, epochs in ((100, 5.0), (1_000, 3.0), (10_000, 2.0)):
        if rows < most:
            return epochs, f"1 to 5 passes; {epochs:g} for fewer than {most:,} rows"
    return 1.0, "1 to 5 passes; 1 for 10,000 rows and more"


def _rates(objective: str, method: str) -> tuple[float, float]:
    # Preferences and rewards pull without a text to hold on to: TRL's defaults for DPO and GRPO are 1e-6.
    low, high = (5e-7, 5e-6) if objective in _PREFERENCE | _REWARD else (1e-5, 5e-5)
    return (low, high) if method == "full" else (10 * low, 10 * high)


def _rate(objective: str, method: str, parameters: int | None) -> tuple[float, str]:
    low, high = _rates(objective, method)
    size = parameters or _BILLION
    share = 0.8 if size < 0.5 * _BILLION else 0.25 if size < 10 * _BILLION else 0.0
    value = float(f"{low + share * (high - low):.1g}")
    about = "full tuning" if method == "full" else f"{method}, about ten times that of full tuning"
    return value, f"{low:g} to {high:g} for {about}; the larger the model, the lower"


def _rank(rows: int) -> tuple[int, str]:
    for most, rank in ((200, 8), (5_000, 16), (50_000, 32)):
        if rows < most:
            return rank, f"8 to 64 by what there is to learn; {rank} for fewer than {most:,} rows"
    return 64, "8 to 64 by what there is to learn; 64 for 50,000 rows and more"


def _batch(rows: int, fits: int | None) -> tuple[int, str]:
    most = min(64, max(1, rows // _STEPS)) if rows >= 8 * _STEPS else min(8, max(1, rows))
    batch = 2 ** int(math.log2(most))
    why = (
        f"as large as leaves about {_STEPS} steps an epoch, 64 at most"
        if rows >= 8 * _STEPS
        else "8, or all rows where fewer"
    )
    if fits is not None and fits < batch:
        why += f"; {fits} fit at once, the rest accumulates"
    return batch, why
