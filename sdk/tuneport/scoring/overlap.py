"""How much of the expected text an answer has: words and characters, by the reference implementations."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tuneport.errors import NotInstalledError
from tuneport.scoring.case import Case, Score, Whole

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
# Scripts that put no space between words count by the character: Japanese kana and Chinese characters.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[^\W\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]+")


def token_f1(answer: str, expected: str) -> float:
    """Overlap of words as SQuAD counts it: lower case, without punctuation and articles."""
    left, right = (_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split() for text in (answer, expected))
    if not left or not right:
        return float(left == right)
    shared = (Counter(left) & Counter(right)).total()
    return 2 * shared / (len(left) + len(right))


def corpus(name: str) -> Whole:
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


def sentence_chrf(case: Case) -> float | None:
    return None if case.expected is None else corpus("chrf")([case])


def sentence_bleu(case: Case) -> float | None:
    if case.expected is None:
        return None
    corpus("bleu")([])  # says which extra, where it is missing
    import sacrebleu

    return float(sacrebleu.sentence_bleu(case.answer, [case.expected]).score) / 100


def rouge(kind: str) -> Score:
    def score(case: Case) -> float | None:
        if case.expected is None:
            return None
        return float(_scorer(kind).score(case.expected, case.answer)[kind].fmeasure)

    return score


_scorers: dict[str, Any] = {}


def _scorer(kind: str) -> Any:
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
