"""The base of everything that a user writes: frozen, and a key that it does not know is refused with the one meant.

What is read back from disk goes through `from_stored`, which ignores keys it does not know: a record that a newer
tuneport wrote still loads in an older one, and the other way round.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from tuneport.errors import SpecError

if TYPE_CHECKING:  # the metaclass is hidden from type checkers, which would lose the typed constructor
    _Base = BaseModel
else:

    class _Meta(type(BaseModel)):
        # Here and not in __init__: pydantic builds nested models without calling the class, so that one error at the
        # top speaks for the whole path.
        def __call__(cls, *args: Any, **data: Any) -> Any:
            try:
                return super().__call__(*args, **data)
            except ValidationError as error:
                raise spec_error(error, cls) from None

    class _Base(BaseModel, metaclass=_Meta):
        pass


class Strict(_Base):
    """Frozen; unknown keys refused; validation errors are `SpecError` with one sentence for each problem."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Validate what a user wrote (a mapping from YAML or JSON)."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise spec_error(error, cls) from None

    def model_post_init(self, context: Any, /) -> None:  # noqa: ARG002
        # A record says its kind and its objective also where nobody chose them; the rest of what is unset stays unset in it.
        self.__pydantic_fields_set__.update({"kind", "schema_version", "objective"} & set(type(self).model_fields))

    def to_store(self) -> dict[str, Any]:
        """What was set, as JSON: a field that was left unset is still unset when it is read back, so that it is not sent."""
        return self.model_dump(mode="json", exclude_unset=True)

    @classmethod
    def from_stored(cls, data: Mapping[str, Any]) -> Self:
        """Validate what tuneport itself wrote, perhaps in another version: unknown keys are ignored at every depth."""
        return cls.model_validate(data, extra="ignore")


def suggest(word: str, known: Iterable[str]) -> str:
    """`", did you mean 'x'?"`, or the list of what is known where nothing is close."""
    names = sorted(known)
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + ", ".join(names)


def spec_error(error: ValidationError, model: type[BaseModel]) -> SpecError:
    """One sentence for each pydantic error: the place, the value, the rule, and what was meant."""
    problems = [_sentence(item, model) for item in error.errors(include_url=False)]
    return SpecError("; ".join(problems), problems=problems)


def _sentence(item: Any, model: type[BaseModel]) -> str:
    place = _place(item["loc"]) or model.__name__
    value = item.get("input")
    if item["type"] == "extra_forbidden":
        owner = _owner(model, item["loc"][:-1])
        known = owner.model_fields if owner is not None else ()
        return f"unknown field '{place}': {suggest(str(item['loc'][-1]), known)}"
    if item["type"] == "missing":
        return f"'{place}' is missing from {model.__name__}"
    rule = str(item["msg"]).removeprefix("Value error, ")
    shown = repr(value)
    if len(shown) > 80:
        shown = shown[:77] + "..."
    return f"'{place}' is {shown}: {rule[:1].lower()}{rule[1:]}"


def _place(path: tuple[Any, ...]) -> str:
    # A discriminated union puts its tag into the path; users do not write it there.
    parts = [str(part) for i, part in enumerate(path) if not (i and path[i - 1] in {"method", "objective"})]
    return ".".join(parts)


def _owner(model: type[BaseModel], path: tuple[Any, ...]) -> type[BaseModel] | None:
    """The model that `path` leads to, through fields, optionals and unions (by their tag)."""
    current: Any = model
    for part in path:
        options = [current] if isinstance(current, type) else list(_models(current))
        found: Any = None
        for option in options:
            if not issubclass(option, BaseModel):
                continue
            if part in option.model_fields:
                found = option.model_fields[part].annotation
                break
            kind = option.model_fields.get("kind")
            if kind is not None and kind.default == part:
                found = option
                break
        if found is None:
            return None
        current = found
    models = [current] if isinstance(current, type) else list(_models(current))
    models = [m for m in models if issubclass(m, BaseModel)]
    return models[0] if len(models) == 1 else None


def _models(annotation: Any) -> Iterable[type[BaseModel]]:
    from typing import get_args

    for arg in get_args(annotation):
        if isinstance(arg, type) and issubclass(arg, BaseModel):
            yield arg
        elif not isinstance(arg, type):
            yield from _models(arg)
