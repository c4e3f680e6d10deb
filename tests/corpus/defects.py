"""All defects, by family. Each is one sound set with one thing wrong; `DEFECTS` maps a name to it."""

from __future__ import annotations

from tests.corpus.kinds import file, meaning, privacy, splits, structure, target, tokens, tools
from tests.corpus.plant import DEFECTS, Defect, Planted, found

FAMILIES = (file, structure, tools, target, tokens, meaning, privacy, splits)

__all__ = ["DEFECTS", "FAMILIES", "Defect", "Planted", "found"]
