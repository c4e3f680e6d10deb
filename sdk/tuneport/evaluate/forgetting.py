"""What both ways of measuring forgetting share: who is compared with whom, and the two paired by item."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tuneport.errors import SpecError
from tuneport.evaluate.comparison import Forgetting
from tuneport.evaluate.contenders import Contestant, Entrant, enter
from tuneport.scoring import probe
from tuneport.scoring.intervals import paired_difference

Kind = Literal["binary", "continuous"]


@dataclass
class Measured:
    """What one model got, by task and item; and of an item that it could not be asked, why."""

    values: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    failed: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    def got(self, task: str, item: str, value: float) -> None:
        self.values.setdefault(task, {})[item] = value

    def missed(self, task: str, item: str, why: str) -> None:
        self.failed.setdefault(task, {})[item] = why


def pair(model: Contestant, base: Contestant | None) -> tuple[Entrant, Entrant]:
    """Base and tuned, each with a model that can be asked."""
    (after,) = enter([model], [], seed=0)
    if base is None:
        origin = after.base_model
        if after.result is None or origin is None:
            raise SpecError(f"{after.name} names no base: give base=, as in base='local:starter'.")
        base = origin
    elif base == "base":
        base = after.base_model or ""
    (before,) = enter([base], [], seed=0)
    for one in (before, after):
        if one.model is None:
            raise SpecError(f"{one.name} holds recorded answers: forgetting is measured on a model that can be asked.")
        if one.examples or one.system is not None:
            raise SpecError(f"{one.name} is a prompt around a model: give the model itself.")
    if before.name == after.name:
        before.name = f"{before.name} (base)"
    return before, after


def paired(
    task: str,
    metric: str,
    base: Measured,
    tuned: Measured,
    names: tuple[str, str],
    *,
    higher: bool,
    kind: Kind = "continuous",
    source: str = probe.SOURCE,
    how: str = "",
) -> Forgetting:
    """One task over the items that both models could be asked; how many could not is in the note."""
    left, right = base.values.get(task, {}), tuned.values.get(task, {})
    items = [item for item in left if item in right]
    missed = {**base.failed.get(task, {}), **tuned.failed.get(task, {})}
    notes = [how] if how else []
    if missed:
        notes.append(f"{len(missed)} items could not be asked, for one: {next(iter(missed.values()))}")
    if not items:
        return unmeasured(task, metric, names, "; ".join(notes) or "no item was measured", source=source)
    interval = paired_difference([left[i] for i in items], [right[i] for i in items], kind=kind)
    fell = interval.known and (interval.high < 0 if higher else interval.low > 0)
    return Forgetting(
        task=task,
        source=source,
        metric=metric,
        base_contender=names[0],
        contender=names[1],
        base=sum(left[i] for i in items) / len(items),
        tuned=sum(right[i] for i in items) / len(items),
        difference=interval,
        higher_is_better=higher,
        rows=len(items),
        fell=fell,
        note="; ".join(notes),
    )


def unmeasured(task: str, metric: str, names: tuple[str, str], why: str, *, source: str = probe.SOURCE) -> Forgetting:
    return Forgetting(
        task=task,
        source=source,
        metric=metric,
        base_contender=names[0],
        contender=names[1],
        base=None,
        tuned=None,
        higher_is_better=metric not in {"bits_per_byte"},
        rows=0,
        note=why,
    )
