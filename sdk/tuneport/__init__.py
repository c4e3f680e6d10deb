"""tuneport: one `FineTuneJob` API over OpenAI, Amazon Bedrock, Google Vertex AI and your own machine.

Names are loaded when first touched (PEP 562), so that `import tuneport` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuneport.advice import Advice, advise
    from tuneport.dataset import Dataset, Issue
    from tuneport.dataset.convert import convert
    from tuneport.dataset.report import ValidationReport
    from tuneport.errors import TuneportError
    from tuneport.evaluate.comparing import compare
    from tuneport.evaluate.comparison import Comparison
    from tuneport.evaluate.contenders import FewShot, Recorded, SystemPrompt
    from tuneport.job import FineTuneJob
    from tuneport.methods import IA3, Adapters, Full, LoRA, PrefixTuning, PromptTuning, QLoRA
    from tuneport.objectives import DPO, ORPO, RLHF, SFT, ContinuedPretraining, Reinforcement
    from tuneport.preflight import Plan, plan, validate
    from tuneport.result import FineTuneResult, ModelRef
    from tuneport.spec import FineTuneSpec, Hyperparameters, Mix, Resources
    from tuneport.status import Event, JobStatus

_HOMES = {
    "tuneport.advice": ["Advice", "advise"],
    "tuneport.dataset": ["Dataset", "Issue"],
    "tuneport.dataset.convert": ["convert"],
    "tuneport.dataset.report": ["ValidationReport"],
    "tuneport.errors": ["TuneportError"],
    "tuneport.evaluate.comparing": ["compare"],
    "tuneport.evaluate.comparison": ["Comparison"],
    "tuneport.evaluate.contenders": ["FewShot", "Recorded", "SystemPrompt"],
    "tuneport.job": ["FineTuneJob"],
    "tuneport.methods": ["IA3", "Adapters", "Full", "LoRA", "PrefixTuning", "PromptTuning", "QLoRA"],
    "tuneport.objectives": ["DPO", "ORPO", "RLHF", "SFT", "ContinuedPretraining", "Reinforcement"],
    "tuneport.preflight": ["Plan", "plan", "validate"],
    "tuneport.result": ["FineTuneResult", "ModelRef"],
    "tuneport.spec": ["FineTuneSpec", "Hyperparameters", "Mix", "Resources"],
    "tuneport.status": ["Event", "JobStatus"],
}
_WHERE = {name: module for module, names in _HOMES.items() for name in names}

__version__ = "0.1.0"
__all__ = [
    "DPO",
    "IA3",
    "ORPO",
    "RLHF",
    "SFT",
    "Adapters",
    "Advice",
    "Comparison",
    "ContinuedPretraining",
    "Dataset",
    "Event",
    "FewShot",
    "FineTuneJob",
    "FineTuneResult",
    "FineTuneSpec",
    "Full",
    "Hyperparameters",
    "Issue",
    "JobStatus",
    "LoRA",
    "Mix",
    "ModelRef",
    "Plan",
    "PrefixTuning",
    "PromptTuning",
    "QLoRA",
    "Recorded",
    "Reinforcement",
    "Resources",
    "SystemPrompt",
    "TuneportError",
    "ValidationReport",
    "advise",
    "compare",
    "convert",
    "plan",
    "validate",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'tuneport' has no attribute {name!r}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
