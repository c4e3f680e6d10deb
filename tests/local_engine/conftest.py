"""Tiny models for every test here: `tiny_model("qwen3")` is a directory, made once a session and not to be written to."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


def _families() -> ModuleType:
    # Test files are imported by path (--import-mode=importlib), so a helper beside them has to be put in sys.modules by hand.
    if "families" not in sys.modules:
        spec = importlib.util.spec_from_file_location("families", Path(__file__).with_name("families.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["families"] = module
        spec.loader.exec_module(module)
    return sys.modules["families"]


families = _families()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A whole tiny model of a family in `families.FAMILIES`: tokenizer, template, config, random weights."""
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            made[family] = families.tiny_model_dir(family, tmp_path_factory.mktemp("models") / family)
        return made[family]

    return make


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The tokenizer part alone, made in milliseconds; `template=` replaces the family's."""
    made: dict[tuple[str, str | None], Path] = {}

    def make(family: str, template: str | None = None) -> Path:
        if (family, template) not in made:
            folder = tmp_path_factory.mktemp("tokenizers") / family
            made[family, template] = families.tiny_tokenizer_dir(family, folder, template=template)
        return made[family, template]

    return make
