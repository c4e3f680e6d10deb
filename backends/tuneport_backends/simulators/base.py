"""What every simulator is: a server that is started and stopped, its clock, its fault script and its log."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, ClassVar, Self

from tuneport_backends.simulators.clock import Clock
from tuneport_backends.simulators.faults import Fault, Faults
from tuneport_backends.simulators.wire import Entry, Log, Server


class Simulator(ABC):
    """One provider's stand-in on a loopback socket. It is reached while it is started, best as a context.

    SpecError for a fault script that names what no request here is.
    """

    name: ClassVar[str]
    operations: ClassVar[frozenset[str]]  # that a fault script may name, and that the log has
    # Where a provider's SDKs look for credentials of yours, and for what would lead them past the stand-in.
    blank: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, clock: Clock | None, faults: Faults | Sequence[Fault | Mapping[str, Any]], address: tuple[str, int]
    ) -> None:
        self.clock = clock or Clock()
        self.faults = faults if isinstance(faults, Faults) else Faults(faults)
        self.faults.demand(self.operations, self.name)
        self._address = address
        self._server: Server | None = None
        self._log = Log(self.clock)

    @abstractmethod
    def _serve(self, address: tuple[str, int]) -> Server: ...

    def start(self) -> Self:
        if self._server is None:
            self._server = self._serve(self._address)
            self._address = (self._address[0], self._server.server_port)  # started again, it is where it was
            threading.Thread(
                target=self._server.serve_forever,
                kwargs={"poll_interval": 0.02},
                name=f"{self.name}-simulator",
                daemon=True,
            ).start()
        return self

    def stop(self) -> None:
        """Closes the port and every connection. What it holds stays, for a later start."""
        server, self._server = self._server, None
        if server is not None:
            server.end()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://{self._address[0]}:{self._address[1]}"

    def environment(self) -> dict[str, str]:
        """The variables that point the provider's SDKs, and tuneport, at this simulator.

        What would show it a credential of yours, or lead past it, has an empty value here if it is set. tuneport takes that
        for unset; not every SDK does by itself: `pointed` unsets it.
        """
        return {name: "" for name in self.blank if os.environ.get(name)} | dict(self._variables())

    @contextmanager
    def pointed(self) -> Generator[Self]:
        """With the environment of this process pointed at it, and put back afterwards. Not safe beside threads that do so."""
        before = dict(os.environ)
        for name in self.blank:
            os.environ.pop(name, None)
        os.environ.update(self._variables())
        try:
            yield self
        finally:
            for name in {*self.blank, *self._variables()}:
                if name in before:
                    os.environ[name] = before[name]
                else:
                    os.environ.pop(name, None)

    @abstractmethod
    def _variables(self) -> Mapping[str, str]: ...

    @property
    def log(self) -> list[Entry]:
        """Every request so far, oldest first."""
        return list(self._log.entries)

    @property
    def failures(self) -> list[str]:
        """What went wrong in the simulator itself: a request that it neither answered nor refused. Empty, or a bug here."""
        return list(self._log.failures)

    def requests(self, operation: str) -> list[Entry]:
        """Those of one operation."""
        return [entry for entry in self.log if entry.operation == operation]

    @property
    @abstractmethod
    def jobs(self) -> list[dict[str, Any]]:
        """Every job that was ever created, oldest first, as the service would show it now."""
