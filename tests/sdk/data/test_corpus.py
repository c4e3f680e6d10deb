"""The corpus of defects: each is found at its row, with its path and value; what is clean raises nothing."""

from __future__ import annotations

import importlib
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest

from tuneport.dataset.codes import CODES

# The corpus is a package of the repository, not an installed one.
if (top := str(Path(__file__).parents[3])) not in sys.path:
    sys.path.insert(0, top)
clean: Any = importlib.import_module("tests.corpus.clean")
defects: Any = importlib.import_module("tests.corpus.defects")
measure: Any = importlib.import_module("tests.corpus.measure")
words: Any = importlib.import_module("tests.corpus.words")
lookalikes: Any = importlib.import_module("tests.corpus.lookalikes")
invented: Any = importlib.import_module("tests.corpus.invented")
plant: Any = importlib.import_module("tests.corpus.plant")

DEFECTS = defects.DEFECTS


def _defects(*, slow: bool = True) -> list[Any]:
    return [
        pytest.param(name, marks=[pytest.mark.slow] if defect.slow else [])
        for name, defect in DEFECTS.items()
        if slow or not defect.slow
    ]


@pytest.fixture(scope="session")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Each defect is planted and validated once in the session."""

    @cache
    def of(name: str) -> Any:
        return measure.measure(DEFECTS[name], tmp_path_factory.mktemp("defect"))

    return of


# The corpus itself


@pytest.mark.parametrize("name", clean.MAKERS)
def test_a_clean_set_has_rows_enough_and_none_that_is_nearly_another(name: str) -> None:
    rows = clean.base(name)
    assert len(rows) >= 120
    assert rows == clean.base(name)
    assert rows != clean.base(name, seed="another")
    seen = [words.shingles(words.said(row)) for row in rows]
    assert max(words.overlap(one, other) for n, one in enumerate(seen) for other in seen[:n]) <= 0.5
    assert len({words.asked(row) for row in rows}) == len(rows)


@pytest.mark.parametrize("name", _defects(slow=False))
def test_a_defect_lies_where_it_is_said_to_lie(name: str, tmp_path: Path) -> None:
    """The row named is there, and the path named leads somewhere in it (or is a key that was taken away)."""
    planted = DEFECTS[name].plant(tmp_path)
    data = planted.data
    if planted.row is None or not planted.paths or name.startswith(("nul", "lone")):
        return
    if not isinstance(data, Path) or data.suffix != ".jsonl" or planted.source:
        return
    lines: list[bytes] = data.read_bytes().split(b"\n")
    row: Any = json.loads(lines[int(planted.row) - 1])
    reached = False
    for path in planted.paths:
        if path is None:
            continue
        try:
            holder, key = plant.reach(row, path)
            reached = reached or (isinstance(key, str) or key < len(cast("list[Any]", holder)))
        except (LookupError, TypeError):
            continue
    assert reached or None in planted.paths


def test_every_code_has_a_defect() -> None:
    assert set(CODES) == {defect.code for defect in DEFECTS.values()}
    assert len(DEFECTS) >= 60


def test_the_kinds_that_no_peer_notices_are_all_here() -> None:
    """The list of defects that other validators were measured on."""
    wanted = {
        "duplicate", "near-duplicate-by-name", "contradiction", "card", "email", "github-token", "mojibake-accents",
        "lone-surrogate",
        "token-chatml", "language-german-answer", "nul-byte", "key-twice", "nothing-trainable", "copied-prompt", "refusal",
        "three-rows", "arguments-cut", "undeclared", "result-of-no-call", "schema-missing", "missing", "empty", "answer-cut",
        "leak-into-test", "cut-line", "role-bot", "no-assistant", "byte-order-mark", "latin-1-byte", "blank-line", "nan",
        "messages-null", "content-number",
    }  # fmt: skip
    assert wanted <= set(DEFECTS)
    assert len(wanted) == 33


def test_invented_numbers_pass_the_checksums_and_the_lookalikes_do_not() -> None:
    number = pytest.importorskip("stdnum")
    del number
    rules = {
        "card": "luhn", "german_tax_id": "de.idnr", "spanish_dni": "es.dni", "brazilian_cpf": "br.cpf",
        "indian_aadhaar": "in_.aadhaar", "french_nir": "fr.nir", "us_ssn": "us.ssn", "iban": "iban",
    }  # fmt: skip
    for seed in range(50):
        made = invented.Invented(seed)
        for name, module in rules.items():
            given = {"card": ("4999", 16), "iban": ("DE", 22, "99912300")}.get(name, ())
            value = getattr(made, name)(*given)
            assert importlib.import_module(f"stdnum.{module}").is_valid(value), (name, value)
    assert not importlib.import_module("stdnum.luhn").is_valid(lookalikes._not_a_card())
    assert importlib.import_module("stdnum.imei").is_valid(lookalikes._imei())


def test_no_secret_stands_in_the_source() -> None:
    """They are put together at run time, so that no scanner takes the repository for a leak."""
    here = Path(invented.__file__).parent
    source = "".join(path.read_text(encoding="utf-8") for path in sorted(here.rglob("*.py")))
    assert not [
        start
        for start in ("AK" + "IA", "gh" + "p_", "sk_" + "live", "xo" + "xb-", "AI" + "za", "BEGIN RSA PRIV")
        if start in source
    ]


# What validate says of it


@pytest.mark.parametrize("name", _defects())
def test_the_defect_is_found_with_its_row_path_and_value(name: str, outcome: Any) -> None:
    seen = outcome(name)
    assert seen.crash is None
    assert seen.hit, [f"{issue.code} row {issue.row} {issue.path}: {issue.message}" for issue in seen.near]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if "long" in n else []) for n in clean.CLEAN]
)
def test_a_clean_set_raises_no_error_and_no_warning(name: str, tmp_path: Path) -> None:
    for alarm in measure.measure_clean(clean.CLEAN[name], tmp_path):
        said = [
            f"{issue.severity} {issue.code} row {issue.row} {issue.path}: {issue.message}" for issue in alarm.issues
        ]
        assert alarm.crash is None, alarm.run
        assert not said, alarm.run


@pytest.mark.parametrize("code", sorted(CODES))
def test_taking_a_check_away_turns_a_test_red(code: str, outcome: Any) -> None:
    """Without the findings of this code, some defect is no longer found: so the tests above notice when it is gone."""
    names = [name for name, defect in DEFECTS.items() if defect.code == code and not defect.slow] or [
        name for name, defect in DEFECTS.items() if defect.code == code
    ]
    seen = outcome(names[0])
    assert seen.hit
    without = [issue for issue in seen.issues if issue.code != code]
    assert not measure.check(seen.defect, seen.planted, without)[0]
