"""A third party's package: written from the guide's own code into a folder, with the metadata that an installer would write."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "adding-a-backend.md"
# The backends of this repository, for a checkout that was installed before they were registered in pyproject.toml.
OURS = {
    "openai": "tuneport_backends.openai:OpenAIBackend",
    "azure": "tuneport_backends.openai:AzureBackend",
    "bedrock-openai": "tuneport_backends.openai:BedrockOpenAIBackend",
    "bedrock": "tuneport_backends.bedrock:BedrockBackend",
    "vertex": "tuneport_backends.vertex:VertexBackend",
}


def install(folder: Path) -> Path:
    """The guide's package in `folder`, as `pip install --target` would leave it."""
    text = GUIDE.read_text(encoding="utf-8")
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL):
        (folder / name).write_text(code, encoding="utf-8")
    (toml,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    points: Mapping[str, Mapping[str, str]] = tomllib.loads(toml)["project"]["entry-points"]
    describe(folder, "acme-tuning", points)
    return folder


def describe(folder: Path, package: str, points: Mapping[str, Mapping[str, str]]) -> None:
    """A .dist-info with entry points."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in points.items()]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")


@contextmanager
def on_path(folder: Path) -> Generator[None]:
    """For this process and its children."""
    before = os.environ.get("PYTHONPATH")
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), *([before] if before else [])])
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
