"""Blind review: what is laid side by side, what is kept, and what it comes to."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sdk.comparison_cases import comparison

from tuneport.errors import SpecError
from tuneport.evaluate.comparison import Answer, Comparison
from tuneport.evaluate.review.summary import judged, tally
from tuneport.evaluate.review.tasks import Deck, Task, deck, shown
from tuneport.evaluate.review.votes import Vote, Votes

CASE = comparison(("base local:starter", "triage", "third"), 60)


def vote(task: Task, rater: str = "ada", winner: str | None = None, *, bad: bool = False, note: str = "") -> Vote:
    """By `rater`, to whom the base stood left."""
    choice = "both-bad" if bad else "tie" if winner is None else "left" if winner == task.base else "right"
    return Vote(
        rater=rater,
        task=task.id,
        row=task.row,
        left=task.base,
        right=task.other,
        choice=choice,
        winner=winner,
        note=note,
    )


def answered(case: Comparison, *answers: dict[str, Answer]) -> Comparison:
    rows = [row.model_copy(update={"answers": said}) for row, said in zip(case.rows, answers, strict=False)]
    return case.model_copy(update={"rows": rows})


def test_each_contender_stands_left_as_often_as_right_after_any_number_of_clicks() -> None:
    for seed in range(5):
        for rater in ("ada", "bo"):
            hand = deck(CASE, pairs="all").hand(rater, seed)
            for pair in {(dealt.task.base, dealt.task.other) for dealt in hand}:
                sides = [dealt.left == pair[0] for dealt in hand if (dealt.task.base, dealt.task.other) == pair]
                for clicks in range(1, len(sides) + 1):
                    assert abs(2 * sum(sides[:clicks]) - clicks) <= 1, f"seed {seed}, {rater}, {pair}, {clicks} clicks"


def test_order_and_sides_are_each_raters_own_and_the_same_at_every_visit() -> None:
    first = deck(CASE)
    assert first.hand("ada", 3) == deck(CASE).hand("ada", 3)
    assert [one.task for one in first.hand("ada", 3)] != [one.task for one in first.hand("bo", 3)]
    assert {one.task for one in first.hand("ada", 3)} == {one.task for one in first.hand("bo", 3)} == set(first.tasks)
    left = [{one.task: one.left for one in first.hand(name, 3)} for name in ("ada", "bo")]
    assert left[0] != left[1]


def test_rows_answered_alike_or_not_at_all_are_left_out_and_counted() -> None:
    same, other = Answer(content="yes \n"), Answer(content="yes")
    calls = Answer(content="yes", tool_calls=[{"function": {"name": "look", "arguments": "{}"}}])
    case = answered(
        comparison(rows=4),
        {"A": same, "B": other},
        {"A": Answer(error="busy"), "B": other},
        {"A": other, "B": calls},
        {"A": Answer(content=""), "B": Answer(content="no")},
    )
    found = deck(case)
    assert (found.same, found.failed, [task.row for task in found.tasks]) == (1, 1, [3, 4])
    with pytest.raises(SpecError, match="one contender alone"):
        deck(comparison(("only",)))
    with pytest.raises(SpecError, match="of 1 rows, 1 have the same answer twice and 0 lack one"):
        deck(answered(case, {"A": same, "B": other}))


def test_pairs_and_rows_are_chosen() -> None:
    def pairs(found: Deck) -> set[tuple[str, str]]:
        return {(task.base, task.other) for task in found.tasks}

    assert pairs(deck(CASE)) == {("A", "B"), ("A", "C")}
    assert pairs(deck(CASE, pairs="all")) == {("A", "B"), ("A", "C"), ("B", "C")}
    few = deck(CASE, rows=10, seed=1)
    assert len({task.row for task in few.tasks}) == 10
    assert few == deck(CASE, rows=10, seed=1) != deck(CASE, rows=10, seed=2)
    assert deck(CASE, rows=9999).tasks == deck(CASE).tasks


def test_a_rerun_keeps_the_votes_on_what_it_answers_alike_and_no_others() -> None:
    before = comparison(rows=20)
    votes = [vote(task, winner="B") for task in deck(before).tasks]
    rows = [
        row.model_copy(update={"answers": {**row.answers, "B": Answer(content="now otherwise")}})
        if row.row < 6
        else row
        for row in before.rows
    ]
    changed = {task.row for task in deck(before).tasks if task.row < 6}
    assert changed
    again = before.model_copy(update={"id": "cmp-2", "rows": rows})
    found = tally(again, votes)
    assert (found.stale, found.votes) == (len(changed), len(votes) - len(changed))
    assert not changed & set(found.judgements[0].outcomes)


def test_what_is_shown_is_what_was_asked_and_answered() -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": 7}'}}]
    row = CASE.rows[0].model_copy(
        update={
            "messages": [
                {"role": "user", "content": "Where?"},
                {"role": "assistant", "content": None, "tool_calls": calls},
            ],
            "tools": [{"type": "function", "function": {"name": "look_up"}}],
            "answers": {key: Answer(content=f"{key} says so", tool_calls=calls) for key in "ABC"},
        }
    )
    case = CASE.model_copy(update={"rows": [row]})
    dealt = deck(case).hand("ada", 0)[0]
    told = shown(row, dealt)
    assert [turn["text"] for turn in told["messages"]] == ["Where?", 'look_up({"order": 7})']
    assert told["tools"] == ["look_up"]
    assert told["left"] == f'{dealt.left} says so\nlook_up({{"order": 7}})'
    assert told["right"] == f'{dealt.right} says so\nlook_up({{"order": 7}})'


def test_the_last_word_on_a_task_counts_and_every_word_is_kept(tmp_path: Path) -> None:
    votes, task = Votes.of(tmp_path / "report.json"), deck(CASE).tasks[0]
    for winner in ("A", None, "B"):
        votes.add(vote(task, winner=winner))
    votes.add(vote(task, "bo", "A"))
    read = votes.read()
    assert {rater: said.winner for (rater, _), said in read.latest.items()} == {"ada": "B", "bo": "A"}
    assert (read.raters, read.broken) == (["ada", "bo"], [])
    assert votes.path == tmp_path / "report.votes.jsonl"
    assert len(votes.path.read_text().splitlines()) == 4
    assert votes.path.stat().st_mode & 0o077 == 0


@given(st.binary(max_size=200))
def test_a_line_that_was_cut_or_damaged_costs_no_other(tmp_path_factory: pytest.TempPathFactory, damage: bytes) -> None:
    votes = Votes(tmp_path_factory.mktemp("votes") / "x.jsonl")
    one, two = deck(CASE).tasks[:2]
    votes.add(vote(one, winner="A"))
    with votes.path.open("ab") as file:
        file.write(damage)
    votes.add(vote(two))
    read = votes.read()
    assert {("ada", one.id), ("ada", two.id)} <= set(read.latest)
    assert len(read.broken) == sum(bool(line.strip()) for line in damage.split(b"\n"))


def test_half_a_last_line_is_told_by_its_number(tmp_path: Path) -> None:
    votes, tasks = Votes(tmp_path / "x.jsonl"), deck(CASE).tasks
    for task in tasks[:3]:
        votes.add(vote(task))
    whole = votes.path.read_bytes()
    votes.path.write_bytes(whole[:-40])
    assert (len(votes.read().latest), votes.read().broken) == (2, [3])
    votes.add(vote(tasks[2]))
    assert (len(votes.read().latest), votes.read().broken) == (3, [3])


def test_many_processes_write_into_one_file_and_no_line_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    code = (
        "import sys\nfrom pathlib import Path\nfrom tuneport.evaluate.review.votes import Vote, Votes\n"
        "for n in range(60): Votes(Path(sys.argv[1])).add(Vote(rater=sys.argv[2], task=str(n), row=n, left='A', right='B', "
        "choice='left', winner='A', note='x' * 3000))"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, str(path), f"rater {n}"]) for n in range(4)]
    assert [child.wait(120) for child in children] == [0] * 4
    read = Votes(path).read()
    assert (len(read.latest), read.broken) == (240, [])


def test_win_rates_and_agreement() -> None:
    tasks = [task for task in deck(CASE).tasks if task.other == "B"]
    assert len(tasks) >= 20
    wins, rest = tasks[:12], tasks[12:20]
    said = [vote(task, "ada", "B") for task in wins] + [vote(task, "ada") for task in rest]
    said += [vote(task, "bo", "B") for task in wins] + [vote(task, "bo", bad=True) for task in rest]
    found = tally(CASE, said)
    (one,) = found.judgements
    assert (found.raters, found.votes, found.stale) == (2, 40, 0)
    assert (one.judge, one.raters, one.base, one.other, one.rows) == ("people", 2, "A", "B", 20)
    assert (one.other_wins, one.base_wins, one.ties, one.both_bad, one.unclear) == (12, 0, 0, 0, 8)
    assert one.win_rate is not None
    assert one.win_rate.estimate == pytest.approx((12 + 8 / 2) / 20)  # a tie counts half, both bad for nobody
    # By hand: units of BB ×12 and tie/bad ×8, so 16 of 40 pairs differ; expected 1 - (24·23 + 8·7·2)/(40·39).
    assert one.agreement == pytest.approx(1 - (16 / 40) / (1 - (24 * 23 + 2 * 8 * 7) / (40 * 39)))
    assert "preferred on 80% of 20 rows by 2 people, a tie counting half (" in one.words
    assert one.words.split("): ")[1].startswith("better. Agreement among raters: alpha 0.")


@pytest.mark.parametrize(
    ("winner", "bad", "words"),
    [
        ("B", False, "preferred on 100% of 12 rows by one person"),
        ("A", False, ": worse."),
        (None, False, "that does not tell them apart"),
        (None, True, "one person found both bad on all 12 rows judged."),
    ],
)
def test_what_is_said_where_all_say_the_same(winner: str | None, bad: bool, words: str) -> None:
    tasks = [task for task in deck(CASE).tasks if task.other == "B"][:12]
    (one,) = tally(CASE, [vote(task, winner=winner, bad=bad) for task in tasks]).judgements
    assert words in one.words
    assert (one.win_rate is None) == bad
    assert one.agreement is None


def test_one_row_tells_nothing_apart() -> None:
    (one,) = tally(CASE, [vote(deck(CASE).tasks[0], winner=deck(CASE).tasks[0].other)]).judgements
    assert "of 1 row by one person" in one.words
    assert "that does not tell them apart" in one.words


def test_what_most_say_of_a_row_is_its_outcome() -> None:
    task = deck(CASE).tasks[0]
    said = [vote(task, "ada", task.other), vote(task, "bo", task.other), vote(task, "cy", task.base)]
    assert tally(CASE, said).judgements[0].outcomes == {task.row: "other"}
    assert tally(CASE, said[1:]).judgements[0].outcomes == {task.row: "unclear"}


def test_random_votes_never_fail_and_always_add_up() -> None:
    seed = random.randrange(10**6)
    sys.stdout.write(f"seed {seed}\n")
    drawn = random.Random(seed)
    for _ in range(30):
        tasks = drawn.sample(deck(CASE, pairs="all").tasks, drawn.randint(1, 60))
        said = [
            vote(task, rater, drawn.choice([task.base, task.other, None]), bad=drawn.random() < 0.2)
            for task in tasks
            for rater in drawn.sample(("ada", "bo", "cy"), drawn.randint(1, 3))
        ]
        for one in tally(CASE, said).judgements:
            counts = (one.other_wins, one.base_wins, one.ties, one.both_bad, one.unclear)
            assert sum(counts) == one.rows == len(one.outcomes)
            assert Counter(one.outcomes.values())["other"] == one.other_wins
            if one.win_rate is not None:
                assert 0 <= one.win_rate.low <= one.win_rate.estimate <= one.win_rate.high <= 1


def test_people_are_written_in_their_place_and_a_model_judge_is_held_against_them() -> None:
    from tuneport.evaluate.judge import summarised

    tasks = {task.row: task for task in deck(CASE).tasks if task.other == "B"}
    rows = sorted(tasks)[:4]
    model = summarised("openai:judge", "A", "B", dict(zip(rows, ("other", "base", "other", "tie"), strict=True)))
    case = CASE.model_copy(update={"judgements": [model]})
    said = tally(case, [vote(tasks[row], winner="B") for row in rows[:3]]).judgements
    people, judge = judged(case, said).judgements
    assert (people.judge, judge.judge) == ("people", "openai:judge")
    assert judge.agreement_with_people == pytest.approx(2 / 3)
    assert judged(judged(case, said), said) == judged(case, said)
    with pytest.raises(SpecError, match="nobody has judged"):
        judged(case, [])


def test_results_are_printed_and_written_into_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    from tuneport.cli.app import run

    path = tmp_path / "report.json"
    CASE.to_json(path)
    CASE.to_html(tmp_path / "report.html")
    CASE.to_markdown(tmp_path / "report.md")
    with pytest.raises(SystemExit) as ended:
        run(["review", str(path), "--results"])
    assert ended.value.code == 2
    assert "nobody has judged" in capsys.readouterr().err
    votes = Votes.of(path)
    for task in deck(CASE).tasks:
        votes.add(vote(task, winner=task.other, note="clearer"))
    with votes.path.open("ab") as file:
        file.write(b'{"rater": "ada", "ta')
    with pytest.raises(SystemExit) as ended:
        run(["review", str(path), "--results"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert "triage against base local:starter: preferred on 100% of" in out
    assert "ada: clearer" in out
    assert f"left out, as cut off or damaged: line {len(deck(CASE).tasks) + 1}." in out
    assert [one.judge for one in Comparison.load(path).judgements] == ["people", "people"]
    for beside in ("report.html", "report.md"):
        assert "by one person, a tie counting half" in (tmp_path / beside).read_text()
    with pytest.raises(SystemExit):
        run(["review", str(path), "--results", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["judgements"][0]["win_rate"]["estimate"] == 1
    assert len(told["broken_lines"]) == 1
    assert [Path(one).name for one in told["written"]] == ["report.json", "report.html", "report.md"]
