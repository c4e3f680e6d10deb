"""Which entry a model's name means, in all the forms in which a provider writes it."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any

from tuneport.catalog.load import load
from tuneport.catalog.schema import Entry

_CONTEXT = re.compile(r"(:\d+):\d+k$")  # Bedrock's tuning ids end in a context length that inference ids lack
_PROFILE = re.compile(r"^(us|eu|apac|jp|au|ca|sa|me|af|us-gov|global)\.(?=\w+\.)")  # Bedrock's inference profiles


def find(model: str) -> Entry | None:
    """The entry of `<backend>:<model>`; a bare model id is looked up in every backend, and found where one alone has it.

    Understood: snapshots and aliases, `ft:<base>:…`, Azure's `<base>.ft-<job>`, Bedrock ids with and without the context
    length, its ARNs and inference profiles, and Vertex's `publishers/…/models/…` and `projects/…/models/…`.
    """
    known = load()
    backends = {entry.backend for entry in known}
    if model.startswith("ft:"):
        model = f"openai:{model}"
    head, colon, rest = model.partition(":")
    if colon and head in backends:
        return _match([entry for entry in known if entry.backend == head], rest)
    found = {
        backend: entry
        for backend in sorted(backends)
        if (entry := _match([e for e in known if e.backend == backend], model)) is not None
    }
    return next(iter(found.values())) if len(found) == 1 else None


def target(model: str, objective: str = "sft") -> dict[str, Any] | None:
    """What the dataset checks need to know of a model, as keyword arguments of their `Target` (`limits` as those of their
    `Limits`); None where the catalog has no such model, or the model no such objective."""
    entry = find(model)
    if entry is None or objective not in entry.objectives:
        return None
    wanted = entry.objectives[objective]
    return {
        "model": model,
        "dialect": wanted.dialect,
        "limits": entry.limits_for(objective),
        "rules": tuple(wanted.rules),
        "cloud": True,
        "tokenizer": None,
        "characters_per_token": entry.characters_per_token,
    }


def _match(entries: list[Entry], model: str) -> Entry | None:
    names = _forms(model)
    for name in names:  # exact first: an alias with a star never hides an id
        for entry in entries:
            if name in {entry.id.lower(), *(alias.lower() for alias in entry.aliases)}:
                return entry
    for name in names:
        for entry in entries:
            if any("*" in alias and fnmatchcase(name, alias.lower()) for alias in entry.aliases):
                return entry
    return None


def _forms(model: str) -> list[str]:
    """The name as given, then what is left when each provider's wrapping is taken off."""
    text = model.strip().lower()
    forms = [text]
    if text.startswith("ft:"):
        forms.append(text.split(":")[1])
    if ".ft-" in text:
        forms.append(text.partition(".ft-")[0])
    last = text.rpartition("/")[2]
    if last != text and not last.isdigit():
        forms.append(last)
    for form in list(forms):
        bare = _PROFILE.sub("", form)
        forms += [bare, _CONTEXT.sub(r"\1", bare), bare.partition("@")[0]]
    return list(dict.fromkeys(forms))
