"""Which parameters learn: all of them, or a small set beside frozen ones.

Defaults are the seeds of good practice; an unset learning rate is resolved by the plan for the method.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tuneport.strict import Strict

TargetModules = Literal["all-linear"] | list[str]


class Full(Strict):
    """Every parameter learns. The strongest and the most forgetful; needs about 16 bytes a parameter in fp32 AdamW."""

    kind: Literal["full"] = "full"


class _LowRank(Strict):
    rank: int = Field(default=16, ge=1, le=1024, description="rank of the update; 8 to 64 covers most tasks")
    alpha: float | None = Field(
        default=None, gt=0, description="scale; the update is multiplied by alpha/rank; unset: 2*rank"
    )
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: TargetModules = Field(
        default="all-linear", description="module names, or every linear but the head"
    )
    rslora: bool = Field(default=False, description="scale by alpha/sqrt(rank) (arXiv 2312.03732)")
    dora: bool = Field(default=False, description="learn magnitude and direction apart (arXiv 2402.09353)")

    @property
    def effective_alpha(self) -> float:
        return self.alpha if self.alpha is not None else 2.0 * self.rank


class LoRA(_LowRank):
    """Low-rank adaptation (arXiv 2106.09685): a trained update of rank r beside each frozen matrix."""

    kind: Literal["lora"] = "lora"
    init: Literal["default", "gaussian", "pissa", "olora", "orthogonal"] = "default"


class QLoRA(_LowRank):
    """LoRA over a base held in 4 bits (arXiv 2305.14314): NF4 with double quantisation. Least memory, some speed lost."""

    kind: Literal["qlora"] = "qlora"
    quant_type: Literal["nf4", "fp4"] = "nf4"
    double_quantization: bool = True


class Adapters(Strict):
    """Bottleneck adapters: a small down-up network after the attention (Pfeiffer) or after both sublayers (Houlsby)."""

    kind: Literal["adapters"] = "adapters"
    bottleneck: int = Field(default=64, ge=1)
    placement: Literal["pfeiffer", "houlsby"] = "pfeiffer"
    dropout: float = Field(default=0.0, ge=0, lt=1)


class PrefixTuning(Strict):
    """Trained key and value vectors in front of every layer (arXiv 2101.00190)."""

    kind: Literal["prefix-tuning"] = "prefix-tuning"
    virtual_tokens: int = Field(default=20, ge=1, le=4096)
    projection: bool = False


class PromptTuning(Strict):
    """Trained embeddings in front of the input (arXiv 2104.08691)."""

    kind: Literal["prompt-tuning"] = "prompt-tuning"
    virtual_tokens: int = Field(default=20, ge=1, le=4096)
    init_text: str | None = None


class IA3(Strict):
    """Trained scales on keys, values and feed-forward activations (arXiv 2205.05638): the fewest parameters of all."""

    kind: Literal["ia3"] = "ia3"
    target_modules: list[str] | None = None
    feedforward_modules: list[str] | None = None

    @model_validator(mode="after")
    def _both(self) -> IA3:
        if self.feedforward_modules and not set(self.feedforward_modules) <= set(self.target_modules or []):
            raise ValueError("feedforward_modules must also be named in target_modules")
        return self


Method = Annotated[
    Full | LoRA | QLoRA | Adapters | PrefixTuning | PromptTuning | IA3,
    Field(discriminator="kind"),
]
METHODS: dict[str, type[Strict]] = {
    "full": Full,
    "lora": LoRA,
    "qlora": QLoRA,
    "adapters": Adapters,
    "prefix-tuning": PrefixTuning,
    "prompt-tuning": PromptTuning,
    "ia3": IA3,
}
