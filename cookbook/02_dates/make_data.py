"""Dates as people write them in dozens of languages, from Unicode's CLDR, each with the ISO date it means.

    python make_data.py --out data --seed 0

The wording is CLDR's (through the Babel package), not ours: real data with a right answer that a program knows. A row
asks with the locale in brackets, because 03/04/2024 is another day in `en_US` than in `en_GB`:

    user       [pt_BR] domingo, 17 de março de 2024
    assistant  {"date": "2024-03-17"}

Training, validation and test rows share no calendar date, so a model can't have seen a test row's answer.
"""

from __future__ import annotations

import argparse
import collections
import datetime as dt
import json
import random
from pathlib import Path
from typing import Any

from babel.dates import format_date, format_skeleton

# Latin, Cyrillic, Greek, Arabic, Hebrew, Devanagari, Bengali, Tamil, Thai, Georgian, Armenian, Han, kana and Hangul.
LOCALES = (
    "en_US en_GB en_IN de_DE de_CH fr_FR fr_CA es_ES es_MX pt_BR pt_PT it_IT nl_NL sv_SE da_DK nb_NO fi_FI is_IS pl_PL "
    "cs_CZ sk_SK hu_HU ro_RO hr_HR sl_SI lt_LT lv_LV et_EE tr_TR vi_VN id_ID sw_KE ca_ES ga_IE ru_RU uk_UA bg_BG sr_RS "
    "el_GR he_IL ar_EG hi_IN bn_BD ta_IN th_TH ka_GE hy_AM ja_JP ko_KR zh_CN zh_TW"
).split()
# CLDR's four lengths, and two of its skeletons: numbers with the whole year, and an abbreviated month with the weekday.
LENGTHS = ["short", "medium", "long", "full"]
SKELETONS = ["yMd", "yMMMEd"]
# Fifty years, and no more than a hundred: so a year written with two digits is still one year.
FIRST, LAST = dt.date(1990, 1, 1), dt.date(2039, 12, 31)
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def written(day: dt.date, locale: str, style: str) -> str:
    """The date as CLDR has it, with plain blanks and without the invisible direction marks that no keyboard types."""
    text = str(format_date(day, style, locale)) if style in LENGTHS else str(format_skeleton(style, day, locale=locale))
    return text.replace("\u200f", "").replace("\u200e", "").replace("\u202f", " ").replace("\u00a0", " ")


def row(day: dt.date, locale: str, style: str) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": f"[{locale}] {written(day, locale, style)}"},
            {"role": "assistant", "content": json.dumps({"date": day.isoformat()})},
        ]
    }


def days_by_split(rng: random.Random) -> dict[str, list[dt.date]]:
    """Every day of the range in exactly one split."""
    days = [FIRST + dt.timedelta(days=i) for i in range((LAST - FIRST).days + 1)]
    rng.shuffle(days)
    splits, start = {}, 0
    for name, share in SHARES.items():
        end = start + round(share * len(days))
        splits[name] = days[start:end]
        start = end
    return splits


def make(seed: int, sizes: dict[str, int]) -> dict[str, list[dict[str, Any]]]:
    """The rows of each split; the locales and the ways of writing come up equally often in each."""
    rng = random.Random(seed)
    splits = {}
    meaning: dict[str, str] = {}
    for name, days in days_by_split(rng).items():
        forms = [(locale, style) for locale in LOCALES for style in [*LENGTHS, *SKELETONS]]
        rng.shuffle(forms)
        rows: dict[str, dict[str, Any]] = {}
        for i in range(10 * sizes[name]):
            made = row(rng.choice(days), *forms[i % len(forms)])
            asked, answer = (message["content"] for message in made["messages"])
            if meaning.setdefault(asked, answer) != answer:
                raise AssertionError(f"{asked!r} means two days")
            rows[asked] = made  # two ways of writing may come out the same: one row is enough
            if len(rows) == sizes[name]:
                break
        splits[name] = list(rows.values())
        rng.shuffle(splits[name])
    answers = {name: {r["messages"][-1]["content"] for r in rows} for name, rows in splits.items()}
    if answers["train"] & (answers["validation"] | answers["test"]) or answers["validation"] & answers["test"]:
        raise AssertionError("two splits share a calendar date")
    return splits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", type=int, default=4000)
    parser.add_argument("--validation", type=int, default=306)
    parser.add_argument("--test", type=int, default=612)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, rows in make(args.seed, {n: getattr(args, n) for n in SHARES}).items():
        lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)
        (args.out / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        per_locale = collections.Counter(r["messages"][0]["content"].split("]")[0][1:] for r in rows)
        print(f"{name}: {len(rows)} rows, {len(per_locale)} locales, {min(per_locale.values())} or more rows each")


if __name__ == "__main__":
    main()
