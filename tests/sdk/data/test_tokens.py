"""Token counts: exact where they can be, estimated where they cannot, and what a limit cuts."""

from __future__ import annotations

import json
import pickle
import socket
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tuneport_local
from tuneport.dataset.checks.base import Context, Findings, Limits, Target
from tuneport.dataset.checks.lengths import Counted, Lengths
from tuneport.dataset.checks.tokens import TokensCheck
from tuneport.dataset.counting import PER_ROW, PER_TURN, Counter, EstimateCounter, TokenizerCounter, counter_for
from tuneport.dataset.rows import Batch, Row

STARTER = Path(tuneport_local.__file__).parent / "starter"
# a text, and how many tokens o200k_base makes of it
O200K = [
    ("Thank you for contacting us. We have received your request and will reply within two working days.", 19),
    ("def add(first: int, second: int) -> int:\n    return first + second\n", 19),
    ('{"order": {"id": 4711, "items": [{"sku": "A-12", "quantity": 3}], "paid": true}}', 32),
    ("Vielen Dank für Ihre Nachricht. Wir melden uns innerhalb von zwei Werktagen bei Ihnen.", 18),
    ("Спасибо за ваше сообщение. Мы ответим вам в течение двух рабочих дней.", 15),
    ("感谢您的来信，我们将在两个工作日内回复您。", 13),
    ("昨日注文した商品がまだ届いていません。配送状況を確認していただけますか。", 22),
    ("شكرا لتواصلك معنا. سنرد عليك خلال يومي عمل.", 16),
    ("आपके संदेश के लिए धन्यवाद। हम दो कार्य दिवसों में उत्तर देंगे।", 16),
]


def turn(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def pair(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"messages": [turn("user", question), turn("assistant", answer)], **more}


def exactly(max_tokens: int | None = None, cloud: bool = True) -> Target:
    return Target("vertex:gemini", tokenizer=str(STARTER), limits=Limits(max_tokens=max_tokens), cloud=cloud)


def run(
    rows: list[dict[str, Any]],
    context: Context,
    kind: Any = "chat",
    first: int = 1,
    batch: int = 100,
    split: Any = "train",
) -> tuple[Findings, dict[str, Any]]:
    check, findings = TokensCheck(context), Findings(source="data.jsonl")
    for at in range(0, len(rows), batch):
        part = [Row(first + at + i, row, kind=kind, canonical=row) for i, row in enumerate(rows[at : at + batch])]
        found = check.scan(Batch("data.jsonl", split, part), findings)
        check.reduce(pickle.loads(pickle.dumps(found)))
    return findings, check.finish(findings)


@pytest.mark.parametrize(("text", "tokens"), O200K)
def test_an_estimate_is_within_its_stated_error_of_a_real_vocabulary(text: str, tokens: int) -> None:
    assert EstimateCounter().count([text])[0] == pytest.approx(tokens, rel=0.35)


def test_a_target_may_say_how_many_characters_make_a_token() -> None:
    text = O200K[0][0] * 10
    few = counter_for(Target("bedrock:nova", characters_per_token=3.0)).count([text])[0]
    assert few == pytest.approx(len(text) / 3, rel=0.15)


def test_the_models_own_tokenizer_counts_exactly() -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(STARTER / "tokenizer.json"))
    counter = counter_for(exactly())
    assert counter.exact
    texts = ["Where is my parcel?", "", "naïve 東京 \N{PARTY POPPER}", "x" * 5000]
    assert counter.count(texts) == [len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]


@pytest.mark.parametrize("counter", [EstimateCounter(4.0, "why"), TokenizerCounter(str(STARTER / "tokenizer.json"))])
def test_a_counter_crosses_processes_and_reads_any_text(counter: Counter) -> None:
    texts = ["\ud800 alone", "\0", "", "a" * 1_000_000, "é" * 1000, "ordinary"]
    before = counter.count(texts)
    again = pickle.loads(pickle.dumps(counter))
    assert (again.name, again.exact, again.count(texts)) == (counter.name, counter.exact, before)
    assert len(before) == len(texts)
    assert before[2] == 0


def test_no_counter_reaches_for_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        pytest.fail("a counter opened a connection")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    damaged = tmp_path / "fb374d419588a4632f3f557e76b4b70aebbca790"  # where tiktoken keeps o200k_base
    damaged.write_bytes(b"cut off")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    counter = counter_for(Target("openai:gpt-4.1-mini-2025-04-14"))
    assert not counter.exact
    assert counter.count(["four words are here"]) == [4]
    assert damaged.read_bytes() == b"cut off"


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (None, "no tokenizer"),
        (Target("bedrock:nova"), "no tokenizer"),
        (Target("local:x", tokenizer="/nowhere/at/all"), "there is no all"),
    ],
)
def test_an_estimate_says_why_it_is_one(target: Target | None, why: str) -> None:
    _, stats = run([pair("Hello there", "Hi, how can I help?")], Context(target=target))
    assert stats["counted"] == "estimated"
    assert why in stats["why"]
    assert stats["error"] > 0


def test_rows_are_counted_with_their_turns_tools_and_what_is_trained() -> None:
    counter = counter_for(exactly())
    tools = [
        {"type": "function", "function": {"name": "refund", "description": "give the money back", "parameters": {}}}
    ]
    rows = [
        pair("Where is it?", "On its way.", tools=tools),
        {
            "messages": [
                turn("user", "a"),
                turn("assistant", "not this", weight=0),
                turn("user", "b"),
                turn("assistant", "this"),
            ]
        },
    ]
    one, two, three, four, five, six, seven = counter.count(
        [json.dumps(tools, separators=(",", ":")), "Where is it?", "On its way.", "a", "not this", "b", "this"]
    )
    _, stats = run(rows, Context(target=exactly()))
    assert stats["counted"] == "exact"
    assert stats["total"] == one + two + three + four + five + six + seven + 6 * PER_TURN + 2 * PER_ROW
    assert stats["trainable"] == three + 1 + seven + 1  # and the end of each
    assert (
        stats["percentiles"]["max"]
        == max(one + two + three + 2 * PER_TURN, four + five + six + seven + 4 * PER_TURN) + PER_ROW
    )


def test_images_are_told_and_not_counted() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9000}}
    row = {"messages": [turn("user", [{"type": "text", "text": "What is it?"}, image]), turn("assistant", "A cat.")]}
    _, stats = run([row], Context(target=exactly()))
    assert stats["images_not_counted"] == 1
    assert stats["total"] < 40


@pytest.mark.parametrize(
    "target", [exactly(100), Target("openai:x", limits=Limits(max_tokens=100))], ids=["exact", "estimated"]
)
def test_a_cut_answer_is_an_error_that_says_where(target: Target) -> None:
    rows = [
        pair("short", "short"),
        pair("Tell me.", "word and " * 200),
        pair("word and " * 200, "The answer."),
        {"messages": [turn("user", "Hi"), turn("assistant", "Hello."), turn("user", "word and " * 200)]},
    ]
    findings, stats = run(rows, Context(target=target))
    assert [i.row for i in findings.issues if i.code == "tokens.too-long"] == [2, 3, 4]
    cut = [i for i in findings.issues if i.code == "tokens.answer-cut"]
    assert [(i.row, i.path, i.severity) for i in cut] == [
        (2, "messages[1].content", "error"),
        (3, "messages[1].content", "error"),
    ]
    assert "inside the answer" in cut[0].message
    assert "before the answer" in cut[1].message
    assert (stats["limit"], stats["over_limit"], stats["answers_cut"]) == (100, 3, 2)
    about = [("about" in i.message) for i in findings.issues if i.code == "tokens.too-long"]
    assert about == [target.tokenizer is None] * 3


def test_an_estimate_near_the_limit_is_no_error() -> None:
    row = pair("Tell me.", "word and " * 60)
    _, stats = run([row], Context())
    findings, _ = run([row], Context(max_length=stats["total"] - 3))
    assert [(i.code, i.severity) for i in findings.issues] == [("tokens.too-long", "warning")]
    findings, _ = run([row], Context(max_length=stats["total"]))
    assert findings.issues == []


def test_where_one_trains_at_home_a_cut_answer_is_a_warning() -> None:
    findings, _ = run([pair("word and " * 200, "no")], Context(target=exactly(50, cloud=False)))
    assert {(i.code, i.severity) for i in findings.issues} == {
        ("tokens.too-long", "warning"),
        ("tokens.answer-cut", "warning"),
    }
    assert "dropped" in findings.issues[1].message


def test_the_length_asked_for_goes_before_the_targets() -> None:
    _, stats = run([pair("Hi", "Hello")], Context(target=exactly(100), max_length=64))
    assert stats["limit"] == 64


def test_a_preference_row_is_as_long_as_its_longer_answer() -> None:
    row = {
        "input": {"messages": [turn("user", "Which?")]},
        "preferred_output": [turn("assistant", "word and " * 30)],
        "non_preferred_output": [turn("assistant", "word and " * 20)],
    }
    counter = counter_for(exactly())
    question, good, bad = counter.count(["Which?", "word and " * 30, "word and " * 20])
    longest = question + good + 2 * PER_TURN + PER_ROW
    assert run([row], Context(target=exactly(longest)), "preference")[0].issues == []
    findings, stats = run([row], Context(target=exactly(longest - 1)), "preference")
    assert [(i.code, i.path) for i in findings.issues][1] == ("tokens.answer-cut", "preferred_output[0].content")
    assert stats["total"] == question + good + bad + 3 * PER_TURN + PER_ROW


def test_plain_text_that_is_too_long_is_told_and_no_answer_is_cut() -> None:
    findings, _ = run([{"text": "word and " * 100}], Context(target=exactly(50)), "text")
    assert [i.code for i in findings.issues] == ["tokens.too-long"]


def _varied(number: int) -> list[dict[str, Any]]:
    words = ["parcel", "refund", "Bestellung", "günstig", "ответ", "注文", "12345", "late", "is", "the"]
    random = np.random.default_rng(7)
    return [
        pair(
            " ".join(random.choice(words, int(random.integers(3, 60)))),
            " ".join(random.choice(words, int(random.integers(3, 90)))),
        )
        for _ in range(number)
    ]


def test_beyond_the_first_megabytes_a_sample_gives_the_total_with_its_interval() -> None:
    rows = _varied(6000)
    _, exact = run(rows, Context(target=exactly()))
    _, stats = run(rows, Context(target=exactly()), first=10_000_000)  # as if a large file stood before
    assert (exact["counted"], stats["counted"]) == ("exact", "sampled")
    assert 100 < stats["sampled"] < 300
    low, high = stats["interval"]
    assert low <= exact["total"] <= high
    assert high - low < 0.04 * exact["total"]
    assert stats["total"] == pytest.approx(exact["total"], rel=0.02)
    assert stats["trainable"] == pytest.approx(exact["trainable"], rel=0.03)
    assert stats["percentiles"]["p50"] == pytest.approx(exact["percentiles"]["p50"], rel=0.1)
    assert run(rows, Context(target=exactly()), first=10_000_000)[1] == stats


def test_a_row_that_may_be_over_the_limit_is_counted_exactly_wherever_it_stands() -> None:
    rows = [pair("Hi", "Hello") for _ in range(50)]
    rows[20] = pair("Tell me.", "word and " * 200)
    exact = run(rows, Context(target=exactly()))[1]["percentiles"]["max"]
    for limit, codes in ((exact, []), (exact - 1, ["tokens.too-long", "tokens.answer-cut"])):
        findings, stats = run(rows, Context(target=exactly(limit)), first=10_000_000)
        assert stats["counted"] == "sampled"
        assert [i.code for i in findings.issues if i.code != "tokens.outlier"] == codes
        assert all("about" not in i.message for i in findings.issues if i.code != "tokens.outlier")


def test_rows_that_make_the_bill_are_named() -> None:
    rows = [pair("Where is my parcel?", "It will be there tomorrow.") for _ in range(150)]
    rows[41] = pair("Where is my parcel?", "word and " * 3000)
    findings, stats = run(rows, Context(target=exactly()))
    assert [(i.code, i.row) for i in findings.issues] == [("tokens.outlier", 42)]
    assert "times the median" in findings.issues[0].message
    assert stats["heaviest_percent_share"] > 0.3
    assert run(rows[:41], Context(target=exactly()))[0].issues == []


def test_splits_are_told_apart() -> None:
    check, findings = TokensCheck(Context()), Findings()
    for split, number in (("train", 3), ("test", 2)):
        rows = [Row(i + 1, {}, canonical=pair("Hi", "Hello")) for i in range(number)]
        check.reduce(check.scan(Batch(f"{split}.jsonl", split, rows), findings))
    stats = check.finish(findings)
    assert {split: part["rows"] for split, part in stats["splits"].items()} == {"train": 3, "test": 2}
    assert stats["total"] == sum(part["total"] for part in stats["splits"].values())


def test_how_rows_are_batched_changes_nothing() -> None:
    rows = _varied(300)
    one = run(rows, Context(target=exactly(80)), batch=300)
    many = run(rows, Context(target=exactly(80)), batch=7)
    assert one[1] == many[1]
    assert one[0].issues == many[0].issues


@given(st.lists(st.integers(1, 3_000_000), min_size=1, max_size=300))
def test_percentiles_are_those_of_the_lengths(lengths: list[int]) -> None:
    values = np.array(lengths, np.float64)
    all_exact = np.ones(len(values), np.bool_)
    made = Lengths()
    zeros = np.zeros(len(values))
    made.add(Counted(values, values, zeros, values, zeros, all_exact, ~all_exact, zeros + 1))
    spread = made.spread()
    assert spread.total == values.sum()
    assert spread.percentiles["max"] == values.max()
    for percent in (10, 50, 90, 99):
        true = np.percentile(values, percent, method="inverted_cdf")
        assert spread.percentiles[f"p{percent}"] == pytest.approx(true, rel=0.001, abs=0.5)
    assert sum(step["rows"] for step in spread.histogram) == len(values)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet=st.characters(), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "text", "tool_calls"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["messages", "tools", "text", "input", "preferred_output"]), anything),
        max_size=5,
    ),
    st.sampled_from(["chat", "preference", "reinforcement", "text"]),
    st.booleans(),
)
def test_rows_of_any_shape_are_counted(rows: list[dict[str, Any]], kind: str, exact: bool) -> None:
    _, stats = run(rows, Context(target=exactly(5) if exact else Target("openai:x", limits=Limits(max_tokens=5))), kind)
    assert not rows or stats["rows"] == len(rows)


@settings(deadline=None)
@given(st.lists(st.text(alphabet=st.characters(), max_size=50), max_size=10))
def test_an_estimate_of_texts_is_that_of_each(texts: list[str]) -> None:
    counter = EstimateCounter()
    assert counter.count(texts) == [counter.count([text])[0] for text in texts]
