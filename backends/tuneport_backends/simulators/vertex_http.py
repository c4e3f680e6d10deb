"""The wire of the simulated Vertex AI and Cloud Storage: their routes, credentials and errors."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from tuneport_backends.simulators import vertex_garden as garden
from tuneport_backends.simulators import wire
from tuneport_backends.simulators.faults import Fault, Faults
from tuneport_backends.simulators.vertex_requests import Refusal, usual
from tuneport_backends.simulators.vertex_state import State
from tuneport_backends.simulators.wire import Log, Reply, Request, Routes, read_json

_PARENT = r"/v1(?:beta1)?/(projects/[^/]+/locations/[^/]+)"
_BUCKET, _OBJECT = r"/storage/v1/b/([^/]+)", r"/o/(.+)"
_TABLE: list[tuple[str, str, str, Callable[[State, Request], Any]]] = [
    ("POST", f"{_PARENT}/tuningJobs", "jobs.create", lambda s, r: s.create_job(r.args[0], r.body)),
    ("GET", f"{_PARENT}/tuningJobs", "jobs.list", lambda s, r: s.list_jobs(r.args[0], r.query)),
    ("GET", f"{_PARENT}(/tuningJobs/[^/:]+)", "jobs.get", lambda s, r: s.job("".join(r.args))),
    ("POST", f"{_PARENT}(/tuningJobs/[^/:]+):cancel", "jobs.cancel", lambda s, r: s.cancel_job("".join(r.args))),
    (
        "POST",
        f"{_PARENT}(/endpoints/[^/:]+|/publishers/google/models/[^/:]+):generateContent",
        "generate",
        lambda s, r: s.generate("".join(r.args), r.body),
    ),
    ("GET", f"{_PARENT}(/endpoints/[^/:]+)", "endpoints.get", lambda s, r: s.endpoint("".join(r.args))),
    ("DELETE", f"{_PARENT}(/endpoints/[^/:]+)", "endpoints.delete", lambda s, r: s.delete_endpoint("".join(r.args))),
    (
        "POST",
        f"{_PARENT}(/endpoints/[^/:]+):undeployModel",
        "endpoints.undeploy",
        lambda s, r: s.undeploy("".join(r.args), r.body),
    ),
    ("POST", f"{_PARENT}:deploy", "endpoints.deploy", garden.deploy),
    ("GET", f"{_PARENT}(/operations/[^/:]+)", "operations.get", garden.operation),
    ("POST", f"{_PARENT}(/endpoints/[^/:]+)/chat/completions", "complete", garden.complete),
    ("GET", f"{_PARENT}(/models/[^/:]+)", "models.get", lambda s, r: s.model("".join(r.args))),
    ("DELETE", f"{_PARENT}(/models/[^/:]+)", "models.delete", lambda s, r: s.delete_model("".join(r.args))),
    ("GET", f"{_BUCKET}", "gcs.bucket", lambda s, r: s.objects.bucket(r.args[0])),
    ("GET", f"{_BUCKET}/o", "gcs.list", lambda s, r: s.objects.list(r.args[0], r.query)),
    ("GET", f"{_BUCKET}{_OBJECT}", "gcs.get", lambda s, r: s.objects.get(r.args[0], r.args[1], r.query)),
    ("GET", f"/download{_BUCKET}{_OBJECT}", "gcs.get", lambda s, r: s.objects.get(r.args[0], r.args[1], r.query)),
    ("DELETE", f"{_BUCKET}{_OBJECT}", "gcs.delete", lambda s, r: s.objects.delete(r.args[0], r.args[1])),
    (
        "POST",
        f"/upload{_BUCKET}/o",
        "gcs.upload",
        lambda s, r: s.objects.upload(r.args[0], r.query, r.headers, r.raw),
    ),
    ("PUT", f"/upload{_BUCKET}/o", "gcs.upload", lambda s, r: s.objects.resume(r.query, r.headers, r.raw)),
]
ROUTES = Routes(_TABLE)


class Server(wire.Server):
    json_type = "application/json; charset=UTF-8"
    state_field = "state"
    page_fields = frozenset({"tuningJobs", "nextPageToken"})

    def __init__(self, address: tuple[str, int], log: Log, faults: Faults, state: State) -> None:
        super().__init__(address, log, faults, state.lock)
        self.state = state

    def route(self, request: Request) -> None:
        ROUTES.find(request)

    def read(self, request: Request) -> Any:
        if "/storage/" in request.path:
            return {"bytes": len(request.raw)} if request.raw else None
        request.body = read_json(request.raw)
        return request.body

    def admit(self, request: Request) -> None:
        if not request.operation.startswith("gcs.") and request.bearer is None:
            raise usual(401)

    def usual(self, request: Request, fault: Fault) -> Reply:  # noqa: ARG002  (one shape of error for all)
        said = usual(fault.status or 500).answer
        return said if fault.body is None else Reply(said.status, fault.body)

    def answer(self, request: Request) -> Reply:
        if request.do is None:
            raise Refusal(404, f"Not found: {request.method} {request.path}")
        made = request.do(self.state, request)
        return made if isinstance(made, Reply) else Reply(200, made)

    def identity(self) -> Mapping[str, str]:
        return {"x-goog-request-id": f"req-{uuid.uuid4().hex}"}
