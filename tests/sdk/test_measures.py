"""Metrics against their reference implementations, and at their edges."""

from __future__ import annotations

import json
import math
import random
import re
from typing import Any

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from rouge_score import rouge_scorer
from sklearn.metrics import confusion_matrix, f1_score

from tuneport.errors import SpecError
from tuneport.scoring import labels, measures
from tuneport.scoring.case import Case
from tuneport.scoring.labels import macro_f1
from tuneport.scoring.metrics import json_equal
from tuneport.scoring.overlap import token_f1
from tuneport.scoring.structured import json_field_f1, tool_call_accuracy

SEED = 20261125
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def call(name: str, arguments: Any) -> dict[str, Any]:
    return {"id": "x", "type": "function", "function": {"name": name, "arguments": arguments}}


def sentences(count: int) -> tuple[list[str], list[str]]:
    rng = random.Random(SEED)
    words = "the order lamp desk was sent on monday and arrives tomorrow we will refund ten dollars today please wait".split()
    expected = [" ".join(rng.choices(words, k=rng.randint(4, 14))) for _ in range(count)]
    answers = [" ".join(w for w in text.split() if rng.random() < 0.8) or "none" for text in expected]
    return answers, expected


def test_macro_f1_and_confusion_are_scikit_learns() -> None:
    rng = random.Random(SEED)
    names = ["refund", "shipping", "account", "other thing"]
    expected = rng.choices(names, weights=(6, 3, 2, 1), k=300)
    answers = [name if rng.random() < 0.7 else rng.choice(names) for name in expected]
    cases = [Case(answer=a, expected=e) for a, e in zip(answers, expected, strict=True)]
    assert macro_f1(cases) == pytest.approx(f1_score(expected, answers, average="macro", labels=names))
    table = labels.confusion(cases, names)
    theirs = confusion_matrix(expected, answers, labels=names)
    assert [[table[e].get(a, 0) for a in names] for e in names] == theirs.tolist()


def test_an_answer_outside_the_labels_counts_as_other() -> None:
    cases = [Case(answer=a, expected=e) for a, e in [("yes", "yes"), ("Yes.", "yes"), ("perhaps", "no"), ("no", "no")]]
    assert labels.confusion(cases, ["yes", "no"])["no"] == {"(other)": 1, "no": 1}
    assert measures.get("label_accuracy").score(cases[1]) == 1


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_corpus_scores_are_sacrebleus(name: str) -> None:
    answers, expected = sentences(80)
    whole = measures.get(name).whole
    assert whole is not None
    theirs = (sacrebleu.corpus_bleu if name == "bleu" else sacrebleu.corpus_chrf)(answers, [expected]).score / 100
    assert whole([Case(answer=a, expected=e) for a, e in zip(answers, expected, strict=True)]) == pytest.approx(theirs)


@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL"])
def test_rouge_is_rouge_scores(name: str) -> None:
    answers, expected = sentences(40)
    scorer = rouge_scorer.RougeScorer([name])
    for a, e in zip(answers, expected, strict=True):
        assert measures.get(name).score(Case(answer=a, expected=e)) == pytest.approx(scorer.score(e, a)[name].fmeasure)


def test_rouge_sees_words_of_every_script() -> None:
    rouge = measures.get("rouge1")
    assert rouge.score(Case(answer="Быстрая лиса", expected="быстрая лиса")) == 1
    # No spaces: five of the seven characters are the same.
    assert rouge.score(Case(answer="我们明天会发货", expected="我们明天会退款")) == pytest.approx(5 / 7)


def test_labels_forgive_case_unicode_form_and_a_full_stop() -> None:
    assert measures.label("Cafe\u0301 .") == measures.label("caf\u00e9") == "café"


@pytest.mark.parametrize(
    ("answer", "expected", "score"),
    [
        ("The cat sat.", "a cat sat", 1.0),  # SQuAD's own normalisation
        ("cat", "cat sat mat", 0.5),
        ("dog", "cat", 0.0),
        ("", "", 1.0),
        ("", "cat", 0.0),
    ],
)
def test_token_f1(answer: str, expected: str, score: float) -> None:
    assert token_f1(answer, expected) == pytest.approx(score)


@given(json_values, json_values)
def test_field_f1_is_symmetric_bounded_and_1_for_the_same(left: Any, right: Any) -> None:
    a, b = json.dumps(left), json.dumps(right)
    forward, backward = json_field_f1(a, b), json_field_f1(b, a)
    assert forward == backward
    assert forward is not None
    assert 0 <= forward <= 1
    assert json_field_f1(a, a) == 1


def test_field_f1_by_hand() -> None:
    assert json_field_f1('{"a": 1, "b": 2, "c": [3, 4]}', '{"a": 1.0, "b": 5, "c": [3]}') == pytest.approx(
        2 * 2 / (4 + 3)
    )
    assert json_field_f1("nonsense", '{"a": 1}') == 0
    assert json_field_f1('{"a": true}', '{"a": 1}') == 0
    assert json_field_f1("{}", "prose") is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"a/b": 1}', '{"a": {"b": 1}}'),
        ('{"0": 1}', "[1]"),
        ('{"id": 9007199254740993}', '{"id": 9007199254740992}'),
        ('{"a": 2, "a": 1}', '{"a": 1}'),  # a key twice is not JSON to json_valid either
        ('{"a": NaN}', '{"a": 1}'),
        ('{"a": "1"}', '{"a": 1}'),
        ('{"a": null}', '{"a": {}}'),
        ('{"a": []}', '{"a": {}}'),
    ],
)
def test_other_fields_are_other_fields(answer: str, expected: str) -> None:
    assert json_field_f1(answer, expected) == 0
    assert not json_equal(answer, expected)


@given(json_values, json_values)
def test_field_f1_is_1_exactly_where_the_values_are_equal(left: Any, right: Any) -> None:
    a, b = json.dumps(left), json.dumps(right)
    assert (json_field_f1(a, b) == 1) == json_equal(a, b)


def test_nesting_without_end_is_wrong_and_no_crash() -> None:
    """The parser's limit and ours need not be the same, wherever they part: what a model writes must not end a
    comparison."""
    for depth in (*range(700, 1010), 100_000):
        for answer in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
            assert json_field_f1(answer, '{"b": 1}') == 0
            assert tool_call_accuracy(Case(answer, None, expected_calls=[call("find", "{}")])) == 0
            assert tool_call_accuracy(Case("", None, [call("find", answer)], [call("find", "{}")])) == 0


@pytest.mark.parametrize(
    ("said", "expected", "score"),
    [
        ([call("find", '{"order": 7}')], [call("find", {"order": 7})], 1.0),
        (
            [call("find", '{"order": 7.0, "x": {"b": 1, "a": 2}}')],
            [call("find", '{"x": {"a": 2, "b": 1}, "order": 7}')],
            1.0,
        ),
        ([call("find", '{"on": 1}')], [call("find", '{"on": true}')], 0.0),
        ([call("find", "")], [call("find", "{}")], 1.0),
        ([call("find", "{}")] * 2, [call("find", "{}")], 0.0),
        ([call("a", "{}"), call("b", "{}")], [call("b", "{}"), call("a", "{}")], 1.0),
        ([call("find", '{"order": 8}')], [call("find", '{"order": 7}')], 0.0),
        ([call("find", "{broken")], [call("find", '{"order": 7}')], 0.0),
        ([], [call("find", "{}")], 0.0),
        ([call("find", "{}")], [], 0.0),
        ([], [], None),
    ],
)
def test_tool_calls(said: list[dict[str, Any]], expected: list[dict[str, Any]], score: float | None) -> None:
    assert tool_call_accuracy(Case(answer="", expected=None, calls=said, expected_calls=expected)) == score


@pytest.mark.parametrize(
    "said",
    [
        {"tool_calls": [call("find", '{"order": 7}')]},
        [call("find", '{"order": 7}')],
        {"name": "find", "arguments": {"order": 7}},
        [{"name": "find", "arguments": {"order": 7}}],
    ],
)
def test_calls_in_the_text_count_too(said: Any) -> None:
    text = json.dumps(said)
    assert tool_call_accuracy(Case(answer=text, expected=None, expected_calls=[call("find", '{"order": 7}')])) == 1
    assert tool_call_accuracy(Case(answer=text, expected="No order is known.")) == 0, "called where none was expected"


@given(json_values)
def test_no_text_of_a_model_ends_the_scoring_of_calls(value: Any) -> None:
    wanted = [call("find", "{}")]
    for said in (value, {"tool_calls": value}, {"tool_calls": [value]}, {"tool_calls": [{"function": value}]}):
        assert tool_call_accuracy(Case(json.dumps(said), None, expected_calls=wanted)) == 0
        assert tool_call_accuracy(Case(json.dumps(said), "words")) is None


def test_an_object_that_is_no_call_is_none() -> None:
    assert tool_call_accuracy(Case('{"name": "Ada", "age": 36}', "words")) is None


def test_perplexity_and_bits_per_byte_by_hand() -> None:
    cases = [Case("", "abcd", nats=2.0, nats_tokens=2), Case("", "é", nats=4.0, nats_tokens=1), Case("", "zz")]
    perplexity, bits = measures.get("perplexity").whole, measures.get("bits_per_byte").whole
    assert perplexity is not None
    assert bits is not None
    assert perplexity(cases) == pytest.approx(math.exp(6 / 3))
    assert bits(cases) == pytest.approx(6 / math.log(2) / 6)
    assert perplexity([cases[2]]) is None


def test_a_function_of_ones_own() -> None:
    def short(answer: str, expected: str, row: Any) -> bool:
        """Under ten characters"""
        return len(answer) < 10

    metric = measures.custom(short)
    assert (metric.name, metric.says, metric.score(Case("hello", None))) == ("short", "Under ten characters", 1.0)


def test_a_function_that_promises_a_bool_is_a_yes_or_no() -> None:
    def polite(answer: str, expected: str, row: Any) -> bool:
        return "please" in answer

    def rated(answer: str, expected: str, row: Any) -> bool:
        return len(answer)  # type: ignore[return-value]

    metric = measures.custom(polite)
    assert (metric.kind, metric.share, metric.score(Case("please", None))) == ("binary", True, 1.0)
    assert measures.custom(lambda answer, expected, row: 0.5).kind == "continuous"
    with pytest.raises(SpecError, match=r"row 3.* it gave 4, and is annotated to give a bool"):
        measures.custom(rated).score(Case("four", None, row={"row": 3}))


@pytest.mark.parametrize(
    ("value", "said"),
    [(math.nan, "nan"), ("high", "'high'"), (None, "None"), (ZeroDivisionError("x"), "ZeroDivisionError")],
)
def test_a_function_that_fails_names_the_row(value: Any, said: str) -> None:
    def own(answer: str, expected: str, row: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    with pytest.raises(SpecError, match="row 7") as caught:
        measures.custom(own).score(Case("x", "y", row={"row": 7}))
    assert said in str(caught.value)


def test_names() -> None:
    with pytest.raises(SpecError, match="exact_match"):
        measures.get("exact_mach")
    assert len(measures.names()) == len(set(measures.names())) >= 18


@pytest.mark.parametrize(
    ("expected", "first"),
    [
        (['{"a": 1}', '{"a": 2}'] * 10, "json_equal"),
        (["yes", "no"] * 20, "label_accuracy"),
        ([f"{n}" for n in range(40)], "exact_match"),
        (["a long answer in prose " * 10 + str(n) for n in range(40)], "token_f1"),
    ],
)
def test_the_metrics_that_fit(expected: list[str], first: str) -> None:
    assert measures.fitting([Case("", text) for text in expected])[0] == first


@given(st.text(), st.text())
def test_no_metric_fails_on_any_text(answer: str, expected: str) -> None:
    case = Case(answer=answer, expected=expected or None)
    for name in measures.names():
        value = measures.get(name).score(case)
        assert value is None or math.isfinite(value), name


def test_a_schema() -> None:
    metric = measures.with_schema({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}})
    assert [metric.score(Case(text, None)) for text in ('{"a": 1}', '{"a": "x"}', "{}", "no")] == [1, 0, 0, 0]
    with pytest.raises(SpecError, match="not valid"):
        measures.with_schema({"type": "strange"})


def test_a_schema_is_asked_of_what_is_json_and_nothing_is_fetched() -> None:
    anything = measures.with_schema({"type": "object"})
    assert [anything.score(Case(text, None)) for text in ('{"a": NaN}', '{"a": 1, "a": 2}', "{}")] == [0, 0, 1]
    with pytest.raises(SpecError, match=r"Retrieval is disabled|not present"):
        measures.with_schema({"$ref": "http://127.0.0.1:9/elsewhere.json"})


@pytest.mark.parametrize(
    ("embed", "said"),
    [
        (lambda texts: [[1.0], [1.0, 2.0]], r"vectors of \[1, 2\] numbers"),
        (lambda texts: [[1.0]], r"vectors of \[1\] numbers"),
        (lambda texts: [[], []], "vectors of"),
        (lambda texts: [[math.nan], [1.0]], "not finite"),
        (lambda texts: [[1e300], [1 / 0]], "ZeroDivisionError"),
    ],
)
def test_an_embedding_that_fails_names_the_row(embed: Any, said: str) -> None:
    with pytest.raises(SpecError, match="row 7") as caught:
        measures.semantic_similarity(embed).score(Case("a", "b", row={"row": 7}))
    assert re.search(said, str(caught.value))


def test_similarity_by_an_embedding() -> None:
    metric = measures.semantic_similarity(lambda texts: [[1.0, 0.0] if "cat" in text else [1.0, 1.0] for text in texts])
    assert metric.score(Case("a cat", "the cat")) == pytest.approx(1)
    assert metric.score(Case("a dog", "the cat")) == pytest.approx(1 / math.sqrt(2))
