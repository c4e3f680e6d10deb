"""Recall and false alarms: `python -m tests.corpus [NAME…] [--fast]`. Names are beginnings of defects, codes or clean sets.

Exit status 1 if a defect was missed or a clean set raised an error or a warning.
"""

from __future__ import annotations

import sys

from tests.corpus.defects import DEFECTS
from tests.corpus.measure import Alarm, Outcome, run


def _place(row: int | None, path: str | None) -> str:
    return " ".join(part for part in (f"row {row}" if row else "", path or "") if part) or "the whole"


_WIDE = max(map(len, DEFECTS))


def line(outcome: Outcome) -> None:
    planted = outcome.planted
    place = _place(planted.row, planted.paths[0] if planted.paths else None)
    others = ", ".join(f"{code} x{count}" if count > 1 else code for code, count in outcome.others.most_common(4))
    mark = "yes" if outcome.hit else "NO"
    end = f"{mark:5}  {outcome.seconds:6.2f}  {outcome.crash or others}"
    print(f"{outcome.defect.name:{_WIDE}}  {outcome.defect.code:29}  {place:46}  {end}".rstrip(), flush=True)
    if not outcome.hit:
        for issue in outcome.near[:2]:
            print(f"{'':{_WIDE}}    said instead: {_place(issue.row, issue.path)}: {issue.message[:160]}")


def alarm(alarm: Alarm) -> None:
    said = alarm.crash or (f"{len(alarm.issues)} findings" if alarm.issues else "nothing")
    print(f"clean: {alarm.name} ({alarm.run}): {said}", flush=True)
    for issue in alarm.issues[:5]:
        print(f"    {issue.severity} {issue.code}, {_place(issue.row, issue.path)}: {issue.message[:200]}")


def main(names: list[str], *, slow: bool) -> bool:
    """Prints each result and the figures; whether all is well."""
    outcomes: list[Outcome] = []
    alarms: list[Alarm] = []
    print(f"{'defect':{_WIDE}}  {'expected':29}  {'where':46}  found  second  other findings")
    for result in run(names, slow=slow):
        if isinstance(result, Outcome):
            outcomes.append(result)
            line(result)
        else:
            alarms.append(result)
            alarm(result)
    hits = [outcome for outcome in outcomes if outcome.hit]
    codes = {outcome.defect.code for outcome in outcomes}
    whole = len({outcome.defect.code for outcome in hits})
    alone = sum(not outcome.noise for outcome in outcomes)
    wrong = [alarm for alarm in alarms if alarm.issues or alarm.crash]
    print(
        f"\nrecall: {len(hits)} of {len(outcomes)} defects, {whole} of {len(codes)} codes; {alone} reports name nothing else"
    )
    print("missed: " + (", ".join(outcome.defect.name for outcome in outcomes if not outcome.hit) or "none"))
    print(
        f"false alarms: {len(wrong)} of {len(alarms)} runs over clean sets, {sum(len(a.issues) for a in wrong)} findings"
    )
    return len(hits) == len(outcomes) and not wrong


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(not main([name for name in given if name != "--fast"], slow="--fast" not in given))
