"""Every metric by name: what it measures, what it needs, and how a row is scored.

A metric is a mean over rows unless it has a `whole`: macro-F1, BLEU and chrF say something of all rows together, and their
intervals come from resampling rows. A row to which a metric does not apply scores None and is counted; a row that a contender
failed on scores `worst`, or None where there is no worst.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tuneport.errors import NotInstalledError, SpecError
from tuneport.scoring import metrics as basic
from tuneport.scoring.case import Case, Metric, Score
from tuneport.scoring.labels import LABEL_LENGTH, label, labels, macro_f1
from tuneport.scoring.overlap import corpus, rouge, sentence_bleu, sentence_chrf, token_f1
from tuneport.scoring.structured import NOT_JSON, json_field_f1, parsed, tool_call_accuracy
from tuneport.strict import suggest


def names() -> list[str]:
    return list(_METRICS)


def get(name: str) -> Metric:
    """The metric of that name. SpecError with the nearest where there is none."""
    if name not in _METRICS:
        raise SpecError(f"no metric is named {name!r}: {suggest(name, _METRICS)}")
    return _METRICS[name]


def custom(function: Callable[[str, str, Mapping[str, Any]], float | bool]) -> Metric:
    """A user's own `(answer, expected, row) -> number or bool`; `expected` is "" where the row expects no text.

    Its name is the function's. Where it is annotated `-> bool` it is a yes or no, with the intervals and the flipped rows of
    one. A result that is no finite number, or no bool where one is promised, is a SpecError that names the row.
    """
    name = getattr(function, "__name__", "own metric")
    promised = getattr(function, "__annotations__", {}).get("return") in (bool, "bool")

    def score(case: Case) -> float:
        where = f"metric {name}, row {case.row.get('row', '?')}"
        try:
            value = function(case.answer, case.expected or "", case.row)
        except Exception as error:
            raise SpecError(f"{where}: {type(error).__name__}: {error}") from error
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise SpecError(f"{where}: it gave {value!r}, not a finite number or a bool.")
        if promised and number not in (0.0, 1.0):
            raise SpecError(f"{where}: it gave {value!r}, and is annotated to give a bool: write -> float instead.")
        return number

    says = (function.__doc__ or "a function of the user's own").strip().splitlines()[0]
    return Metric(name, says, "binary" if promised else "continuous", score, share=promised, worst=None)


def with_schema(schema: Mapping[str, Any]) -> Metric:
    """Whether the answer is JSON that keeps to `schema`. Needs the extra `data`."""
    try:
        import jsonschema_rs
    except ImportError as error:
        raise NotInstalledError(
            "a JSON Schema is checked by jsonschema-rs: pip install 'tuneport[data]'", extra="data"
        ) from error
    try:
        validator = jsonschema_rs.validator_for(dict(schema), offline=True)
    except (ValueError, jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise SpecError(f"the JSON Schema for the answers is not valid: {error}") from None

    def score(case: Case) -> float:
        value = parsed(case.answer)
        return float(value is not NOT_JSON and validator.is_valid(value))

    return Metric("schema_valid", "the answer is JSON and keeps to the schema", "binary", score)


def semantic_similarity(embed: Callable[[Sequence[str]], Sequence[Sequence[float]]]) -> Metric:
    """Cosine of the embeddings of answer and expected answer, by `embed`: texts to vectors, each as long as the other.

    SpecError that names the row where `embed` fails, or gives anything else.
    """

    def score(case: Case) -> float | None:
        if not case.expected:
            return None
        where = f"semantic_similarity, row {case.row.get('row', '?')}"
        try:
            vectors = [[float(x) for x in vector] for vector in embed([case.answer, case.expected])]
        except Exception as error:
            raise SpecError(f"{where}: embed failed with {type(error).__name__}: {error}") from error
        if len(vectors) != 2 or not vectors[0] or len(vectors[0]) != len(vectors[1]):
            raise SpecError(
                f"{where}: embed gave vectors of {[len(v) for v in vectors]} numbers for 2 texts, not 2 of one length."
            )
        left, right = vectors
        size = math.hypot(*left) * math.hypot(*right)
        cosine = math.fsum(a * b for a, b in zip(left, right, strict=True)) / size if size else 0.0
        if not math.isfinite(cosine):
            raise SpecError(f"{where}: embed gave numbers that are not finite.")
        return cosine

    return Metric("semantic_similarity", "cosine of the embeddings", "continuous", score, share=False, fits=_text)


def _on_text(function: Callable[[str, str], float | bool]) -> Score:
    def score(case: Case) -> float | None:
        return None if case.expected is None else float(function(case.answer, case.expected))

    return score


def _perplexity(cases: Sequence[Case]) -> float | None:
    known = [case for case in cases if case.nats is not None and case.nats_tokens]
    tokens = sum(case.nats_tokens for case in known)
    return math.exp(min(math.fsum(case.nats or 0.0 for case in known) / tokens, 700.0)) if tokens else None


def _bits_per_byte(cases: Sequence[Case]) -> float | None:
    known = [case for case in cases if case.nats is not None and case.expected]
    size = sum(len((case.expected or "").encode("utf-8", "replace")) for case in known)
    return math.fsum(case.nats or 0.0 for case in known) / math.log(2) / size if size else None


def _nats_per_token(case: Case) -> float | None:
    return case.nats / case.nats_tokens if case.nats is not None and case.nats_tokens else None


def _bits_of_row(case: Case) -> float | None:
    return _bits_per_byte([case])


def _text(cases: Sequence[Case]) -> str:
    return "" if any(case.expected for case in cases) else "no row expects a text"


def _json(cases: Sequence[Case]) -> str:
    found = sum(case.expected is not None and parsed(case.expected) is not NOT_JSON for case in cases)
    texts = sum(case.expected is not None for case in cases)
    if found and found == texts:
        return ""
    return f"{found} of {texts} expected answers are JSON" if found else "no expected answer is JSON"


def _labelled(cases: Sequence[Case]) -> str:
    return "" if labels(cases) else "the expected answers are not a few labels that come again and again"


def _called(cases: Sequence[Case]) -> str:
    return "" if any(case.expected_calls for case in cases) else "no row expects a tool call"


def _likely(cases: Sequence[Case]) -> str:
    return "" if any(case.nats is not None for case in cases) else "no contender says how likely an answer is"


def _counted(cases: Sequence[Case]) -> str:
    return "" if any(case.tokens is not None for case in cases) else "no contender counts its tokens"


def _table(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


_METRICS = _table(
    Metric(
        "exact_match", "the same text, but for whitespace around it", "binary", _on_text(basic.exact_match), fits=_text
    ),
    Metric(
        "normalised_match",
        "the same words, but for case, Unicode form and whitespace",
        "binary",
        _on_text(basic.normalised_match),
        fits=_text,
    ),
    Metric("token_f1", "overlap of words", "continuous", _on_text(token_f1), fits=_text),
    Metric(
        "json_valid", "the answer is one JSON value", "binary", _on_text(lambda a, _: basic.json_valid(a)), fits=_json
    ),
    Metric("json_equal", "the same JSON value", "binary", _on_text(basic.json_equal), fits=_json),
    Metric(
        "json_field_f1",
        "fields with the right value",
        "continuous",
        lambda case: None if case.expected is None else json_field_f1(case.answer, case.expected),
        fits=_json,
    ),
    Metric("tool_call_accuracy", "the same calls with the same arguments", "binary", tool_call_accuracy, fits=_called),
    Metric(
        "label_accuracy",
        "the right label",
        "binary",
        _on_text(lambda answer, expected: label(answer) == label(expected)),
        fits=_labelled,
    ),
    Metric(
        "macro_f1",
        "F1 of each label, averaged over the labels",
        "continuous",
        _on_text(lambda answer, expected: label(answer) == label(expected)),
        whole=macro_f1,
        fits=_labelled,
    ),
    Metric("rouge1", "ROUGE-1: overlap of words", "continuous", rouge("rouge1"), fits=_text),
    Metric("rouge2", "ROUGE-2: overlap of pairs of words", "continuous", rouge("rouge2"), fits=_text),
    Metric("rougeL", "ROUGE-L: longest common sequence of words", "continuous", rouge("rougeL"), fits=_text),
    Metric("bleu", "BLEU over all rows", "continuous", sentence_bleu, whole=corpus("bleu"), fits=_text),
    Metric(
        "chrf",
        "chrF over all rows: overlap of characters",
        "continuous",
        sentence_chrf,
        whole=corpus("chrf"),
        fits=_text,
    ),
    Metric(
        "perplexity",
        "of the expected answers, per token: how surprised the model is",
        "continuous",
        _nats_per_token,
        higher_is_better=False,
        share=False,
        worst=None,
        whole=_perplexity,
        fits=_likely,
    ),
    Metric(
        "bits_per_byte",
        "of the expected answers: comparable between tokenizers",
        "continuous",
        _bits_of_row,
        higher_is_better=False,
        share=False,
        unit="bits",
        worst=None,
        whole=_bits_per_byte,
        fits=_likely,
    ),
    Metric(
        "length",
        "of the answer",
        "continuous",
        lambda case: float(len(case.answer)),
        higher_is_better=None,
        share=False,
        unit="characters",
        worst=None,
    ),
    Metric(
        "tokens",
        "of the answer",
        "continuous",
        lambda case: None if case.tokens is None else float(case.tokens),
        higher_is_better=None,
        share=False,
        unit="tokens",
        worst=None,
        fits=_counted,
    ),
)


def fitting(cases: Sequence[Case]) -> list[str]:
    """The metrics that these rows ask for, the one to judge by first."""
    if not _called(cases):
        first = ["tool_call_accuracy"]
        if not _text(cases):
            first.append("exact_match")
    elif not _json(cases) and all((case.expected or "{").lstrip().startswith(("{", "[")) for case in cases):
        first = ["json_equal", "json_field_f1", "json_valid", "exact_match"]
    elif not _labelled(cases):
        first = ["label_accuracy", "macro_f1", "exact_match"]
    elif sum(len(case.expected or "") for case in cases) / max(len(cases), 1) <= LABEL_LENGTH:
        first = ["exact_match", "normalised_match", "token_f1"]
    else:
        first = ["token_f1", "normalised_match", "exact_match"]
    return first
