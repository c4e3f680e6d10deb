"""How long local training will take: the work by the usual count of operations, over what the device does, as a range.

A forward pass costs 2 operations a parameter and token, and 4 times layers × length × hidden for attention; the backward pass
costs twice that where weights learn, once where only activations are passed back (LoRA); recomputing activations adds a
forward. (Kaplan et al., arXiv 2001.08361, section 2.1.) Providers do not publish how long their jobs take.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from tuneport.estimates.memory import Request

_CPU_SHARE = (0.1, 0.75)  # of the probed rate: small models and short rows lie low, large ones high
_GPU_SHARE = (0.15, 0.45)  # of the dense bf16 peak; 30 to 45% is what well-fed runs report
_GPU_TERAFLOPS = {  # dense bf16 (fp16 where there is no bf16) by NVIDIA's data sheets, without sparsity
    "B200": 2250, "H200": 989, "H100": 989, "A100": 312, "L40S": 362, "L4": 121, "A10G": 70, "A10": 125, "A40": 150, "T4": 65,
    "V100": 125, "RTX 4090": 165, "RTX 3090": 71, "RTX 5090": 210, "RTX A6000": 155, "RTX 6000 Ada": 364,
}  # fmt: skip


@dataclass(frozen=True)
class Duration:
    """Seconds, and what they rest on. None: not known."""

    low: float | None
    high: float | None
    rests_on: str

    def words(self) -> str:
        if self.low is None or self.high is None:
            return f"unknown ({self.rests_on})"
        return f"{_human(self.low)} to {_human(self.high)} ({self.rests_on})"


UNPUBLISHED = Duration(None, None, "providers do not publish how long a job takes")


def operations(request: Request, tokens: int) -> float:
    """Floating point operations to train on `tokens` tokens, padding not counted."""
    shape = request.shape
    forward = 2.0 * shape.active + 4.0 * shape.layers * request.length * shape.hidden
    backward = 2 * forward if request.method == "full" else forward + 6.0 * shape.lora_per_rank * request.rank
    again = forward if request.checkpointing else 0.0
    slower = 1.3 if request.method == "qlora" else 1.0  # each matrix is unpacked twice
    return tokens * (forward + backward + again) * slower


def local(request: Request, tokens: int, device: str = "cpu", *, rate: float | None = None) -> Duration:
    """How long `tokens` tokens (all epochs together) take on `device`, a GPU's model name or "cpu".

    `rate` is the operations a second that a device reaches in a large product; without it a CPU is probed for some 0.1 s, and
    a GPU looked up. Loading, scoring and saving come on top: about half a minute for a small model.
    """
    work = operations(request, tokens)
    if not request.gpu:
        reached = rate if rate is not None else probe()
        return _range(work, reached, _CPU_SHARE, f"a probe of {reached / 1e9:.0f} GFLOP/s on this CPU")
    known = rate if rate is not None else peak(device)
    if known is None:
        return Duration(None, None, f"the peak of {device!r} is not known")
    return _range(
        work, known, _GPU_SHARE, f"{known / 1e12:.0f} TFLOP/s at {_GPU_SHARE[0]:.0%} to {_GPU_SHARE[1]:.0%} use"
    )


def peak(device: str) -> float | None:
    """Operations a second by the data sheet, of a GPU by its name; None where it is not in the table."""
    name = device.upper()
    for model in sorted(_GPU_TERAFLOPS, key=len, reverse=True):
        if model.upper() in name:
            return _GPU_TERAFLOPS[model] * 1e12
    return None


def probe(side: int = 512, seconds: float = 0.1) -> float:
    """Operations a second of this CPU in fp32, by products of square matrices; the best of those made in `seconds`."""
    import numpy as np

    left = np.ones((side, side), dtype=np.float32)
    right = np.ones((side, side), dtype=np.float32)
    out = left @ right  # the first product starts the threads
    best, until = 0.0, time.perf_counter() + seconds
    while True:
        started = time.perf_counter()
        np.matmul(left, right, out=out)
        ended = time.perf_counter()
        best = max(best, 2.0 * side**3 / max(ended - started, 1e-9))
        if ended > until:
            return best


def _range(work: float, rate: float, share: tuple[float, float], rests_on: str) -> Duration:
    return Duration(work / (rate * share[1]), work / (rate * share[0]), rests_on)


def _human(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
