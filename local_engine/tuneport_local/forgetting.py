"""What tuning did to the loss on general text: a few seconds at the end of every run, and a warning where it rose.

The text is that of tuneport's general probe: two dozen paragraphs of plain English that have nothing to do with the task. It
tells a model that has lost its footing; how much was lost, and of what, `tuneport.evaluate.general` measures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tuneport.scoring import probe
from tuneport.scoring.intervals import paired_difference
from tuneport_local.data import IGNORED, ChatTokenizer, Example
from tuneport_local.generate import context_of
from tuneport_local.score import losses

_TOKENS = 8_000  # at most, whatever the device
_OPERATIONS = 1e13  # on a CPU, for one model: some minute on two cores
_FEWEST = 8  # paragraphs: an interval from fewer says little
# Nats a token: the perplexity of general text a twentieth higher. Nearly every fine-tune raises it by some hundredths, and
# paired by paragraph that shows clearly; a warning on every job would be read by nobody.
MATTERS = 0.05


@dataclass(frozen=True)
class GeneralLoss:
    """Mean loss of each paragraph, in nats a token; `words` is empty, or why it was not measured."""

    losses: tuple[float, ...] = ()
    words: str = ""

    @property
    def mean(self) -> float:
        return sum(self.losses) / len(self.losses)


def general_loss(model: Any, chat: ChatTokenizer, *, bf16: bool, batch_size: int = 8) -> GeneralLoss:
    """The loss on the shipped English text, on as many paragraphs as are done soon. Leaves the model in evaluation mode."""
    parameters = sum(p.numel() for p in model.parameters())
    device = model.get_input_embeddings().weight.device
    budget = _TOKENS if device.type != "cpu" else min(_TOKENS, int(_OPERATIONS / (2 * max(parameters, 1))))
    context, start = context_of(model) or _TOKENS, chat.tokenizer.bos_token_id
    examples: list[Example] = []
    for text in (one.text for one in probe.texts() if one.kind == "english"):
        ids: list[int] = chat.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        ids = ([] if start is None else [start]) + ids
        ids = ids[:context]
        if len(ids) > budget:
            break
        budget -= len(ids)
        if len(ids) > 1:
            examples.append(Example(len(examples) + 1, ids, [IGNORED, *ids[1:]]))
    if len(examples) < _FEWEST:
        return GeneralLoss(
            words=f"the loss on general text is not measured: {parameters:,} parameters on a {device.type} would take long"
        )
    found = losses(model, examples, chat.pad_token_id, batch_size, bf16=bf16)
    return GeneralLoss(tuple(one.loss / one.tokens for one in found))


@dataclass(frozen=True)
class Verdict:
    """The metrics `general_loss_base` and `general_loss_tuned`, what there is to warn of, and what there is merely to say."""

    metrics: dict[str, float]
    warning: str = ""
    note: str = ""


def compare(base: GeneralLoss, tuned: GeneralLoss, vocabulary: int) -> Verdict:
    """Base against tuned, paired by paragraph.

    A model that guesses worse than evenly over its vocabulary has never learnt such text: there is nothing to forget, and
    a rise says nothing about the rest of what it can do. That is noted, and no warning.
    """
    if not _finite(tuned.losses) or not _finite(base.losses):
        return Verdict({}, "the loss on general text is not a number: the model may be broken. Lower the learning rate")
    gap = paired_difference(base.losses, tuned.losses, kind="continuous")
    metrics = {"general_loss_base": base.mean, "general_loss_tuned": tuned.mean}
    even = math.log(vocabulary)
    if base.mean > even:
        return Verdict(
            metrics,
            note=f"the base has not learnt general English: its loss is {base.mean:.2f} nats a token, and an even guess has "
            f"{even:.2f}. The tuned model's {tuned.mean:.2f} does not tell what it has forgotten",
        )
    if not (gap.known and gap.low > 0 and gap.estimate >= MATTERS):
        return Verdict(metrics)
    return Verdict(
        metrics,
        f"forgetting: the loss on general English text rose from {base.mean:.2f} to {tuned.mean:.2f} nats a token "
        f"(+{gap.estimate:.2f}, 95% interval {gap.low:+.2f} to {gap.high:+.2f}, {len(base.losses)} paragraphs). If the model "
        "is to do more than this task, mix general rows in (mix), stop early on a validation split, or lower the learning rate",
    )


def _finite(values: Sequence[float]) -> bool:
    return all(math.isfinite(value) for value in values)
