"""What can be reckoned before anything is spent: settings, epochs, time, memory and money. Pure functions, no torch."""

from __future__ import annotations

from tuneport.estimates.cloud import CloudSettings, lifecycle_issues, resolve_cloud, target
from tuneport.estimates.duration import UNPUBLISHED, Duration, local
from tuneport.estimates.memory import MemoryEstimate, Request, fits, memory
from tuneport.estimates.money import Epochs, Money, Tokens, budget, money
from tuneport.estimates.practice import departures, practice
from tuneport.estimates.shape import ModelShape, shape_of

__all__ = [
    "UNPUBLISHED",
    "CloudSettings",
    "Duration",
    "Epochs",
    "MemoryEstimate",
    "ModelShape",
    "Money",
    "Request",
    "Tokens",
    "budget",
    "departures",
    "fits",
    "lifecycle_issues",
    "local",
    "memory",
    "money",
    "practice",
    "resolve_cloud",
    "shape_of",
    "target",
]
