"""Makes openapi.json, the part of OpenAI's published document that these tests are held against:

    python tests/backends/openai/extract_openapi.py path/to/openai-openapi/openapi.json COMMIT

From https://github.com/openai/openai-openapi (MIT, see openapi.LICENSE). Descriptions, examples and extensions are left out.
The document says 3.1 but still writes `nullable` and a boolean `exclusiveMinimum`, as 3.0 did: both become JSON Schema.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOMS = ("/files", "/uploads", "/fine_tuning/jobs", "/models", "/chat/completions")
ONLY = {"/chat/completions": {"post"}}
DROPPED = {"description", "example", "examples", "summary", "tags", "deprecated", "title", "externalDocs"}


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {
        key: {name: plain(item) for name, item in inner.items()} if key == "properties" else plain(inner)
        for key, inner in value.items()
        if key == "properties" or (key not in DROPPED and not key.startswith("x-"))
    }
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if made.get(exclusive) is True:
            made[exclusive] = made.pop(bound)
        elif made.get(exclusive) is False:
            del made[exclusive]
    return {"anyOf": [made, {"type": "null"}]} if made.pop("nullable", False) else made


def names(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(names, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    found = {value["$ref"].rpartition("/")[2]} if isinstance(value.get("$ref"), str) else set()
    return found.union(*map(names, value.values()))


def main(source: str, commit: str) -> None:
    document = json.loads(Path(source).read_text(encoding="utf-8"))
    paths = {
        path: {
            method: {
                "parameters": plain(operation.get("parameters", [])),
                "requestBody": plain(operation.get("requestBody", {})),
                "responses": {"200": plain(operation["responses"]["200"])},
            }
            for method, operation in item.items()
            if method in ONLY.get(path, {"get", "post", "delete"})
        }
        for path, item in document["paths"].items()
        if path.startswith(ROOMS) and (path in ONLY or not path.startswith("/chat"))
    }
    schemas: dict[str, Any] = {}
    wanted = names(paths) | {"ErrorResponse"}
    while wanted:
        name = wanted.pop()
        schemas[name] = plain(document["components"]["schemas"][name])
        wanted |= names(schemas[name]) - schemas.keys()
    made = {
        "openapi": document["openapi"],
        "info": {
            "title": "OpenAI API (in parts)",
            "version": document["info"]["version"],
            "license": {"name": "MIT"},
            "x-source": "https://github.com/openai/openai-openapi",
            "x-commit": commit,
        },
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items()))},
    }
    text = json.dumps(made, indent=1, sort_keys=False, ensure_ascii=False)
    Path(__file__).with_name("openapi.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
