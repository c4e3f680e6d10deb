"""JSON schemas of tools, as they come from anyone: compiled once, without network or files, and never let to run away.

jsonschema-rs validates. It is told to fetch nothing, and to give up on a pattern that backtracks without end. What it does not
bound is a schema whose references multiply ({"allOf": [a, a]} of {"allOf": [b, b]}, …, costs twice as much at each step). So
the work that a schema can ask for is estimated first, and one that can ask for too much is not used: counted, and said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from typing import Any, cast

MOST_BYTES = 1 << 18  # of one schema; compiling is quadratic in the number of references
_MOST_NODES = 100_000  # of a schema with its references written out
_MOST_STEPS = 10_000_000  # of one validation, about a second
_BACKTRACKING = 10_000
_SHOWN = 160
_ERRORS = 3

_SKIPPED = frozenset({"enum", "const", "default", "examples", "$defs", "definitions"})
_IN_PLACE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})
_MAPS = frozenset({"properties", "patternProperties", "dependentSchemas"})


@dataclass(frozen=True)
class Schema:
    """`problem`: why it is no schema. `validator` None without a problem: nothing is checked, for `unchecked`'s reason."""

    validator: Any = None
    problem: str | None = None
    unchecked: str | None = None
    back: int = 0  # references that lead back, where several may apply to one value
    nodes: int = 0

    def errors(self, value: Any) -> list[str] | None:
        """What breaks the schema, the first few; [] where nothing does; None where it was not found out."""
        if self.validator is None:
            return None
        if self.back > 1 and self.nodes * self.back ** min(_depth(value), 64) > _MOST_STEPS:
            return None
        try:
            if self.validator.is_valid(value):
                return []
            found: list[str] = []
            for error in self.validator.iter_errors(value):
                if type(error.kind).__name__ == "BacktrackLimitExceeded":
                    return None
                place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
                found.append(f"{place.removeprefix('.')[:80]}: {_cut(error.message)}" if place else _cut(error.message))
                if len(found) == _ERRORS:
                    break
        except ValueError:  # a value that the validator cannot take: nested deeper than 255
            return None
        return found


@cache
def available() -> bool:
    """Whether jsonschema-rs is installed."""
    return find_spec("jsonschema_rs") is not None


def compile_schema(schema: Any, size: int) -> Schema:
    """`schema` ready for use; `size` is its length as JSON. Never raises, and reads nothing but its arguments."""
    if not isinstance(schema, Mapping):
        return Schema(problem="it is not an object")
    given = cast("Mapping[str, Any]", schema)
    kind = given.get("type", "object")
    if kind != "object":
        lower = (
            " Types are written in lower case."
            if isinstance(kind, str) and kind.lower() in _TYPES and kind not in _TYPES
            else ""
        )
        return Schema(
            problem=f'its type is {_cut(repr(kind))}; arguments are an object, so it must be "object".{lower}'
        )
    if size > MOST_BYTES:
        return Schema(unchecked=f"larger than {MOST_BYTES:,} bytes")
    cost = _Cost(given)
    try:
        nodes, back = cost.measure()
    except RecursionError:
        return Schema(problem="it is nested too deeply")
    except CycleError as error:
        return Schema(problem=f"it refers to itself without end: {' → '.join(error.args[1])}")
    if nodes > _MOST_NODES:
        return Schema(unchecked="its references multiply")
    if not available():
        return Schema(unchecked="jsonschema-rs is not installed")
    import jsonschema_rs

    try:
        validator = jsonschema_rs.validator_for(
            dict(given),
            offline=True,
            validate_formats=False,
            pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=_BACKTRACKING, size_limit=1 << 20),
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        return Schema(problem=_reason(str(error)))
    return Schema(validator, back=back if cost.multiplies else 0, nodes=nodes)


_TYPES = frozenset({"object", "string", "integer", "number", "array", "boolean", "null"})


def _reason(words: str) -> str:
    """jsonschema-rs's message: its first line, and where in the schema."""
    first, _, rest = words.partition("\n")
    place = rest.partition("On instance")[2].partition(":")[0]
    if "Retrieval is disabled" in first or "No base URI" in first:
        return (
            f"it refers to a schema elsewhere ({_cut(first.partition(' is not present')[0])}), and nothing is fetched"
        )
    return f"{_cut(first)}{f' at {_cut(place)}' if place else ''}"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _depth(value: Any) -> int:
    """How deep containers are nested in `value`."""
    depth, level = 0, [value]
    while level:
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(cast("dict[str, Any]", item).values())
            elif isinstance(item, list):
                inner.extend(cast("list[Any]", item))
        depth, level = depth + 1, inner
    return depth - 1


class _Cost:
    """How large a schema is with its references written out, each that leads back to itself counted and left."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.multiplies = False  # a reference stands where others may apply to the same value
        self._root = root
        self._known: dict[str, tuple[int, int]] = {}
        self._open: list[str] = ["#"]
        self._flat: dict[str, set[str]] = {}  # references that apply to the same value as the one they stand in

    def measure(self) -> tuple[int, int]:
        """Nodes, and references that lead back; CycleError where references go in a circle and never to an inner value."""
        total = self._size(self._root, flat=True, beside=False)
        TopologicalSorter(self._flat).prepare()
        return total

    def _size(self, node: Any, *, flat: bool, beside: bool) -> tuple[int, int]:
        """`flat`: applies to the value of the innermost open reference; `beside`: others may apply to the same value."""
        nodes = back = 0
        found: list[tuple[int, int]] = []
        if isinstance(node, list):
            found = [self._size(item, flat=flat, beside=beside) for item in cast("list[Any]", node)]
        elif isinstance(node, dict):
            nodes = 1
            for key, value in cast("dict[str, Any]", node).items():
                if key in {"$ref", "$dynamicRef"} and isinstance(value, str):
                    self.multiplies = self.multiplies or beside
                    found.append(self._refer(value, flat=flat))
                elif key in _SKIPPED or not isinstance(value, (dict, list)):
                    continue  # definitions are counted where they are referred to
                else:
                    inside = flat and key in _IN_PLACE
                    more = beside or key in _IN_PLACE or key == "patternProperties"
                    inner = cast("dict[str, Any] | list[Any]", value)
                    if key in _MAPS and isinstance(inner, dict):  # its keys are names, not keywords
                        inner = list(inner.values())
                    found.append(self._size(inner, flat=inside, beside=more))
        for size, ways in found:
            nodes, back = nodes + size, back + ways
        return min(nodes, 2 * _MOST_NODES), min(back, 2 * _MOST_NODES)

    def _refer(self, ref: str, *, flat: bool) -> tuple[int, int]:
        if flat:
            self._flat.setdefault(self._open[-1], set()).add(ref)
        if ref in self._known:
            return self._known[ref]
        target = None if ref in self._open else _at(self._root, ref)
        if target is None:
            return 1, 1
        self._open.append(ref)
        self._known[ref] = found = self._size(target, flat=True, beside=False)
        self._open.pop()
        return found


def _at(root: Mapping[str, Any], ref: str) -> Any:
    """What a local JSON pointer leads to; None where it leads nowhere, or is no pointer."""
    if not ref.startswith("#/"):
        return None
    found: Any = root
    for step in ref[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = cast("dict[str, Any]", found).get(name)
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(cast("list[Any]", found)):
            found = cast("list[Any]", found)[int(name)]
        else:
            return None
    return found
