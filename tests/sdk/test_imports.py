"""`import tuneport` stays light, and every public name works whichever is touched first."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tuneport

HEAVY = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "openai",
    "boto3",
    "google",
    "sqlalchemy",
    "httpx",
    "numpy",
    "datasets",
)

LEFT = f"print([m for m in {HEAVY} if m in sys.modules and m not in before])"


def _fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_loads_nothing_heavy() -> None:
    # Some packages load a part of themselves in every interpreter (google's namespace): what was there before is not ours.
    loaded = _fresh(f"import sys; before = {{*sys.modules}}; import tuneport; {LEFT}")
    assert loaded == "[]"


def test_no_public_name_loads_torch() -> None:
    code = (
        "import sys; before = {*sys.modules}; import tuneport\n"
        f"for name in tuneport.__all__: getattr(tuneport, name)\n{LEFT}"
    )
    assert _fresh(code) == "[]"


@pytest.mark.parametrize("name", tuneport.__all__)
def test_each_name_works_when_touched_first(name: str) -> None:
    # A function that is named like its module would turn into the module after another import.
    code = (
        f"import tuneport, types; first = tuneport.{name}\n"
        "for other in tuneport.__all__: getattr(tuneport, other)\n"
        f"assert tuneport.{name} is first and not isinstance(first, types.ModuleType)"
    )
    _fresh(code)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = tuneport.nonsense


def test_the_local_backend_and_the_supervisor_load_no_torch() -> None:
    code = (
        "import tuneport_backends.local, tuneport_backends.local_chat, tuneport_local.supervisor, sys\n"
        "print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    )
    assert _fresh(code) == "[]"
