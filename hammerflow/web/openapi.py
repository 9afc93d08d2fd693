"""OpenAPI 3.1: the description of the API, made from the table of routes."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import msgspec

from hammerflow.web.problems import PROBLEM_TYPE, WebProblem
from hammerflow.web.routing import Nothing, Route

__all__ = ["describe", "path_schema"]

_REF = "#/components/schemas/{name}"
_IDS = {"type": "string", "pattern": "^[0-9a-fA-F-]{4,36}$"}
_NAMES = {"type": "string", "minLength": 1, "maxLength": 255}
#: Answers that any route may give, and those of routes that take something.
_ALWAYS = {
    "401": "Nobody is logged in, or the token is not valid.",
    "403": "The role does not allow it.",
    "429": "Too many attempts to log in, or too many streams: see Retry-After.",
    "503": "The database cannot be reached or did not do it now.",
}
_WITH_BODY = {
    "400": "The body is not JSON.", "408": "The body took too long.",
    "413": "The body is too large.", "415": "The body is not application/json.",
}  # fmt: skip


def describe(routes: Sequence[Route], *, title: str, version: str) -> dict[str, Any]:
    """The document of these routes."""
    types: list[Any] = [WebProblem]
    types += [route.result for route in routes]
    types += [route.body for route in routes if route.body is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    results = iter(schemas[1 : 1 + len(routes)])
    bodies = iter(schemas[1 + len(routes) :])
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        body = None if route.body is None else next(bodies)
        operation = _operation(route, next(results), body)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(route: Route, result: Any, body: Any) -> dict[str, Any]:
    summary, _, more = inspect.cleandoc(route.handler.__doc__ or "").partition("\n")
    content = {"application/json": {"schema": result}}
    if route.text is not None:
        written = {"schema": {"type": "string"}}
        content = {} if route.is_stream else content
        content[route.text] = written
    answers: dict[str, Any] = {
        str(int(route.status)): {"description": "It went well.", "content": content}
    }
    known = {**_ALWAYS, "422": "A value is wrong; the detail names it."}
    if route.parameters:
        known["404"] = "There is no such thing."
    if route.is_change:
        known["409"] = "It does not fit the state of the thing."
        known["404"] = "There is no such thing."
    if body is not None:
        known |= _WITH_BODY
    for status, text in sorted(known.items()):
        answers[status] = {"description": text, "content": {PROBLEM_TYPE: {"schema": _problem()}}}
    if not route.is_change:
        answers["304"] = {"description": "It has not changed since the ETag was given."}
    found: dict[str, Any] = {
        "operationId": route.name,
        "summary": summary,
        "description": more.strip(),
        "tags": [route.tag],
        "x-role": route.role.label,
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": answers,
    }
    if body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return found


def _problem() -> dict[str, str]:
    return {"$ref": _REF.format(name="WebProblem")}


def path_schema(name: str) -> dict[str, Any]:
    """What a parameter of a path may be: an id or its beginning, else a name."""
    return _IDS if name == "id" or name.endswith("_id") else _NAMES


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": path_schema(name)}
        for name in route.parameters
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is Nothing:
        return []
    _, components = msgspec.json.schema_components([route.query], ref_template=_REF)
    schema = components[route.query.__name__]
    required = set(schema.get("required", ()))
    found = []
    for name, part in schema["properties"].items():
        one = _inlined(part, components)
        description = one.pop("description", "")
        found.append(
            {"name": name, "in": "query", "required": name in required,
             "description": description, "schema": one}
        )  # fmt: skip
    return found


def _inlined(schema: Any, components: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema without references, and without null, which a query cannot say."""
    found = dict(schema)
    if "$ref" in found:
        return dict(components[found["$ref"].rpartition("/")[2]])
    if "anyOf" in found:
        parts = [part for part in found.pop("anyOf") if part != {"type": "null"}]
        inner = _inlined(parts[0], components) if len(parts) == 1 else {"anyOf": parts}
        found = {**inner, **found}
    if found.get("default", 0) is None:
        del found["default"]
    return found
