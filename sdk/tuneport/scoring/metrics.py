"""Metrics on an answer. Each says what it forgives (whitespace, Unicode form, case, key order) and forgives no more."""

from __future__ import annotations

import json
import unicodedata
from typing import Any, TypeAlias

_Json: TypeAlias = "bool | int | float | str | list[_Json] | dict[str, _Json] | None"


def exact_match(answer: str, expected: str) -> bool:
    """The same text, code point by code point, but for whitespace around the whole.

    Models and datasets differ in a last newline that nobody means. Inner whitespace, case and Unicode form count: an
    answer that software will compare as a string has to be that string.
    """
    return answer.strip() == expected.strip()


def normalised_match(answer: str, expected: str) -> bool:
    """The same words: Unicode NFC, case folded, every run of whitespace one space. Punctuation counts."""
    return normalised(answer) == normalised(expected)


def json_valid(answer: str) -> bool:
    """One JSON value by RFC 8259, with whitespace around it at most: no NaN or Infinity, no key twice, no fence."""
    try:
        parse(answer)
    except (ValueError, RecursionError):
        return False
    return True


def json_equal(answer: str, expected: str) -> bool:
    """Both valid, as above, and the same value: key order and whitespace between tokens do not count, array order does.

    Strings compare code point by code point after unescaping, without NFC. Numbers compare by value (1 equals 1.0), and
    true is not 1.
    """
    try:
        return _same(parse(answer), parse(expected))
    except (ValueError, RecursionError):
        return False


def normalised(text: str) -> str:
    """Unicode NFC, case folded, every run of whitespace one space."""
    # Case folding can undo NFC, so the form is made last (Unicode 3.13, canonical caseless matching).
    folded = unicodedata.normalize("NFD", text).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())


def parse(text: str) -> _Json:
    """One JSON value by RFC 8259. ValueError, or RecursionError where it is nested too deeply, for anything else."""
    parsed: _Json = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice")
    return result


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _same(left: _Json, right: _Json) -> bool:
    # Python's == would take True for 1; everything else about it is what JSON means.
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and left == right
