"""Every metric by name: what it measures, what it needs, and how a row is scored.

A metric is a mean over rows unless it has a `whole`: macro-F1, BLEU and chrF say something of all rows together, and their
intervals come from resampling rows. A row to which a metric does not apply scores None and is counted; a row that a contender
failed on scores `worst`, or None where there is no worst.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from tuneport.errors import NotInstalledError, SpecError
from tuneport.scoring import metrics as basic
from tuneport.strict import suggest

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
# Scripts that put no space between words count by the character: Japanese kana and Chinese characters.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")
_MOST_LABELS = 50
_LABEL_LENGTH = 80  # characters


@dataclass(frozen=True)
class Case:
    """One answer beside what was expected. `row` is the test row as it was read; `nats` is summed -ln p of `expected`."""

    answer: str
    expected: str | None
    calls: Sequence[Mapping[str, Any]] = ()
    expected_calls: Sequence[Mapping[str, Any]] = ()
    row: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tokens: int | None = None
    nats: float | None = None
    nats_tokens: int = 0


Score = Callable[[Case], "float | None"]
Whole = Callable[[Sequence[Case]], "float | None"]


@dataclass(frozen=True)
class Metric:
    """`share`: a value between 0 and 1, told as a percentage. `fits`: why it does not fit these rows, or "" ."""

    name: str
    says: str
    kind: Literal["binary", "continuous"]
    score: Score
    higher_is_better: bool | None = True
    share: bool = True
    unit: str = ""
    worst: float | None = 0.0
    whole: Whole | None = None
    fits: Callable[[Sequence[Case]], str] = lambda _: ""


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
        value = _object(case.answer)
        return float(value is not _NOT_JSON and validator.is_valid(value))

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


def token_f1(answer: str, expected: str) -> float:
    """Overlap of words as SQuAD counts it: lower case, without punctuation and articles."""
    left, right = (_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split() for text in (answer, expected))
    if not left or not right:
        return float(left == right)
    shared = (Counter(left) & Counter(right)).total()
    return 2 * shared / (len(left) + len(right))


_NOT_JSON: Any = object()
_Leaf = tuple[tuple[str | int, ...], str, Any]  # path, kind, value
_KIND = {"int": "number", "float": "number", "list": "list", "dict": "object"}


def _object(text: str) -> Any:
    """The value, or `_NOT_JSON`: what `json_valid` says is none is none for every metric."""
    try:
        return basic.parse(text)
    except (ValueError, RecursionError):
        return _NOT_JSON


def json_field_f1(answer: str, expected: str) -> float | None:
    """F1 over the leaves of two JSON values: a leaf counts where its path and its value are the same. None: `expected` is not
    JSON. Lists compare by place."""
    wanted = _object(expected)
    if wanted is _NOT_JSON:
        return None
    given = _object(answer)
    if given is _NOT_JSON:
        return 0.0
    left, right = Counter(_leaves(given)), Counter(_leaves(wanted))
    return 2 * (left & right).total() / (left.total() + right.total())


def _leaves(value: Any) -> Iterable[_Leaf]:
    """Every leaf with its path, of keys (text) and places (numbers). Without recursion: an answer may be nested as deep as the
    parser goes, and the parser's depth is not ours."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while waiting:
        path, inner = waiting.pop()
        kind = _KIND.get(type(inner).__name__, "")
        if isinstance(inner, dict) and inner:
            waiting += [((*path, key), one) for key, one in cast("dict[str, Any]", inner).items()]
        elif isinstance(inner, list) and inner:
            waiting += [((*path, place), one) for place, one in enumerate(cast("list[Any]", inner))]
        else:  # 1 and 1.0 are one number to Python too; true and an empty list are of other kinds
            yield path, kind, None if kind in {"list", "object"} else inner


def _frozen(value: Any) -> frozenset[tuple[_Leaf, int]]:
    """A JSON value as its leaves: equal where the values are, whatever the order of keys."""
    return frozenset(Counter(_leaves(value)).items())


def tool_call_accuracy(case: Case) -> float | None:
    """1 where the same tools are called with the same arguments, by value (1 is 1.0), calls in any order.

    Calls may also stand in the text, as JSON alone: `{"tool_calls": [...]}`, a list of calls, or one `{"name", "arguments"}`.
    None where none is expected and none is made; 0 where one is made that is not expected.
    """
    said = case.calls or _calls_in(case.answer)
    if not case.expected_calls:
        return 0.0 if said else None
    return float(_counted_calls(said) == _counted_calls(case.expected_calls))


def _calls_in(text: str) -> Sequence[Mapping[str, Any]]:
    value = _object(text)
    if isinstance(value, dict):
        one = cast("dict[str, Any]", value)
        value = one.get("tool_calls", [one])
    if not isinstance(value, list) or not value:
        return ()
    listed = cast("list[Any]", value)
    return cast("list[dict[str, Any]]", listed) if all(_is_call(one) for one in listed) else ()


def _is_call(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    call = cast("dict[str, Any]", value)
    inner: Any = call.get("function", call)
    function = cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}
    return isinstance(function.get("name"), str) and "arguments" in function


def _counted_calls(calls: Sequence[Mapping[str, Any]]) -> Counter[Any]:
    made: Counter[Any] = Counter()
    for call in calls:
        inner: Any = call.get("function")
        function = cast("Mapping[str, Any]", inner) if isinstance(inner, dict) else call
        given: Any = function.get("arguments")
        arguments: Any = {} if given is None or given == "" else given
        value = _object(arguments) if isinstance(arguments, str) else arguments
        made[str(function.get("name")), arguments if value is _NOT_JSON else _frozen(value)] += 1
    return made


def label(text: str) -> str:
    """A label as it is compared: the words, without case, Unicode form and a last full stop."""
    return basic.normalised(text).rstrip(". ")


def labels(cases: Sequence[Case]) -> list[str]:
    """The labels that the expected answers are, in order of frequency; [] where they are no labels."""
    expected = [case.expected for case in cases if case.expected is not None]
    if any(len(text) > _LABEL_LENGTH or text.lstrip().startswith(("{", "[")) for text in expected):
        return []
    found = Counter(label(text) for text in expected)
    few = len(found) <= min(_MOST_LABELS, max(2, len(expected) // 4))
    return [name for name, _ in found.most_common()] if few and len(found) > 1 else []


OTHER = "(other)"


def confusion(cases: Sequence[Case], known: Sequence[str]) -> dict[str, dict[str, int]]:
    """How often each expected label was answered by which; an answer that is no label is "(other)"."""
    table: dict[str, dict[str, int]] = {name: {} for name in known}
    for case in cases:
        if case.expected is not None:
            said = label(case.answer) if label(case.answer) in known else OTHER
            row = table.setdefault(label(case.expected), {})
            row[said] = row.get(said, 0) + 1
    return table


def macro_f1(cases: Sequence[Case]) -> float | None:
    """Mean of the labels' F1, each label counting the same however rare it is."""
    known = sorted({label(case.expected) for case in cases if case.expected is not None})
    if not known:
        return None
    table = confusion(cases, known)
    scores: list[float] = []
    for name in known:
        right = table[name].get(name, 0)
        said = sum(row.get(name, 0) for row in table.values())
        scores.append(2 * right / (said + sum(table[name].values())) if right else 0.0)
    return math.fsum(scores) / len(scores)


def _sacrebleu(name: str) -> Whole:
    def whole(cases: Sequence[Case]) -> float | None:
        try:
            import sacrebleu
        except ImportError as error:
            raise NotInstalledError(
                f"{name} comes from sacrebleu: pip install 'tuneport[evaluate]'", extra="evaluate"
            ) from error
        both = [(case.answer, case.expected) for case in cases if case.expected is not None]
        if not both:
            return None
        metric: Any = getattr(sacrebleu, "corpus_bleu" if name == "bleu" else "corpus_chrf")
        answers, expected = zip(*both, strict=True)
        return float(metric(list(answers), [list(expected)]).score) / 100

    return whole


def _sentence_chrf(case: Case) -> float | None:
    return None if case.expected is None else _sacrebleu("chrf")([case])


def _sentence_bleu(case: Case) -> float | None:
    if case.expected is None:
        return None
    _sacrebleu("bleu")([])  # says which extra, where it is missing
    import sacrebleu

    return float(sacrebleu.sentence_bleu(case.answer, [case.expected]).score) / 100


def _rouge(kind: str) -> Score:
    def score(case: Case) -> float | None:
        if case.expected is None:
            return None
        return float(_rouge_scorer(kind).score(case.expected, case.answer)[kind].fmeasure)

    return score


_scorers: dict[str, Any] = {}


def _rouge_scorer(kind: str) -> Any:
    if kind not in _scorers:
        try:
            from rouge_score import rouge_scorer, tokenizers  # pyright: ignore[reportMissingTypeStubs]
        except ImportError as error:
            raise NotInstalledError(
                "ROUGE comes from rouge-score: pip install 'tuneport[evaluate]'", extra="evaluate"
            ) from error

        class _Words(tokenizers.Tokenizer):  # type: ignore[misc]
            """Words of any script: the library's own tokenizer drops all but a to z and 0 to 9."""

            def tokenize(self, text: str) -> list[str]:
                return _WORD.findall(text.casefold())

        _scorers[kind] = rouge_scorer.RougeScorer([kind], tokenizer=_Words())
    return _scorers[kind]


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
    found = sum(case.expected is not None and _object(case.expected) is not _NOT_JSON for case in cases)
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
    Metric("rouge1", "ROUGE-1: overlap of words", "continuous", _rouge("rouge1"), fits=_text),
    Metric("rouge2", "ROUGE-2: overlap of pairs of words", "continuous", _rouge("rouge2"), fits=_text),
    Metric("rougeL", "ROUGE-L: longest common sequence of words", "continuous", _rouge("rougeL"), fits=_text),
    Metric("bleu", "BLEU over all rows", "continuous", _sentence_bleu, whole=_sacrebleu("bleu"), fits=_text),
    Metric(
        "chrf",
        "chrF over all rows: overlap of characters",
        "continuous",
        _sentence_chrf,
        whole=_sacrebleu("chrf"),
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
    elif sum(len(case.expected or "") for case in cases) / max(len(cases), 1) <= _LABEL_LENGTH:
        first = ["exact_match", "normalised_match", "token_f1"]
    else:
        first = ["token_f1", "normalised_match", "exact_match"]
    return first
