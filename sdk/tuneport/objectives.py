"""What the model learns from: demonstrations, plain text, preferences, or rewards.

Each objective is data; what a backend cannot do of it is a declared `Unsupported`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tuneport.strict import Strict


class SFT(Strict):
    """Supervised fine-tuning on demonstrations: the loss is taken over the assistant's tokens only."""

    kind: Literal["sft"] = "sft"


class ContinuedPretraining(Strict):
    """Next-token training on plain text, every token trained. Teaches a domain's language rather than a behaviour."""

    kind: Literal["cpt"] = "cpt"


class DPO(Strict):
    """Direct preference optimisation (arXiv 2305.18290) on pairs of a preferred and a rejected answer."""

    kind: Literal["dpo"] = "dpo"
    beta: float = Field(default=0.1, gt=0, le=2, description="strength of the pull towards the reference model")
    loss: Literal["sigmoid", "ipo", "hinge", "simpo"] = "sigmoid"


class ORPO(Strict):
    """Odds-ratio preference optimisation (arXiv 2403.07691): no reference model, demonstration loss included."""

    kind: Literal["orpo"] = "orpo"
    beta: float = Field(default=0.1, gt=0, le=2, description="weight of the odds-ratio term (lambda in the paper)")


class RLHF(Strict):
    """Reinforcement learning from a reward model trained on human preferences."""

    kind: Literal["rlhf"] = "rlhf"
    algorithm: Literal["rloo", "grpo"] = "rloo"
    reward_model: str | None = Field(
        default=None, description="a trained reward model; unset trains one from the pairs"
    )
    beta: float = Field(default=0.05, ge=0, description="weight of the KL penalty against the reference")
    samples_per_prompt: int = Field(default=4, ge=2)


class Reinforcement(Strict):
    """Reinforcement learning from a grader that a program can run."""

    kind: Literal["reinforcement"] = "reinforcement"
    algorithm: Literal["grpo", "rloo"] = "grpo"
    grader: dict[str, Any] | None = Field(default=None, description="a grader in OpenAI's shape")
    beta: float = Field(default=0.0, ge=0)
    samples_per_prompt: int = Field(default=8, ge=2)


Objective = Annotated[SFT | ContinuedPretraining | DPO | ORPO | RLHF | Reinforcement, Field(discriminator="kind")]
OBJECTIVES: dict[str, type[Strict]] = {
    "sft": SFT,
    "cpt": ContinuedPretraining,
    "dpo": DPO,
    "orpo": ORPO,
    "rlhf": RLHF,
    "reinforcement": Reinforcement,
}
