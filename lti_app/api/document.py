"""The API's description, made from the table of calls: an OpenAPI 3.1 document, and the list in the reference."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any

from labkit import wire
from labkit.remote.calls import ROOT, TABLE, Call
from labkit.remote.problems import STATUS, TYPE

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string", "examples": sorted(kind.__name__ for kind in STATUS)},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "One sentence."},
        "faults": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "file": {"type": "string"},
                    "line": {"type": "integer"},
                    "text": {"type": "string"},
                },
            },
        },
    },
}


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    results = {call.name: call.result for call in TABLE if _is_json(call)}
    found, definitions = wire.schemas(results, {f"{call.name}.body": call.rest for call in TABLE})
    problem = {"description": "Refused, and why.", "content": {TYPE: {"schema": {"$ref": _ref("Problem")}}}}
    paths: dict[str, Any] = {}
    for call in TABLE:
        paths.setdefault(ROOT + call.path, {})[call.method.lower()] = _operation(call, found)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "labkit",
            "version": version("labkit"),
            "description": "Labs of real machines for learners. Who asks is told from the token alone.",
        },
        "servers": [{"url": ".."}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**definitions, "Problem": _PROBLEM},
            "responses": {"problem": problem},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def reference() -> str:
    """The calls as a table in Markdown."""
    lines = ["| call | arguments | answer | what it does |", "|---|---|---|---|"]
    for call in TABLE:
        names = ", ".join(
            f"`{name}`" + ("" if each.is_required() else "?") for name, each in call.rest.model_fields.items()
        )
        summary = " ".join(call.summary.split())
        lines.append(f"| `{call.method} {ROOT}{call.path}` | {names} | {_kind(call)} | {summary} |")
    return "\n".join(lines) + "\n"


def _operation(call: Call, found: dict[str, Any]) -> dict[str, Any]:
    ok: dict[str, Any] = {"description": "Done."}
    if _is_json(call):
        ok["content"] = {"application/json": {"schema": found[call.name]}}
    elif call.result is bytes:
        ok["content"] = {"application/octet-stream": {}}
    parameters = [_parameter(name, "path", {"type": "string"}, required=True) for name in call.in_path]
    body = found[f"{call.name}.body"]
    told: dict[str, Any] = {"operationId": call.name, "summary": call.summary.partition("\n")[0] or call.name}
    if not call.in_body:
        required = body.get("required", ())
        fields = body.get("properties", {}).items()
        parameters += [_parameter(name, "query", schema, required=name in required) for name, schema in fields]
    elif body.get("properties"):
        told["requestBody"] = {
            "required": bool(body.get("required")),
            "content": {"application/json": {"schema": body}},
        }
    responses = {"204" if call.result is type(None) else "200": ok}
    return {
        **told,
        "description": call.summary,
        "parameters": parameters,
        "responses": {**responses, "default": {"$ref": "#/components/responses/problem"}},
    }


def _parameter(name: str, place: str, schema: Any, *, required: bool) -> dict[str, Any]:
    return {"name": name, "in": place, "required": required, "schema": schema}


def _is_json(call: Call) -> bool:
    return call.result not in (bytes, type(None))


def _ref(name: str) -> str:
    return wire.REFERENCE.format(model=name)


def _kind(call: Call) -> str:
    """A result's type as a reader knows it."""
    if not _is_json(call):
        return "bytes" if call.result is bytes else "nothing"
    if hasattr(call.result, "__name__") and not hasattr(call.result, "__args__"):
        return str(call.result.__name__)
    return str(call.result).replace("labkit.model.", "").replace("typing.", "")


if __name__ == "__main__":
    print(reference(), end="")
