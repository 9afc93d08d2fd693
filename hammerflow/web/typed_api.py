"""Typed API: the names and types of the Python client, made from the table of routes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hammerflow.web.openapi import describe
from hammerflow.web.routes import ROUTES
from hammerflow.web.routing import Route

__all__ = ["python_names", "python_types"]

_BLOCK = re.compile(r"(?<=_NAMES = \[\n).*?(?=\])", re.DOTALL)
_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_REF = "#/components/schemas/"
_HEAD = '''\
# Made by python -m hammerflow.web.clients: change the table of routes instead.
"""Api: the client whose methods are the operations of the REST API, with their types."""

from typing import Any, Literal, NotRequired, TypedDict

from hammerflow.web.client import Client as Client
from hammerflow.web.client import ClientError as ClientError

__all__ = ["Api", "ClientError"]
'''


def python_names(text: str) -> str:
    """The module's text with the names of today."""
    names = "".join(f'    "{route.handler.__name__}",\n' for route in _routes())
    return _BLOCK.sub(lambda _: names, text, count=1)


def _routes() -> list[Route]:
    return [route for route in ROUTES if not route.is_stream]


def python_types() -> str:
    """The types of the client, as a stub."""
    document = describe(ROUTES, title="hammerflow", version="1")
    schemas, given = document["components"]["schemas"], set[str]()
    for route in _routes():
        operation = document["paths"][route.path][route.method.lower()]
        given |= _reachable(operation.get("requestBody", {}), schemas)
    lines = [_HEAD]
    for name, schema in sorted(schemas.items()):
        lines += [*_class(name, schema, is_given=name in given), ""]
    lines += ["class Api(Client):"]
    for route in _routes():
        operation = document["paths"][route.path][route.method.lower()]
        lines += _method(route, operation, schemas)
    return "\n".join([*lines, ""])


def _reachable(part: Any, schemas: Mapping[str, Any]) -> set[str]:
    """The names of the schemas that a part of the document refers to."""
    found, left = set[str](), re.findall(_REF + r"([^\"]+)", json.dumps(part))
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += re.findall(_REF + r"([^\"]+)", json.dumps(schemas[name]))
    return found


def _class(name: str, schema: Any, *, is_given: bool) -> Iterator[str]:
    """A schema as a class; what a caller gives may leave out what has a default."""
    if "properties" not in schema:
        yield f"{_name(name)} = {_type(schema)}"
        return
    required = {*schema.get("required", ())}
    if not all(key.isidentifier() for key in schema["properties"]):
        yield f"{_name(name)} = dict[str, Any]"
        return
    yield f"class {_name(name)}(TypedDict):"
    for key, one in schema["properties"].items():
        kind = _type(one)
        may_lack = is_given and key not in required
        yield f"    {key}: {f'NotRequired[{kind}]' if may_lack else kind}"
    if not schema["properties"]:
        yield "    pass"


def _method(route: Route, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[str]:
    fields = {one["name"]: (one["schema"], one["required"]) for one in operation["parameters"]}
    if "requestBody" in operation:
        ref = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        body = schemas[ref.removeprefix(_REF)]
        required = {*body.get("required", ())}
        fields |= {name: (one, name in required) for name, one in body["properties"].items()}
    ordered = sorted(fields.items(), key=lambda field: not field[1][1])
    parts = [f"{name}: {_type(one)}{'' if must else ' = ...'}" for name, (one, must) in ordered]
    answers = operation["responses"][str(int(route.status))]["content"].values()
    result = " | ".join(dict.fromkeys(_type(one["schema"]) for one in answers))
    return [
        f"    def {route.handler.__name__}(",
        *(f"        {part}," for part in ["self", "*", *parts, "key: str | None = ..."]),
        f"    ) -> {result}:",
        f'        """{operation["summary"]}"""',
    ]


def _name(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_")


def _type(schema: Any) -> str:
    """A JSON schema as a type."""
    if "$ref" in schema:
        return _name(schema["$ref"].removeprefix(_REF))
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " | ".join(dict.fromkeys(_type(one) for one in schema[key]))
    if "enum" in schema:
        return f"Literal[{', '.join(json.dumps(one) for one in schema['enum'])}]"
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": one}) for one in kind)
    if kind == "array":
        return f"list[{_type(schema.get('items') or {})}]"
    if kind == "object":
        more = schema.get("additionalProperties")
        return f"dict[str, {_type(more) if isinstance(more, dict) else 'Any'}]"
    return _PLAIN.get(kind, "Any")
