"""What a comparison's pictures are drawn with: inks and marks of contenders, names that fit, labels that keep apart, axes.

A contender is told by its letter, its name and the form of its mark, so that neither colour nor print decides who is who.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from tuneport.evaluate.comparison import Comparison, Contender, MetricInfo, Value
from tuneport.evaluate.words import number, percent, visible

Scale = Callable[[float], float]
Box = tuple[float, float, float, float]  # left, top, right, bottom

NARROW = 600  # below this width, in pixels, there is no room for names beside a picture
TEXT = 13.0  # the size of a name, in pixels
_INKS = 6
_SHAPES = ("circle", "square", "diamond", "triangle")
_DASHES = ("", "7 4", "2 4", "10 4 2 4")


def ink(place: int) -> str:
    """The class of the contender at this place: one of six inks, which come again with another mark."""
    return f"c{place % _INKS}"


def dash(place: int) -> str:
    return _DASHES[place % len(_DASHES)]


def key_mark(place: int) -> str:
    """A small mark for tables and keys."""
    return f'<svg class="mark" viewBox="0 0 14 14" aria-hidden="true">{mark(place, 7, 7, 5)}</svg>'


def mark(place: int, x: float, y: float, size: float) -> str:
    shape = _SHAPES[place % len(_SHAPES)]
    given = f'class="mark {ink(place)}"'
    if shape == "circle":
        return f'<circle {given} cx="{x:g}" cy="{y:g}" r="{size * 0.9:g}"/>'
    if shape == "square":
        corner, side = size * 0.8, size * 1.6
        return f'<rect {given} x="{x - corner:g}" y="{y - corner:g}" width="{side:g}" height="{side:g}"/>'
    if shape == "diamond":
        return f'<path {given} d="M{x:g} {y - size:g}l{size:g} {size:g}l{-size:g} {size:g}l{-size:g} {-size:g}Z"/>'
    return f'<path {given} d="M{x:g} {y - size:g}l{size:g} {size * 1.8:g}h{-2 * size:g}Z"/>'


def opened(width: int, height: float, label: str) -> str:
    return f'<svg viewBox="0 0 {width} {height:g}" role="img" aria-label="{escape(label)}">'


def text(x: float, y: float, said: str, kind: str = "tick", anchor: str = "start") -> str:
    """`said` is escaped here."""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(said)}</text>'


def reach(said: str, size: float = TEXT) -> float:
    """About how many pixels wide, on the safe side: fonts differ, and nothing is loaded to measure with."""

    def ems(c: str) -> float:
        if unicodedata.east_asian_width(c) in "WF" or c in "MW@%" or (ord(c) > 0x24F and c.isupper()):
            return 1.05
        return 0.72 if c.isupper() else 0.58

    return sum(map(ems, said)) * size


def fitted(said: str, room: float, size: float = TEXT) -> str:
    """As much of it as fits into `room` pixels, on one line."""
    line = " ".join(visible(said, 300).split())
    if reach(line, size) <= room:
        return line
    while line and reach(line + "\u2026", size) > room:
        line = line[:-1]
    return f"{line.rstrip(' .,-(')}\u2026"


def name(one: Contender, x: float, y: float, room: float, anchor: str = "start") -> str:
    """The letter, and as much of the name as there is room for; the whole of it when pointed at."""
    letter = escape(one.key)
    rest = fitted(one.name, room - reach(one.key) - 8) if room > 60 else ""
    # Names begin under each other where the letters before them are of different widths.
    begin = f'x="{x + 18:g}"' if anchor == "start" and len(one.key) == 1 else 'dx="7"'
    said = f'{letter}<tspan class="name" {begin}>{escape(rest)}</tspan>' if rest else letter
    full = escape(visible(one.name, 200))
    return f'<text class="letter" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{said}<title>{full}</title></text>'


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The same heights, moved no more than needed so that they lie `gap` apart; from `low` to `high` where they fit."""
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    placed = list(wanted)
    at = low - gap
    for place in order:
        at = placed[place] = max(wanted[place], at + gap)
    at = high + gap
    for place in reversed(order):
        at = placed[place] = min(placed[place], at - gap)
    return placed


def ends(
    found: Sequence[tuple[Contender, float, float]], right: float, room: float, low: float, high: float
) -> list[str]:
    """Names at the ends of lines, each beside its own, apart from each other and tied to its line where it had to move."""
    placed = spread([y for _, _, y in found], TEXT + 4, low, high)
    parts: list[str] = []
    for (one, x, y), at in zip(found, placed, strict=True):
        if abs(at - y) > 5 or right - x > 12:
            parts.append(f'<path class="leader" d="M{x + 3:g} {y:g}L{right + 8:g} {at:g}"/>')
        parts.append(name(one, right + 12, at + 4.5, room - 12))
    return parts


@dataclass(frozen=True)
class Spot:
    """A point that wants a name. `top` and `bottom`: where its interval ends, above and below it."""

    one: Contender
    x: float
    y: float
    top: float
    bottom: float


def labels(spots: Sequence[Spot], inside: Box) -> list[str]:
    """A name at each spot, beside it or where its interval ends, on nothing else and inside the picture.

    Where a name has no room, a shorter one, then the letter, then nothing: the mark alone still tells who it is.
    """
    taken = [(s.x - 9, s.y - 9, s.x + 9, s.y + 9) for s in spots] + [(s.x - 2, s.top, s.x + 2, s.bottom) for s in spots]
    letters = {s.one.key: (s.x + 10, s.y - 9, s.x + 15 + reach(s.one.key), s.y + 8) for s in spots}
    parts: list[str] = []
    for spot in spots:
        letters.pop(spot.one.key)  # kept free for its own letter until then
        taken_now = [*taken, *letters.values()]
        for room in (190, 90, 0):
            said = fitted(spot.one.name, room) if room else ""
            wide = 20 + reach(said) if said else reach(spot.one.key)
            found = next((place for place in _around(spot, wide) if _free(place[0], taken_now, inside)), None)
            if found is not None:
                box, x, y, anchor = found
                taken.append(box)
                parts.append(name(spot.one, x, y, wide + 12 if said else 0, anchor))
                break
    return parts


def _around(spot: Spot, wide: float) -> list[tuple[Box, float, float, str]]:
    """Right of it, left of it, above and below: the box of a text so wide, and where it is written."""
    places = (
        (spot.x + 13, spot.y + 4.5, "start", 0.0),
        (spot.x - 13, spot.y + 4.5, "end", wide),
        (spot.x, min(spot.top - 7, spot.y - 14), "middle", wide / 2),
        (spot.x, max(spot.bottom + 16, spot.y + 23), "middle", wide / 2),
    )
    return [((x - back, y - TEXT, x - back + wide, y + 4), x, y, anchor) for x, y, anchor, back in places]


def _free(box: Box, taken: Sequence[Box], inside: Box) -> bool:
    left, top, right, bottom = box
    if left < inside[0] or top < inside[1] or right > inside[2] or bottom > inside[3]:
        return False
    return all(right < a or left > c or bottom < b or top > d for a, b, c, d in taken)


def linear(low: float, high: float, start: float, end: float) -> Scale:
    span = (high - low) or 1.0
    return lambda value: round(start + (end - start) * (value - low) / span, 1)


def logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    span = math.log(high / low) or 1.0
    return lambda value: round(start + (end - start) * math.log(max(value, low) / low) / span, 1)


def decades(low: float, high: float, steps: Sequence[int] = (1, 2, 5)) -> list[float]:
    """Round numbers on a log axis that hold low..high, of these steps a decade; at least two. Both above zero."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1
    marks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    begin = max((place for place, value in enumerate(marks) if value <= low * 1.0001), default=0)
    end = min(place for place, value in enumerate(marks) if value >= high * 0.9999 and place > begin)
    return marks[begin : end + 1]


def sparse(marks: Sequence[float], at: Scale, gap: float) -> list[float]:
    """The first, and each next that lies `gap` pixels on."""
    kept = list(marks[:1])
    for value in marks[1:]:
        if abs(at(value) - at(kept[-1])) >= gap:
            kept.append(value)
    return kept


def polyline(points: Sequence[tuple[float, float]]) -> str:
    kept = [points[0], *(here for before, here in pairwise(points) if here != before)]
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in kept)


def value_of(comparison: Comparison, metric: str, key: str) -> Value | None:
    return next((v for v in comparison.values if v.metric == metric and v.contender == key), None)


def told(value: float, info: MetricInfo) -> str:
    return percent(value) if info.share else number(value)


def short(value: float) -> str:
    """`0.02`, `1.5`, `20k`, `3M`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}".replace("-", "\u2212")
