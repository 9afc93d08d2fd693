"""Clients: the JavaScript client and its types, and those of Python, from the table of routes.

    python -m hammerflow.web.clients

writes them again; a test compares what is shipped with the table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hammerflow.web.openapi import describe
from hammerflow.web.routes import ROUTES
from hammerflow.web.routing import Nothing, Route
from hammerflow.web.typed_api import python_names, python_types

__all__ = ["API", "API_TYPES", "CLIENT", "TYPES", "javascript", "main", "types"]

_FOLDER = Path(__file__).with_name("static")
CLIENT, TYPES = _FOLDER / "hammerflow-client.js", _FOLDER / "hammerflow-client.d.ts"
API, API_TYPES = Path(__file__).with_name("api.py"), Path(__file__).with_name("api.pyi")
_TABLE = re.compile(r"(?<=const OPERATIONS = /\* table \*/ )\{.*?\n?\};", re.DOTALL)
_PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean",
          "null": "null"}  # fmt: skip


def javascript(text: str) -> str:
    """The client's text with the table of today."""
    rows = [f"  {route.name}: {json.dumps(_row(route))}," for route in _routes()]
    table = "\n".join(["{", *rows, "};"])
    return _TABLE.sub(lambda _: table, text)


def _routes() -> list[Route]:
    return [route for route in ROUTES if not route.is_stream]


def _row(route: Route) -> list[Any]:
    names = [] if route.query is Nothing else [*route.query.__struct_fields__]
    return [route.method, route.path, names, route.body is not None]


def types() -> str:
    """The types of TypeScript for the client."""
    document = describe(ROUTES, title="hammerflow", version="1")
    lines = ["// Made by python -m hammerflow.web.clients: change the table of routes instead.", ""]
    for name, schema in sorted(document["components"]["schemas"].items()):
        lines += [f"export type {_name(name)} = {_type(schema)};", ""]
    lines += [_HEAD, *_methods(document), "}", ""]
    return "\n".join(lines)


_HEAD = """\
export interface RequestOptions { key?: string; signal?: AbortSignal; headers?: object }
export class HammerflowError extends Error { status: number; title: string }
export class HammerflowClient {
  constructor(base?: string, options?: { token?: string; fetch?: typeof fetch });
  request(method: string, path: string, what?: object): Promise<any>;
  open(method: string, path: string, what?: object): Promise<Response>;
  all(operation: string, params?: object): AsyncGenerator<any>;
  events(params?: {
    after?: number; kinds?: string; queue?: string; task?: string; signal?: AbortSignal;
  }): AsyncGenerator<EventShown>;
  changes(params?: { signal?: AbortSignal }): AsyncGenerator<any>;
  logs(params: { job_id: string; attempt?: number; signal?: AbortSignal }): AsyncGenerator<{
    attempt: number; lease: number; missed: number; lines: Array<LogLineShown>;
  }>;"""


def _methods(document: Mapping[str, Any]) -> Iterator[str]:
    for route in _routes():
        operation = document["paths"][route.path][route.method.lower()]
        fields, needed = [], False
        for one in operation["parameters"]:
            needed = needed or one["required"]
            mark = "" if one["required"] else "?"
            fields.append(f"{one['name']}{mark}: {_type(one['schema'])}")
        parts = [f"{{ {'; '.join(fields)} }}"] if fields else []
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            name = schema["$ref"].rpartition("/")[2]
            parts.append(_name(name))
            needed = needed or bool(document["components"]["schemas"][name].get("required"))
        params = " & ".join(parts) or "{}"
        answer = operation["responses"][str(int(route.status))]["content"]
        shapes = [_type(one["schema"]) for one in answer.values()]
        result = " | ".join(dict.fromkeys(shapes))
        yield f"  /** {operation['summary']} */"
        yield (
            f"  {route.name}(params{'' if needed else '?'}: {params}, options?: RequestOptions): "
            f"Promise<{result}>;"
        )


def _name(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_")


def _type(schema: Any) -> str:
    """A JSON schema as a type."""
    if "$ref" in schema:
        return _name(schema["$ref"].rpartition("/")[2])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " | ".join(dict.fromkeys(_type(one) for one in schema[key]))
    if "enum" in schema:
        return " | ".join(json.dumps(one) for one in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        return f"Array<{_type(schema.get('items') or {})}>"
    if kind == "object":
        return _object(schema)
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": one}) for one in kind)
    return _PLAIN.get(kind, "any")


def _object(schema: Any) -> str:
    if "properties" not in schema:
        more = schema.get("additionalProperties")
        return f"Record<string, {_type(more) if isinstance(more, dict) else 'any'}>"
    required = {*schema.get("required", ())}
    parts = [
        f"{name}{'' if name in required else '?'}: {_type(one)}"
        for name, one in schema["properties"].items()
    ]
    return f"{{ {'; '.join(parts)} }}"


def main() -> None:
    """Write all files again."""
    CLIENT.write_text(javascript(CLIENT.read_text(encoding="utf-8")), encoding="utf-8")
    TYPES.write_text(types(), encoding="utf-8")
    API.write_text(python_names(API.read_text(encoding="utf-8")), encoding="utf-8")
    API_TYPES.write_text(python_types(), encoding="utf-8")


if __name__ == "__main__":
    main()
