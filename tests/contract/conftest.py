"""A world for each backend, and the table's bookkeeping."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any

import pytest
from tests.contract import table
from tests.contract.case import Faulty
from tests.contract.cases import CASES, PLUGIN
from tests.contract.plugin import OURS, describe, on_path
from tests.contract.world import World, running

from tuneport import FineTuneJob, registry
from tuneport.status import JobStatus


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "behaviour(name): a column of the contract's table")
    config.stash[table.SEEN] = table.Seen()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    mark, names = item.get_closest_marker("behaviour"), getattr(item, "callspec", None)
    if mark is not None and names is not None and "world" in names.params:
        item.config.stash[table.SEEN].note(names.params["world"], mark.args[0], report)
    return report


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Our own backends, also where this checkout was installed before pyproject.toml named them."""
    missing = {name: where for name, where in OURS.items() if name not in registry.available()}
    folder = tmp_path_factory.mktemp("registered")
    if missing:
        describe(folder, "tuneport-backends-here", {"tuneport.backends": missing})
    with on_path(folder):
        yield


BACKENDS: Sequence[str] = (*CASES, PLUGIN)


@pytest.fixture(scope="module", params=BACKENDS)
def world(
    request: pytest.FixtureRequest, registered: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with running(request.param, tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.fixture(scope="module")
def done(world: World) -> FineTuneJob:
    """A job that has succeeded, followed by nobody."""
    job = world.create(name="done")
    world.reach(job, JobStatus.SUCCEEDED)
    return job


@pytest.fixture(autouse=True)
def _healed(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test scripted to go wrong does not go wrong in the next."""
    yield
    if "world" in request.fixturenames:
        case = request.getfixturevalue("world").case
        if isinstance(case, Faulty):
            case.heal()
