"""What can be tuned where: models, objectives, limits, hyperparameters, prices and end dates, each with its source and date.

Data, not code: the YAML files beside this one, and over them a user's own (`$TUNEPORT_CATALOG`, or catalog.yaml in
`$TUNEPORT_HOME`). A price that is not known is None, never a guess. Local models are not in it.
"""

from __future__ import annotations

from tuneport.catalog.find import find, target
from tuneport.catalog.lifecycle import SOON_DAYS, Notice, lifecycle
from tuneport.catalog.load import load, user_file
from tuneport.catalog.schema import Amount, EndDate, Entry, Knob, Limits, Objective, Price, Source


def entries(backend: str | None = None) -> list[Entry]:
    """Every model, or those of one backend, in the catalog's order."""
    return [entry for entry in load() if backend is None or entry.backend == backend]


__all__ = [
    "SOON_DAYS",
    "Amount",
    "EndDate",
    "Entry",
    "Knob",
    "Limits",
    "Notice",
    "Objective",
    "Price",
    "Source",
    "entries",
    "find",
    "lifecycle",
    "load",
    "target",
    "user_file",
]
