"""Whether a directory's weights are all there, told from their headers and before anything is loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tuneport.errors import ModelError
from tuneport_local import layout


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(layout.STARTER, tmp_path / "model"))


def test_whole_weights_pass(model: Path) -> None:
    assert layout.check(model) == model


@pytest.mark.parametrize("kept", [0, 5, 200, 100_000])
def test_a_file_that_is_cut_short_is_named(model: Path, kept: int) -> None:
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"model\.safetensors is not whole.*again"):
        layout.check(model)


def test_a_pointer_in_place_of_the_weights_is_told(model: Path) -> None:
    (model / "model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4332880\n"
    )
    with pytest.raises(ModelError, match="git lfs pull"):
        layout.check(model)


def test_a_file_that_the_index_names_and_is_not_there_is_told(model: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"lacks model-00002-of-00002\.safetensors"):
        layout.check(model)
