"""A validation report as one HTML file: what is wrong, how long the rows are, what the score rests on. No network, no script.

Rows are untrusted text: everything is escaped, and a Content-Security-Policy lets nothing load or run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from markupsafe import Markup

from tuneport.dataset.codes import CODES
from tuneport.dataset.issues import Issue
from tuneport.dataset.report import ValidationReport
from tuneport.evaluate.comparison import write_whole
from tuneport.evaluate.pages import template

_SHOWN = 25  # issues of one code on the page
_RANK = {"error": 0, "warning": 1, "info": 2}


def write_page(report: ValidationReport, path: Path) -> Path:
    """Write the page to `path`, whole or not at all."""
    groups = _groups(report)
    tokens = report.stats.get("tokens", {})
    page = template("dataset.html.j2").render(
        report=report,
        headline=_headline(report),
        groups=groups,
        tokens=tokens,
        # Twice: a picture that is scaled down to a telephone's width cannot be read.
        lengths=[
            (shown, Markup(histogram(tokens.get("histogram") or [], "rows by length in tokens", width)))  # noqa: S704
            for shown, width in (("wide", 760), ("narrow", 360))
        ],
        codes=CODES,
        version=version("tuneport"),
    )
    return write_whole(path, page)


def _headline(report: ValidationReport) -> str:
    errors = sum(count for code, count in report.counts.items() if _severity(report, code) == "error")
    warnings = sum(count for code, count in report.counts.items() if _severity(report, code) == "warning")
    if errors:
        return f"Not ready: {errors:,} error{'s' if errors > 1 else ''}"
    if warnings:
        return f"Ready, with {warnings:,} warning{'s' if warnings > 1 else ''} to look at"
    return "Ready: nothing was found"


def _severity(report: ValidationReport, code: str) -> str:
    return min((i.severity for i in report.issues if i.code == code), key=lambda s: _RANK[s], default="info")


def _groups(report: ValidationReport) -> Sequence[Mapping[str, Any]]:
    by_code: dict[str, list[Issue]] = {}
    for issue in report.issues:
        by_code.setdefault(issue.code, []).append(issue)
    groups = [
        {
            "code": code,
            "severity": _severity(report, code),
            "count": report.counts.get(code, len(issues)),
            "title": CODES[code].title if code in CODES else "",
            "why": CODES[code].why if code in CODES else "",
            "issues": issues[:_SHOWN],
        }
        for code, issues in by_code.items()
    ]
    return sorted(groups, key=lambda group: (_RANK[cast("str", group["severity"])], -cast("int", group["count"])))


def histogram(bins: Sequence[Mapping[str, int]], label: str, width: int = 760, height: int = 220) -> str:
    """Bars over ranges that double, with how many rows each holds; "" without any."""
    if not bins:
        return ""
    most = max(item["rows"] for item in bins) or 1
    left, right, top, bottom = 8, width - 8, 34, height - 40
    step = (right - left) / len(bins)
    bar = min(64.0, step * 0.8)
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">',
        f'<text class="label" x="{left}" y="14">{escape(label)}</text>',
        f'<path class="axis" d="M{left} {bottom}H{right}"/>',
    ]
    for number, item in enumerate(bins):
        x = left + step * (number + 0.5)
        tall = (bottom - top) * item["rows"] / most
        if item["rows"]:
            tall = max(tall, 1.5)
            parts.append(
                f'<rect class="bin" x="{x - bar / 2:.1f}" y="{bottom - tall:.1f}" width="{bar:.1f}" height="{tall:.1f}" rx="3">'
                f"<title>{item['rows']:,} rows of {item['from']:,} to {item['to'] - 1:,} tokens</title></rect>"
            )
            parts.append(
                f'<text class="tick" x="{x:.1f}" y="{bottom - tall - 5:.1f}" text-anchor="middle">{item["rows"]:,}</text>'
            )
        span = f"{_short(item['from'])}–{_short(item['to'])}" if step > 52 else f"{_short(item['from'])}+"
        parts.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{span}</text>')
    parts.append(
        f'<text class="label" x="{(left + right) / 2}" y="{height - 6}" text-anchor="middle">tokens in a row</text>'
    )
    return "".join([*parts, "</svg>"])


def _short(value: int) -> str:
    return f"{value // 1024}k" if value >= 1024 else str(value)
