"""The table of what backends cannot do is what they declare."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuneport import registry, support
from tuneport.backend import FEATURES
from tuneport.methods import METHODS
from tuneport.objectives import OBJECTIVES

PAGE = Path(__file__).parents[2] / "docs" / "support.md"


def test_the_page_is_what_the_backends_declare() -> None:
    assert PAGE.read_text(encoding="utf-8") == support.markdown(), "python -m tuneport.support > docs/support.md"


@pytest.mark.parametrize("name", sorted(registry.available()))
def test_a_backend_answers_for_everything_in_the_interface(name: str) -> None:
    capabilities = registry.get(name).capabilities()
    assert set(capabilities.objectives) == set(OBJECTIVES)
    assert set(capabilities.methods) == set(METHODS)
    assert set(capabilities.features) == set(FEATURES)


def test_every_no_has_a_reason_and_what_would_end_it() -> None:
    for name in registry.available():
        for row in support.rows(name):
            assert row.supported or (row.reason and row.until), row
