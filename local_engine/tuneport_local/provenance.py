"""What a run was made with: versions, hardware, and the most memory it took."""

from __future__ import annotations

import os
import platform
import resource
import sys
from pathlib import Path
from typing import Any

from tuneport.result import Provenance
from tuneport_local.config import RunConfig

_PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "accelerate",
    "bitsandbytes",
    "safetensors",
    "tokenizers",
    "tuneport",
)


def peak_memory(device: str) -> int:
    """Bytes: of the device where that is a GPU, of this process elsewhere."""
    if device != "cpu":
        import torch

        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kibibytes


def provenance_of(config: RunConfig, device: str, fingerprint: str, template: str) -> Provenance:
    from importlib.metadata import PackageNotFoundError, version

    import torch

    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    hardware: dict[str, Any] = {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "devices": config.devices,
    }
    if device != "cpu":
        hardware["gpu"] = torch.cuda.get_device_name(0)
    return Provenance(
        versions=versions,
        seed=config.seed,
        hardware=hardware,
        base_fingerprint=fingerprint,
        chat_template=template,
    )


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
