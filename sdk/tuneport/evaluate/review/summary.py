"""From votes to win rates: ties count half, both bad for nobody, and raters of one row are not taken for rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tuneport.errors import SpecError
from tuneport.evaluate import words
from tuneport.evaluate.comparison import Comparison, Judgement
from tuneport.evaluate.review.tasks import Task, deck
from tuneport.evaluate.review.votes import Vote
from tuneport.scoring.intervals import Interval
from tuneport.scoring.statistics import krippendorff_alpha, win_rate

PEOPLE = "people"
Outcome = Literal["other", "base", "tie", "both-bad", "unclear"]
_WORTH = {"other": 1.0, "tie": 0.5, "base": 0.0}


@dataclass(frozen=True)
class Tally:
    """What people said of a comparison. `stale` votes are of answers that it no longer holds, and count for nothing."""

    judgements: list[Judgement]
    raters: int
    votes: int
    stale: int
    notes: list[tuple[int, str, str]]  # row, rater, note


def tally(comparison: Comparison, votes: Iterable[Vote]) -> Tally:
    """One judgement for each pair that was judged, in the comparison's order."""
    tasks = {task.id: task for task in deck(comparison, pairs="all").tasks}
    cast = list(votes)
    counted = [vote for vote in cast if vote.task in tasks]
    by_pair: dict[tuple[str, str], list[tuple[Task, Vote]]] = {}
    for vote in counted:
        task = tasks[vote.task]
        by_pair.setdefault((task.base, task.other), []).append((task, vote))
    judgements = [_judgement(base, other, said) for (base, other), said in sorted(by_pair.items())]
    notes = sorted((vote.row, vote.rater, vote.note) for vote in counted if vote.note)
    return Tally(judgements, len({vote.rater for vote in counted}), len(counted), len(cast) - len(counted), notes)


def judged(comparison: Comparison, people: Sequence[Judgement]) -> Comparison:
    """The comparison with what people said, in place of what they had said before; and how far its model judges agree.

    Raises SpecError where nobody said anything: a report is not to lose what it holds.
    """
    if not people:
        raise SpecError("nobody has judged yet: there is nothing to write into the comparison.")
    by_pair = {(one.base, one.other): one for one in people}
    models = [
        one.model_copy(update={"agreement_with_people": _agreement(one, by_pair.get((one.base, one.other)))})
        for one in comparison.judgements
        if one.judge != PEOPLE
    ]
    return comparison.model_copy(update={"judgements": [*people, *models]})


def _judgement(base: str, other: str, votes: Sequence[tuple[Task, Vote]]) -> Judgement:
    rows: dict[int, list[Outcome]] = {}
    for task, vote in votes:
        rows.setdefault(task.row, []).append(_outcome(task, vote))
    outcomes: dict[int, Outcome] = {row: _most(said) for row, said in sorted(rows.items())}
    rate = win_rate({row: [_WORTH[one] for one in said if one in _WORTH] for row, said in rows.items()})
    raters = len({vote.rater for _, vote in votes})
    counts = Counter(outcomes.values())
    agreement = krippendorff_alpha(rows)
    return Judgement(
        judge=PEOPLE,
        raters=raters,
        base=base,
        other=other,
        rows=len(rows),
        other_wins=counts["other"],
        base_wins=counts["base"],
        ties=counts["tie"],
        both_bad=counts["both-bad"],
        unclear=counts["unclear"],
        win_rate=rate,
        agreement=agreement,
        outcomes=outcomes,
        words=_words(rate, len(rows), counts["both-bad"], raters, agreement),
    )


def _words(rate: Interval | None, rows: int, both_bad: int, raters: int, agreement: float | None) -> str:
    who = "one person" if raters == 1 else f"{raters} people"
    if rate is None:
        return f"{who} found both bad on {'the one row' if rows == 1 else f'all {rows} rows'} judged."
    rows_told = "1 row" if rate.n == 1 else f"{rate.n} rows"
    told = f"preferred on {words.percent(rate.estimate)} of {rows_told} by {who}, a tie counting half"
    if rate.known:
        told += f" ({words.percent(rate.low)} to {words.percent(rate.high)})"
    if rate.known and rate.low > 0.5:
        told += ": better."
    elif rate.known and rate.high < 0.5:
        told += ": worse."
    else:
        told += ": that does not tell them apart."
    if both_bad:
        told += f" Both bad on {both_bad}."
    if agreement is not None:
        told += f" Agreement among raters: alpha {agreement:.2f} (1 is perfect, 0 is chance)."
    return told


def _outcome(task: Task, vote: Vote) -> Outcome:
    if vote.choice == "tie":
        return "tie"
    if vote.choice == "both-bad":
        return "both-bad"
    return "other" if vote.winner == task.other else "base"


def _most(said: Sequence[Outcome]) -> Outcome:
    """What most raters of a row say; "unclear" where no one thing is said most."""
    ranked = Counter(said).most_common(2)
    return "unclear" if len(ranked) > 1 and ranked[0][1] == ranked[1][1] else ranked[0][0]


def _agreement(model: Judgement, people: Judgement | None) -> float | None:
    both = [row for row in model.outcomes if people is not None and row in people.outcomes]
    if people is None or not both:
        return None
    return sum(model.outcomes[row] == people.outcomes[row] for row in both) / len(both)
