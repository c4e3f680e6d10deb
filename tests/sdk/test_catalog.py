"""The catalog: what ships is whole and dated, every end date is told before and refused after, and a user's file wins."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuneport import catalog, clock
from tuneport.catalog import EndDate, Entry
from tuneport.errors import SpecError
from tuneport.methods import METHODS
from tuneport.objectives import OBJECTIVES
from tuneport.spec import Hyperparameters

ENDS = [(entry, name, end) for entry in catalog.entries() for name, end in entry.lifecycle.items()]
DIALECTS = {
    *(
        "openai",
        "openai-preference",
        "openai-reinforcement",
        "bedrock-converse",
        "bedrock-claude",
        "bedrock-completion",
    ),
    *("vertex", "vertex-preference", "vertex-reinforcement"),
}
RULES = {
    *(
        "openai",
        "openai-preference",
        "openai-reinforcement",
        "nova",
        "claude-3",
        "llama-3.1",
        "gemini",
        "vertex-preference",
    ),
    "bedrock-rft",
}
MINI = "openai:gpt-4.1-mini-2025-04-14"


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`user(text or data)` writes a catalog of the user's own, where tuneport looks for it."""
    path = tmp_path / "mine.yaml"
    monkeypatch.setenv("TUNEPORT_CATALOG", str(path))

    def write(content: Any) -> Path:
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
        return path

    return write


def entry(model: str) -> Entry:
    found = catalog.find(model)
    assert found is not None, model
    return found


# What ships


@pytest.mark.parametrize("item", catalog.entries(), ids=lambda item: item.ref)
def test_an_entry_speaks_the_projects_own_names(item: Entry) -> None:
    assert item.objectives
    assert set(item.objectives) <= set(OBJECTIVES)
    assert set(item.methods) <= set(METHODS)
    for name, objective in item.objectives.items():
        assert objective.dialect in DIALECTS
        assert set(objective.rules) <= RULES
        for knob in item.knobs_for(name):
            group, _, field = knob.rpartition(".")
            known = {"": Hyperparameters, "method": METHODS["lora"], "objective": OBJECTIVES[name]}[group]
            assert field in known.model_fields, knob
        # A rate and a multiplier are different things: no provider takes both.
        assert not {"learning_rate", "learning_rate_multiplier"} <= set(item.knobs_for(name))


def test_no_name_means_two_models_of_one_backend() -> None:
    for backend in {item.backend for item in catalog.entries()}:
        names = [n.lower() for item in catalog.entries(backend) for n in (item.id, *item.aliases)]
        assert len(names) == len(set(names))


def test_every_fact_was_read_before_it_shipped_and_says_where() -> None:
    def sources(value: Any) -> list[dict[str, Any]]:
        if isinstance(value, dict):
            own = [value] if {"title", "date", "sure"} <= set(value) else []
            return own + [s for item in value.values() for s in sources(item)]
        return [s for item in value for s in sources(item)] if isinstance(value, list) else []

    found = [s for item in catalog.entries() for s in sources(item.model_dump())]
    assert len(found) > 300
    assert max(s["date"] for s in found) <= date(2026, 11, 25)
    assert {s["sure"] for s in found} <= {"code", "run", "doc", "unconfirmed"}
    assert all(s["url"] or s["sure"] == "unconfirmed" for s in found)


def test_a_price_that_nobody_could_read_is_unknown() -> None:
    for item in catalog.entries("bedrock"):
        assert item.price.training is None
        assert item.price.hosting_per_hour is None


# End dates: every one, on both its sides


@pytest.mark.parametrize(("item", "name", "end"), ENDS, ids=lambda value: getattr(value, "ref", str(value))[:60])
def test_each_end_date_is_told_before_and_refused_from_the_day_on(item: Entry, name: str, end: EndDate) -> None:
    def severity(day: date) -> str:
        [notice] = [n for n in catalog.lifecycle(item, day) if (n.date, n.code) == (end.date, f"lifecycle.{end.what}")]
        assert str(end.date) in notice.message
        assert item.ref in notice.message
        assert "tuneport" in notice.fix
        assert end.source.title in notice.message
        return notice.severity

    certain = end.firm and end.affects is None and end.source.sure != "unconfirmed"
    one = timedelta(days=1)
    assert severity(end.date - one) == "warning", "the day before"
    assert severity(end.date) == ("error" if certain else "warning"), "the day itself"
    assert severity(end.date + one) == ("error" if certain else "warning"), "the day after"
    assert severity(end.date - catalog.SOON_DAYS * one) == "warning"
    assert severity(end.date - (catalog.SOON_DAYS + 1) * one) == "info"


def test_openai_takes_no_jobs_from_the_sixth_of_january_on_and_says_where_to_go() -> None:
    before = catalog.lifecycle(entry(MINI), date(2027, 1, 5))
    assert [n.severity for n in before if n.date == date(2027, 1, 6)] == ["warning"]
    assert "tomorrow" in next(n.message for n in before if n.date == date(2027, 1, 6))
    after = catalog.lifecycle(entry(MINI), datetime(2027, 1, 6, tzinfo=UTC))
    [refused] = [n for n in after if n.severity == "error"]
    assert "takes no new fine-tuning jobs since 2027-01-06" in refused.message
    for backend in ("azure", "bedrock", "vertex", "local"):
        assert f"{backend}:…" in refused.fix
    assert [n.severity for n in catalog.lifecycle(entry(MINI), date(2027, 1, 14))].count("error") == 2


def test_what_concerns_some_organisations_only_is_never_an_error() -> None:
    [first, *_] = catalog.lifecycle(entry(MINI), date(2030, 1, 1))
    assert first.severity == "warning"
    assert "never tuned" in first.message


# Names


@pytest.mark.parametrize(
    ("name", "ref"),
    [
        ("openai:gpt-4.1-mini", MINI),
        ("openai:GPT-4.1-mini-2025-04-14", MINI),
        ("openai:ft:gpt-4.1-mini-2025-04-14:acme::Ab12", MINI),
        ("ft:gpt-4.1-mini-2025-04-14:acme:triage:Ab12:ckpt-step-9", MINI),
        ("azure:gpt-4.1-mini-2025-04-14.ft-0f2c", "azure:gpt-4.1-mini-2025-04-14"),
        ("bedrock:amazon.nova-lite-v1:0", "bedrock:amazon.nova-lite-v1:0:300k"),
        ("bedrock:amazon.nova-lite-v1:0:300k", "bedrock:amazon.nova-lite-v1:0:300k"),
        ("bedrock:us.amazon.nova-lite-v1:0", "bedrock:amazon.nova-lite-v1:0:300k"),
        (
            "bedrock:arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0:128k",
            "bedrock:amazon.nova-micro-v1:0:128k",
        ),
        ("vertex:publishers/google/models/gemini-3.5-flash", "vertex:gemini-3.5-flash"),
        (
            "vertex:projects/p/locations/us-central1/publishers/google/models/gemini-3.5-flash",
            "vertex:gemini-3.5-flash",
        ),
        ("vertex:projects/p/locations/us-central1/models/7316", "vertex:tuned-model"),
        ("vertex:projects/p/locations/us-central1/models/7316@2", "vertex:tuned-model"),
        ("gemini-3.5-flash", "vertex:gemini-3.5-flash"),
    ],
)
def test_a_model_is_found_by_each_of_its_names(name: str, ref: str) -> None:
    assert entry(name).ref == ref


@pytest.mark.parametrize(
    "name",
    ["", ":", "openai:", "openai:gpt-9", "local:starter", "gpt-4.1-mini", "openai:gemini-3.5-flash", "ft:", "nothing"],
)
def test_what_is_not_there_or_could_be_two_is_not_found(name: str) -> None:
    assert catalog.find(name) is None


def test_a_target_has_the_objectives_own_dialect_rules_and_limits() -> None:
    sft = catalog.target("bedrock:nova-micro")
    assert sft is not None
    assert (sft["dialect"], sft["rules"]) == ("bedrock-converse", ("nova",))
    assert sft["limits"] == {"min_rows": 8, "max_rows": 20000, "max_images": 0}
    rft = catalog.target("bedrock:nova-2-lite", "reinforcement")
    assert rft is not None
    assert rft["limits"] == {"min_rows": 100, "max_rows": 20000}
    assert catalog.target("bedrock:nova-micro", "dpo") is None
    assert catalog.target("openai:gpt-9") is None


def test_an_unconfirmed_limit_refuses_nobody() -> None:
    haiku = catalog.target("bedrock:claude-3-haiku")
    assert haiku is not None
    assert "max_rows" not in haiku["limits"]
    assert entry("bedrock:claude-3-haiku").amounts_for("sft")["max_rows"].value == 10_000


# A user's own


def test_a_users_price_wins_and_says_whose_it_is(user: Any) -> None:
    path = user({"models": {MINI: {"price": {"training": 4.0, "source": "our contract of 2026-10"}}}})
    price = entry(MINI).price
    assert price.training is not None
    assert (price.training.value, price.training.source.title, price.training.source.sure) == (
        4.0,
        "our contract of 2026-10",
        "user",
    )
    assert price.input is not None
    assert price.input.source.sure == "doc", "what was not given keeps the provider's source"
    user({"models": {MINI: {"price": {"training": 4.0}}}})
    os.utime(path, (0, 0))  # written again: read again
    again = entry(MINI).price.training
    assert again is not None
    assert str(path) in again.source.title
    assert again.source.date == date(1970, 1, 1)


def test_a_users_dates_and_limits_win(user: Any) -> None:
    user(
        f"""
models:
  {MINI}:
    lifecycle:
      everyone: {{what: no-new-jobs, date: 2028-01-01, instead: tuneport models}}
      shutdown: null
    limits: {{max_rows: 500, source: asked support}}
"""
    )
    assert catalog.lifecycle(entry(MINI), date(2027, 6, 1))[-1].date == date(2028, 1, 1)
    assert "shutdown" not in entry(MINI).lifecycle
    target = catalog.target(MINI)
    assert target is not None
    assert target["limits"]["max_rows"] == 500
    assert target["limits"]["min_rows"] == 10


def test_a_users_new_model_may_take_after_another(user: Any) -> None:
    user({"models": {"openai:gpt-next": {"like": MINI, "name": "Next", "price": {"training": 9}}}})
    new = entry("openai:gpt-next")
    assert list(new.objectives) == ["sft", "dpo"]
    assert new.aliases == []
    assert entry("openai:gpt-4.1-mini").ref == MINI


def test_a_users_defaults_reach_every_model_of_the_backend(user: Any) -> None:
    user({"defaults": {"azure": {"price": {"hosting_per_hour": 1.2, "source": "our agreement"}}}})
    assert {item.price.hosting_per_hour.value for item in catalog.entries("azure") if item.price.hosting_per_hour} == {
        1.2
    }


def test_the_home_is_looked_at_where_no_file_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNEPORT_CATALOG", raising=False)
    assert catalog.user_file() is None
    home.mkdir()
    (home / "catalog.yaml").write_text(f"models: {{'{MINI}': {{price: {{training: 1}}}}}}")
    training = entry(MINI).price.training
    assert training is not None
    assert training.value == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model: {}", "unknown part 'model': did you mean 'models'?"),
        (f"models: {{'{MINI}': {{pirce: {{training: 1}}}}}}", "unknown field 'pirce': did you mean 'price'?"),
        (
            f"models: {{'{MINI}': {{price: {{trainig: 1}}}}}}",
            f"models.{MINI}.price: unknown field 'trainig': did you mean",
        ),
        (f"models: {{'{MINI}': {{price: {{training: -1}}}}}}", "price.training: 'value' is -1"),
        (f"models: {{'{MINI}': {{price: {{training: cheap}}}}}}", "price.training"),
        (f"models: {{'{MINI}': {{price: {{training: .inf}}}}}}", "price.training"),
        (
            f"models: {{'{MINI}': {{lifecycle: {{everyone: {{dat: 2028-01-01}}}}}}}}",
            "unknown field 'dat': did you mean 'date'?",
        ),
        (f"models: {{'{MINI}': {{lifecycle: {{everyone: {{date: soon}}}}}}}}", "lifecycle.everyone.date' is 'soon'"),
        (f"models: {{'{MINI}': {{hyperparameters: {{epochs: {{max: 3}}}}}}}}", "unknown field 'max'"),
        ("models: {gpt-4.1: {}}", "write '<backend>:<model id>'"),
        ("models: {'openai:new': {like: 'openai:gpt-4.1-minni'}}", "which is not in the catalog: did you mean"),
        ("models: {'other:new': {name: New}}", "'objectives' is missing"),
        ("models: [a]", "models is ['a']: write a mapping"),
        ("models: {1: {}}", "the key 1 is not text"),
        ("models: {'openai:x': 3}", "write a mapping"),
        ("a: [", "is not YAML"),
        ("- a", "write a mapping"),
        ("sources: {mine: {url: 'https://a'}}", "'title' is missing"),
    ],
)
def test_a_mistake_in_a_users_file_is_said_with_place_and_fix(user: Any, text: str, says: str) -> None:
    path = user(text)
    with pytest.raises(SpecError) as raised:
        catalog.entries()
    assert says in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_file_that_is_named_and_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEPORT_CATALOG", str(tmp_path / "none.yaml"))
    with pytest.raises(SpecError, match=r"none\.yaml: No such file.*TUNEPORT_CATALOG"):
        catalog.entries()


def test_an_empty_file_changes_nothing(user: Any) -> None:
    user("")
    assert catalog.entries()[0].ref == "openai:gpt-4.1-2025-04-14"


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
_KEYS = st.sampled_from(
    [
        "price",
        "limits",
        "source",
        "training",
        "lifecycle",
        "everyone",
        "date",
        "objectives",
        "sft",
        "like",
        "hyperparameters",
    ]
) | st.text(max_size=6)
_TREES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4), max_leaves=12
)


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(st.sampled_from(["models", "defaults", "sources", "x"]), _TREES), st.dictionaries(_KEYS, _TREES))
def test_whatever_a_users_file_holds_it_loads_or_is_refused_in_words(user: Any, tree: dict[str, Any], own: Any) -> None:
    user({"models": {MINI: own}, **tree})
    os.utime(catalog.user_file() or "", ns=(0, hash(repr((tree, own))) % 2**40))
    try:
        assert catalog.entries()
    except SpecError as error:
        assert "mine.yaml" in str(error)


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=200))
def test_a_users_file_of_any_bytes_is_refused_in_words(user: Any, data: bytes) -> None:
    path = user("")
    path.write_bytes(data)
    os.utime(path, ns=(0, hash(data) % 2**40))
    try:
        catalog.entries()
    except SpecError as error:
        assert "mine.yaml" in str(error)


# The clock


def test_the_clock_is_set_by_a_test_or_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(clock.VARIABLE, raising=False)
    assert abs((clock.now() - datetime.now(UTC)).total_seconds()) < 60
    assert not clock.is_set()
    monkeypatch.setenv(clock.VARIABLE, "2027-01-06")
    assert clock.now() == datetime(2027, 1, 6, tzinfo=UTC)
    with clock.at("2027-01-05T23:00:00-05:00"):
        assert clock.today() == date(2027, 1, 6)
        with clock.at(date(2030, 1, 1)):
            assert clock.today() == date(2030, 1, 1)
        assert clock.is_set()
    assert clock.today() == date(2027, 1, 6)


def test_a_clock_that_cannot_be_read_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(clock.VARIABLE, "next week")
    with pytest.raises(SpecError, match="TUNEPORT_NOW is 'next week': write an ISO date"):
        clock.now()
