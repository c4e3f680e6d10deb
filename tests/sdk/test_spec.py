"""What a user writes is refused with the field, the value and what was meant; what was stored always loads."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from tuneport import errors
from tuneport.errors import SpecError, TuneportError
from tuneport.methods import METHODS, LoRA
from tuneport.objectives import OBJECTIVES
from tuneport.result import FineTuneResult
from tuneport.spec import FineTuneSpec, Hyperparameters, Mix, ModelId, Resources


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Hyperparameters(learning_rat=1), "unknown field 'learning_rat': did you mean 'learning_rate'?"),
        (lambda: Hyperparameters(epochs=-1), "'epochs' is -1"),
        (lambda: Hyperparameters(learning_rate="fast"), "'learning_rate' is 'fast'"),
        (lambda: Hyperparameters(learning_rate=1e-4, learning_rate_multiplier=2), "not both"),
        (lambda: Hyperparameters(batch_size=8, micro_batch_size=3), "not a multiple"),
        (lambda: LoRA(rank=0), "'rank' is 0"),
        (lambda: Mix("general.jsonl", fraction=1.5), "'fraction' is 1.5"),
        (lambda: Resources(devices=0), "at least 1"),
        (lambda: Resources(devices=[1, 1]), "distinct"),
        (lambda: FineTuneSpec(model="starter", dataset="d"), "has no backend"),
        (lambda: FineTuneSpec(model="base:x", dataset="d"), "names a contender"),
        (lambda: FineTuneSpec(model="local:x", dataset="d", name="a b"), "'name' is 'a b'"),
        (lambda: FineTuneSpec(model="local:x", dataset="d", test=1.5), "'test' is 1.5"),
        (lambda: FineTuneSpec(model="local:x", dataset="d", test=0.5, validation=0.45), "at least 10%"),
        (lambda: FineTuneSpec(dataset="d"), "'model' is missing"),
    ],
)
def test_what_is_wrong_is_named(make: Any, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        make()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_nested_typo_names_its_whole_path_and_every_problem_is_told_at_once() -> None:
    written = {
        "model": "local:x",
        "dataset": "d",
        "method": {"kind": "lora", "rnk": 3},
        "hyperparameters": {"epocs": 2, "learning_rate": "fast"},
    }
    with pytest.raises(SpecError) as caught:
        FineTuneSpec.parse(written)
    assert "unknown field 'method.rnk': did you mean 'rank'?" in caught.value.problems
    assert "unknown field 'hyperparameters.epocs': did you mean 'epochs'?" in caught.value.problems
    assert len(caught.value.problems) == 3


def test_what_is_stored_loads_although_it_has_keys_of_another_version() -> None:
    stored = FineTuneSpec(model="local:x", dataset="d", method=LoRA(rank=4)).model_dump(mode="json")
    stored["from_the_future"] = 1
    stored["method"]["also_new"] = 2
    stored["hyperparameters"]["and_this"] = 3
    again = FineTuneSpec.from_stored(stored)
    assert again.method == LoRA(rank=4)


def test_a_spec_of_schema_version_1_still_loads() -> None:
    # As the first release wrote it, to the letter.
    text = (
        '{"schema_version":1,"model":"local:starter","dataset":"t.jsonl","objective":{"kind":"sft"},"method":{"kind":'
        '"lora","rank":8,"alpha":null,"dropout":0.0,"target_modules":"all-linear","rslora":false,"dora":false,"init":'
        '"default"},"hyperparameters":{"epochs":2.0},"validation":0.1,"test":null,"mix":null,"resources":{"devices":'
        '"auto","processes":1},"options":{},"privacy":"block","budget_usd":null,"name":null,"seed":42,"metadata":{},'
        '"integrations":[]}'
    )
    import json

    spec = FineTuneSpec.from_stored(json.loads(text))
    assert (spec.hyperparameters.epochs, spec.validation) == (2.0, 0.1)


def test_a_result_with_unknown_and_missing_keys_loads() -> None:
    stored = {
        "schema_version": 1,
        "job_id": "tp-1",
        "backend": "local",
        "base_model": "local:x",
        "model": {"backend": "local", "model": "/m", "new": 1},
        "objective": {},
        "method": {},
        "hyperparameters": [],
        "dataset": {"source": "s", "fingerprint": "f", "splits": {"train": 3}},
        "unheard_of": {},
    }
    assert FineTuneResult.model_validate(stored).dataset.splits == {"train": 3}


def test_a_model_path_may_hold_colons() -> None:
    assert ModelId.split("bedrock:amazon.nova-lite-v1:0:300k").model == "amazon.nova-lite-v1:0:300k"


def test_every_kind_of_the_interface_is_there() -> None:
    assert set(OBJECTIVES) == {"sft", "cpt", "dpo", "orpo", "rlhf", "reinforcement"}
    assert set(METHODS) == {"full", "lora", "qlora", "adapters", "prefix-tuning", "prompt-tuning", "ia3"}
    for kinds in (OBJECTIVES, METHODS):
        for kind, model in kinds.items():
            assert model().model_dump()["kind"] == kind


def _tree(cls: type[TuneportError]) -> list[type[TuneportError]]:
    return [cls, *(found for child in cls.__subclasses__() for found in _tree(child))]


def test_every_error_survives_pickling_and_has_a_standard_twin() -> None:
    for cls in _tree(TuneportError):
        if cls.__module__ != errors.__name__:
            continue
        error = pickle.loads(pickle.dumps(cls("what went wrong")))
        assert type(error) is cls
        assert str(error) == "what went wrong"
        assert cls.__name__ in (errors.__doc__ or "")
        if cls is not TuneportError:
            twins = (ValueError, ImportError, RuntimeError, TimeoutError, LookupError)
            assert issubclass(cls, twins), cls


def test_an_error_keeps_its_attributes_through_pickling() -> None:
    error = pickle.loads(pickle.dumps(errors.JobFailedError("x", job_id="tp-1", metrics=[{"loss": 1.0}])))
    assert (error.job_id, error.metrics) == ("tp-1", [{"loss": 1.0}])
