# ruff: noqa: E501 - a table reads better in one line a row
"""Calls, their arguments, the declared schemas, and how results belong to calls.

The rows of the tools set go round in four: 41 calls once (`find_order`), 42 twice at once (`stock_level`), 43 one after another
(`find_order`, `book_pickup`), 44 once (`search_products`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.corpus.plant import DELETE, edit

_CALL = "messages[2].tool_calls[0]"
_ARGUMENTS = f"{_CALL}.function.arguments"


def arguments(
    name: str,
    code: str,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    *says: str,
    row: int = 41,
    where: str = _ARGUMENTS,
) -> None:
    edit(name, code, where, lambda old: json.dumps(change(json.loads(old))), of="tools", row=row, says=says)


edit("call-without-name", "tools.function", f"{_CALL}.function.name", DELETE, of="tools",
     path=[f"{_CALL}.function", f"{_CALL}.function.name"])  # fmt: skip
edit(
    "call-without-function",
    "tools.function",
    f"{_CALL}.function",
    DELETE,
    of="tools",
    path=[f"{_CALL}.function", _CALL],
)
edit("call-without-arguments", "tools.function", _ARGUMENTS, DELETE, of="tools", path=[f"{_CALL}.function", _ARGUMENTS])
edit("arguments-cut", "tools.arguments", _ARGUMENTS, '{"order": "KX-4', of="tools", says="KX-4")
edit("arguments-single-quotes", "tools.arguments", _ARGUMENTS, "{'order': 'KX-40117'}", of="tools", says="KX-40117")
edit("arguments-list", "tools.arguments", _ARGUMENTS, '["KX-40117"]', of="tools", says="KX-40117|list|array")
edit("arguments-nan", "tools.arguments", _ARGUMENTS, '{"order": NaN}', of="tools", says="NaN")
edit("arguments-empty", "tools.arguments", _ARGUMENTS, "", of="tools")
arguments("schema-missing", "tools.arguments-schema", lambda a: {}, "order")
arguments("schema-additional", "tools.arguments-schema", lambda a: a | {"orders": 2}, "orders")
arguments("schema-pattern", "tools.arguments-schema", lambda a: {"order": "17"}, "17")
arguments("schema-enum", "tools.arguments-schema", lambda a: a | {"sort": "cheapest"}, "cheapest", row=44)
arguments("schema-minimum", "tools.arguments-schema", lambda a: a | {"max_price": 0}, "max_price|0", row=44)
arguments("schema-text-for-number", "tools.arguments-schema", lambda a: a | {"max_price": "90"}, "90", row=44)
arguments("schema-nested", "tools.arguments-schema", lambda a: a | {"address": a["address"] | {"floor": "third"}}, "floor", "third", row=43,
          where="messages[4].tool_calls[0].function.arguments")  # fmt: skip
arguments("schema-array-item", "tools.arguments-schema", lambda a: a | {"parcels": [2, 0]}, "parcels", row=43,
          where="messages[4].tool_calls[0].function.arguments")  # fmt: skip
arguments("schema-second-call", "tools.arguments-schema", lambda a: {"product": a["product"]}, "city", row=42,
          where="messages[2].tool_calls[1].function.arguments")  # fmt: skip
edit("undeclared", "tools.undeclared", f"{_CALL}.function.name", "cancel_order", of="tools", says="cancel_order",
     path=[f"{_CALL}.function.name", f"{_CALL}.function"])  # fmt: skip
edit("undeclared-by-case", "tools.undeclared", f"{_CALL}.function.name", "Find_Order", of="tools", says="Find_Order",
     path=[f"{_CALL}.function.name", f"{_CALL}.function"])  # fmt: skip
edit(
    "no-tools-declared",
    "tools.undeclared",
    "tools",
    DELETE,
    of="tools",
    says="find_order",
    path=[f"{_CALL}.function.name", f"{_CALL}.function", "tools"],
)
_SCHEMA = "tools[1].function.parameters"
_INVALID: dict[str, Any] = {"also": ["tools.arguments-schema"], "of": "tools"}
edit("schema-unknown-type", "tools.schema", f"{_SCHEMA}.properties.query.type", "strnig", says="strnig",
     path=[f"{_SCHEMA}.properties.query.type", f"{_SCHEMA}.properties.query", _SCHEMA], **_INVALID)  # fmt: skip
edit(
    "schema-required-text",
    "tools.schema",
    f"{_SCHEMA}.required",
    "query",
    says="query|required",
    path=[f"{_SCHEMA}.required", _SCHEMA],
    **_INVALID,
)
edit("schema-is-text", "tools.schema", _SCHEMA, "object", says="object", **_INVALID)
edit("schema-bad-pattern", "tools.schema", "tools[0].function.parameters.properties.order.pattern", "([A-Z", says=r"\(\[A-Z",
     path=["tools[0].function.parameters.properties.order.pattern", "tools[0].function.parameters"], **_INVALID)  # fmt: skip
_NAMED: dict[str, Any] = {"of": "tools", "also": ["tools.undeclared"]}
edit("name-with-blank", "tools.name", "tools[3].function.name", "stock level", says="stock level", **_NAMED)
edit(
    "name-too-long",
    "tools.name",
    "tools[3].function.name",
    "look_into_the_stock_of_every_shop_in_the_country_and_count_each_product",
    says="64",
    **_NAMED,
)
edit("name-missing",
    "structure.tools", "tools[3].function.name", DELETE, path=["tools[3].function.name", "tools[3].function"],
     of="tools", also=["tools.undeclared", "structure.tools"])  # fmt: skip
edit("tool-twice", "tools.duplicate", "tools[4]", {"type": "function", "function": {"name": "find_order", "parameters": {"type": "object"}}},
     of="tools", says="find_order", path=["tools[4]", "tools[4].function.name", "tools[4].function"])  # fmt: skip
_ID = [f"{_CALL}.id", _CALL]
edit(
    "call-id-missing", "tools.call-id", f"{_CALL}.id", DELETE, of="tools", path=_ID, also=["tools.result-without-call"]
)
edit("call-id-twice", "tools.call-id", "messages[2].tool_calls", lambda old: [old[0], old[1] | {"id": old[0]["id"]}], of="tools", row=42,
     says="call_", path=["messages[2].tool_calls[1].id", "messages[2].tool_calls[1]"], also=["tools.result-without-call"])  # fmt: skip
edit("unanswered-second-call", "tools.unanswered", "messages[4]", DELETE, of="tools", row=42, says="call_",
     path=["messages[2].tool_calls[1]", "messages[2].tool_calls[1].id"])  # fmt: skip
edit("unanswered-call", "tools.unanswered", "messages[3]", DELETE, of="tools", says="call_|find_order", path=[_CALL, f"{_CALL}.id"],
     also=["structure.role-order"])  # fmt: skip
edit("result-of-no-call", "tools.result-without-call", "messages[3].tool_call_id", "call_zzz", of="tools", says="call_zzz",
     path=["messages[3].tool_call_id", "messages[3]"], also=["tools.unanswered"])  # fmt: skip
edit("result-without-id",
    "tools.call-id", "messages[3].tool_call_id", DELETE, of="tools",
     path=["messages[3].tool_call_id", "messages[3]"], also=["tools.unanswered"])  # fmt: skip
edit("result-of-removed-call", "tools.result-without-call", "messages[2]", DELETE, of="tools", says="call_",
     path=["messages[2].tool_call_id", "messages[2]"], also=["structure.role-order"])  # fmt: skip
edit("two-calls-though-not-parallel", "tools.parallel", "parallel_tool_calls", False, of="tools", row=42, says="parallel_tool_calls",
     path=["parallel_tool_calls", "messages[2].tool_calls", "messages[2]", "messages[2].tool_calls[1]"])  # fmt: skip
