"""Who is compared: tuned models of any backend, models that no job made, prompted baselines, recorded answers.

A contender is given as a `FineTuneJob`, a `ModelRef`, a `FewShot`, `SystemPrompt` or `Recorded`, or in the words of the
command line: a job's id or name, `<backend>:<model>`, `base` (of the first job), `few-shot:K[:<backend>:<model>]`,
`system:FILE[:<backend>:<model>]` or `file:ANSWERS.jsonl`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, cast

from tuneport.dataset import Dataset
from tuneport.dataset.read import iter_lines
from tuneport.dataset.split import prompt_hash
from tuneport.errors import DatasetError, SpecError
from tuneport.evaluate.comparison import Answer
from tuneport.evaluate.questions import Question, digest, text_of
from tuneport.job import FineTuneJob
from tuneport.result import FineTuneResult, ModelRef
from tuneport.spec import ModelId

_SYSTEM = frozenset({"system", "developer"})


@dataclass(frozen=True)
class FewShot:
    """A model shown `shots` worked examples before each question. `model` None: the base of the first job.

    `examples` is where they are drawn from, a dataset; None: the training rows of the first job. They are the same for every
    question, drawn by the comparison's seed, and never rows of the test set.
    """

    model: str | None = None
    shots: int = 4
    examples: Any = None

    def __post_init__(self) -> None:
        if not 1 <= self.shots <= 1000:
            raise SpecError(f"few-shot with {self.shots} examples: give from 1 to 1000, as in few-shot:4.")


@dataclass(frozen=True)
class SystemPrompt:
    """A model told `text` as its system prompt, in place of the rows' own. `model` None: the base of the first job."""

    text: str
    model: str | None = None

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise SpecError("the system prompt is empty: write what the model is to do.")


@dataclass(frozen=True)
class Recorded:
    """Answers that were given elsewhere: a JSONL file, a line for each test row.

    A line names its row by `"row"` (the test file's 1-based row) or by the `"messages"` that were asked, and holds the answer
    as `"answer"` (or as a last assistant message). `"tool_calls"`, `"seconds"`, `"prompt_tokens"` and `"completion_tokens"`
    are taken where they are there.
    """

    path: str | Path


Contestant = FineTuneJob | FineTuneResult | ModelRef | FewShot | SystemPrompt | Recorded | str


@dataclass
class Entrant:
    """A contender made ready to be asked."""

    name: str
    kind: Literal["job", "model", "base", "few-shot", "system-prompt", "recorded"]
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    base_model: str | None = None
    job: FineTuneJob | None = None
    result: FineTuneResult | None = None
    examples: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])  # turns, put after the system prompt
    shots: int = 0
    system: str | None = None
    recorded: Path | None = None

    @property
    def backend(self) -> str | None:
        return None if self.model is None else ModelId.split(self.model).backend

    @property
    def prompt(self) -> str | None:
        """What is put before the questions, in words."""
        if self.system is not None:
            return self.system
        if not self.examples:
            return None
        return "\n\n".join(f"{turn['role']}: {text_of(turn.get('content'))}" for turn in self.examples)

    @property
    def identity(self) -> str:
        """What its answers depend on, but for the question and the decoding: the same identity may reuse them.

        A model in a directory may have been trained again under the same name, so the sizes and times of its files are in it.
        """
        return digest(
            {
                "model": self.model,
                "options": {key: str(value) for key, value in self.options.items()},
                "examples": self.examples,
                "system": self.system,
                "files": _files(self.model),
            }
        )

    def ask(self, question: Question) -> list[dict[str, Any]]:
        """The messages that this contender is asked."""
        system = [turn for turn in question.messages if turn.get("role") in _SYSTEM]
        rest = [turn for turn in question.messages if turn.get("role") not in _SYSTEM]
        if self.system is not None:
            system = [{"role": "system", "content": self.system}]
        return [*system, *self.examples, *rest]


def enter(
    given: Sequence[Contestant], questions: Sequence[Question], *, seed: int, examples: Any = None
) -> list[Entrant]:
    """Every contender made ready, each under a name of its own.

    Raises SpecError for words that name none, JobError of an unfinished job's kind, DatasetError for examples or answers that
    cannot be read.
    """
    if not given:
        raise SpecError("no contender: name jobs, <backend>:<model>, base, few-shot:4 or file:answers.jsonl.")
    parsed = [_parsed(one) for one in given]
    first = next((one for one in parsed if isinstance(one, FineTuneJob)), None)
    entrants = [_entrant(one, first, questions, seed, examples) for one in parsed]
    taken: dict[str, int] = {}
    for entrant in entrants:
        taken[entrant.name] = taken.get(entrant.name, 0) + 1
        if taken[entrant.name] > 1:
            entrant.name = f"{entrant.name} ({taken[entrant.name]})"
    return entrants


def _parsed(given: Contestant) -> Any:
    if not isinstance(given, str):
        return given
    head, colon, rest = given.partition(":")
    if given == "base":
        return "base"
    if head == "few-shot":
        number, _, model = rest.partition(":")
        if not re.fullmatch(r"\d{1,4}", number):
            raise SpecError(f"contender {given!r}: write few-shot:4, or few-shot:4:local:starter.")
        return FewShot(model or None, shots=int(number))
    if head == "system" and colon:
        name, _, model = rest.partition(":")
        try:
            text = Path(name).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SpecError(
                f"contender {given!r}: the system prompt {name!r} cannot be read ({error}): write system:FILE."
            ) from None
        return SystemPrompt(text, model or None)
    if head == "file" and colon:
        return Recorded(rest)
    if colon:
        return ModelId.split(given)
    return FineTuneJob.get(given)


def _entrant(given: Any, first: FineTuneJob | None, questions: Sequence[Question], seed: int, examples: Any) -> Entrant:
    if isinstance(given, FineTuneJob):
        result = given.result()
        return _tuned(result, given, given.name or f"tuned {result.base_model} ({given.id[-6:]})")
    if isinstance(given, FineTuneResult):
        return _tuned(given, None, f"tuned {given.base_model} ({given.job_id[-6:]})")
    if isinstance(given, ModelRef):
        return Entrant(str(given), "model", str(given), given.options, base_model=given.base)
    if isinstance(given, ModelId):
        return Entrant(str(given), "model", str(given))
    if isinstance(given, Recorded):
        path = Path(given.path).expanduser()
        return Entrant(f"file:{path.name}", "recorded", recorded=path)
    if given == "base":
        model, options = _base(first, "base")
        return Entrant(f"base {model}", "base", model, options)
    if isinstance(given, SystemPrompt):
        model, options = _asked(given.model, first, "a system prompt without a model")
        return Entrant(
            f"system prompt, {model}", "system-prompt", str(ModelId.split(model)), options, system=given.text
        )
    if isinstance(given, FewShot):
        model, options = _asked(given.model, first, f"few-shot:{given.shots}")
        turns = _shots(given, first, questions, seed, examples)
        name = f"few-shot:{given.shots}, {model}"
        return Entrant(name, "few-shot", str(ModelId.split(model)), options, examples=turns, shots=given.shots)
    raise SpecError(
        f"{given!r} is no contender: give a FineTuneJob, a ModelRef, FewShot(…), SystemPrompt(…), Recorded(…) or a string."
    )


def _tuned(result: FineTuneResult, job: FineTuneJob | None, name: str) -> Entrant:
    model = str(result.model)
    return Entrant(name, "job", model, result.model.options, base_model=result.base_model, job=job, result=result)


def _asked(model: str | None, first: FineTuneJob | None, asked: str) -> tuple[str, Mapping[str, Any]]:
    nothing: dict[str, Any] = {}
    return (model, nothing) if model is not None else _base(first, asked)


def _base(first: FineTuneJob | None, asked: str) -> tuple[str, Mapping[str, Any]]:
    if first is None:
        raise SpecError(
            f"{asked} means the base of the first job, and no contender is a job: name it, as in local:starter."
        )
    return first.model, first.result().model.options


def _shots(
    given: FewShot, first: FineTuneJob | None, questions: Sequence[Question], seed: int, examples: Any
) -> list[dict[str, Any]]:
    source = given.examples if given.examples is not None else examples
    if source is not None:
        rows: Sequence[Mapping[str, Any]] = Dataset.of(source).rows
        where = str(Dataset.of(source).source) if not isinstance(source, (str, Path)) else str(source)
    elif first is not None and (first.directory / "train.jsonl").exists():
        rows, where = list(iter_lines(first.directory / "train.jsonl")), f"the training rows of {first.id}"
    else:
        raise SpecError(
            f"few-shot:{given.shots} needs examples, and no job among the contenders has training rows here: name them with "
            "examples='train.jsonl' (--examples train.jsonl)."
        )
    asked = {prompt_hash(question.data) for question in questions}
    fit = [row for row in rows if _worked(row) and prompt_hash(row) not in asked]
    if len(fit) < given.shots:
        raise SpecError(
            f"few-shot:{given.shots}: {where} has {len(fit)} rows that are worked examples and not in the test set; "
            f"give more, or at most few-shot:{max(len(fit), 1)}."
        )
    chosen = random.Random(seed).sample(fit, given.shots)
    return [dict(turn) for row in chosen for turn in row["messages"] if turn.get("role") not in _SYSTEM]


def _worked(row: Mapping[str, Any]) -> bool:
    turns = cast("list[dict[str, Any]]", row.get("messages") or [])
    return len(turns) > 1 and turns[-1].get("role") == "assistant" and bool(text_of(turns[-1].get("content")))


def read_recorded(path: Path, questions: Sequence[Question]) -> dict[tuple[str, int], Answer]:
    """The recorded answers by the question's key and occurrence. DatasetError where the file fits no question."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"the recorded answers {path} cannot be read: {error}.", source=str(path)) from None
    by_row = {question.row: question for question in questions}
    by_key: dict[str, list[Question]] = {}
    for question in questions:
        by_key.setdefault(digest(question.messages), []).append(question)
    found: dict[tuple[str, int], Answer] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row, answer = _recorded_line(line, path, number)
        if "row" in row:
            several = [by_row[row["row"]]] if row["row"] in by_row else []
        else:
            several = by_key.get(digest(row["messages"]), [])
        for question in several:
            found.setdefault((question.key, question.occurrence), answer)
    if not found:
        raise DatasetError(
            f'{path} answers none of the {len(questions)} test rows: each line is {{"row": 3, "answer": "…"}}, with the row\'s '
            'number in the test file, or {"messages": […], "answer": "…"}, with what was asked.',
            source=str(path),
        )
    return found


def _recorded_line(line: str, path: Path, number: int) -> tuple[dict[str, Any], Answer]:
    import json

    def wrong(why: str) -> DatasetError:
        return DatasetError(
            f'{path}, line {number}: {why}; write {{"row": 3, "answer": "…"}}.', source=str(path), row=number
        )

    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise wrong("not JSON") from None
    if not isinstance(row, dict):
        raise wrong("not an object")
    values = cast("dict[str, Any]", row)
    messages = values.get("messages")
    if messages is not None and not (
        isinstance(messages, list) and all(isinstance(turn, dict) for turn in cast("list[Any]", messages))
    ):
        raise wrong("its messages are not a list of turns")
    turns = cast("list[dict[str, Any]]", messages or [])
    said: Any = values.get("answer")
    calls: Any = values.get("tool_calls")
    if said is None and turns and turns[-1].get("role") == "assistant":
        last = turns.pop()
        said, calls = text_of(last.get("content")), calls or last.get("tool_calls")
        values["messages"] = turns
    if "row" in values:
        if type(values["row"]) is not int:
            raise wrong(f"row is {values['row']!r}, not a whole number")
    elif not turns:
        raise wrong("it names no row")
    if (said is not None and not isinstance(said, str)) or (said is None and not calls):
        raise wrong(f"its answer is {said!r}, not a text")
    kept = {key: values.get(key) for key in ("seconds", "prompt_tokens", "completion_tokens", "finish_reason", "error")}
    try:
        return values, Answer(content=said, tool_calls=calls or [], **cast("dict[str, Any]", kept))
    except ValueError as error:
        raise wrong(" ".join(str(error).split())) from None


def _files(model: str | None) -> list[Any]:
    if model is None:
        return []
    path = Path(ModelId.split(model).model).expanduser()
    if not path.is_dir():
        return ["tuneport " + version("tuneport")] if "/" not in model and model.startswith("local:") else []
    return sorted(
        (file.name, (stat := file.stat()).st_size, stat.st_mtime_ns) for file in path.iterdir() if file.is_file()
    )
