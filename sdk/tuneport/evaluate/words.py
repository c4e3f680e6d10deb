"""Numbers as people read them, and text from outside made safe to look at."""

from __future__ import annotations

import math

# What turns the reading direction, or shows nothing at all, and yet makes two texts differ; joiners, which scripts need, stay.
_UNSEEN = (*range(0x80, 0xA0), 0x200B, 0x200E, 0x200F, *range(0x2028, 0x202F), 0x2060, *range(0x2066, 0x206A), 0xFEFF)
_CONTROLS: dict[int, str] = (
    {code: chr(0x2400 + code) for code in range(0x20) if code not in (0x09, 0x0A)}
    | {0x7F: "\u2421"}
    | {code: f"\u27e6U+{code:04X}\u27e7" for code in _UNSEEN}
)


def percent(share: float) -> str:
    """`93%`; a decimal where a whole number would claim all or nothing, or hide a small share."""
    whole = f"{100 * share:.0f}%"
    return f"{100 * share:.1f}%" if whole in ("0%", "-0%", "100%", "-100%") and share not in (0, 1, -1) else whole


def points(difference: float) -> str:
    """A difference of shares in percentage points, always with its sign: `+93`."""
    text = percent(difference).removesuffix("%").replace("-", "\u2212")
    return text if text.startswith("\u2212") or difference == 0 else f"+{text}"


def number(value: float | None, digits: int = 3) -> str:
    """Three decimals, more for small values; a dash for none and for what is not finite."""
    if value is None or not math.isfinite(value):
        return "\u2013"
    if value and abs(value) < 10**-digits:
        return f"{value:.1e}".replace("-", "\u2212")
    return f"{value:,.{digits}f}".replace("-", "\u2212")


def signed(value: float) -> str:
    return number(value) if value <= 0 or not math.isfinite(value) else f"+{number(value)}"


def count(value: int | None) -> str:
    return "\u2013" if value is None else f"{value:,}"


def size(value: int | None) -> str:
    """Bytes in binary units: `1.5 GiB`."""
    if value is None:
        return "\u2013"
    amount = float(value)
    for unit in ("bytes", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def duration(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds):
        return "\u2013"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def visible(text: str, limit: int) -> str:
    """At most `limit` characters, control characters as their symbols, what cannot be seen by its number, as `⟦U+202E⟧`, and
    nothing that UTF-8 cannot hold."""
    clean = text.encode("utf-8", "replace").decode("utf-8").translate(_CONTROLS)
    return clean if len(clean) <= limit else f"{clean[:limit]}\u2026 ({len(clean) - limit:,} more characters)"


def title(name: str) -> str:
    """A metric's name as people read it: `exact_match` as `Exact match`, `bleu` as `BLEU`."""
    known = {
        "bleu": "BLEU",
        "chrf": "chrF",
        "rouge1": "ROUGE-1",
        "rouge2": "ROUGE-2",
        "rougeL": "ROUGE-L",
        "macro_f1": "Macro F1",
    }
    text = name.replace("_", " ").replace("json", "JSON").replace(" f1", " F1")
    return known.get(name, text[:1].upper() + text[1:])
