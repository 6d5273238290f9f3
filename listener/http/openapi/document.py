"""The OpenAPI document of a worker: every operation that its routes were described as.

Knows OpenAPI 3.1; does not know what an endpoint does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from listener import __version__
from listener.http.openapi.guide import ABOUT, GROUPS
from listener.http.openapi.headers import OF_A_KEY, OF_A_REFUSAL, OF_EVERY_ANSWER, shown_headers
from listener.http.openapi.operation import JSON, Described, Gives, Parameter, Takes, Who, description_of
from listener.http.openapi.schemas import Schemas
from listener.http.openapi.shapes import ErrorAnswer
from listener.http.openapi.snippets import as_examples, curl_of

KIB, MIB = 2**10, 2**20
DIALECT = "https://json-schema.org/draft/2020-12/schema"
OF_A_BODY = ("REQUEST_TIMEOUT", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE")
OF_ALL = ("BAD_REQUEST", "INTERNAL_ERROR")
OF_ASKING = ("TEMPORARILY_UNAVAILABLE", "TIMEOUT")
OF_WHO = {
    Who.STORE: ("API_KEY_MISSING", "API_KEY_INVALID", "RATE_LIMITED"),
    Who.USER: ("TOKEN_MISSING", "TOKEN_EXPIRED", "TOKEN_INVALID"),
    Who.OPERATOR: ("API_KEY_MISSING", "API_KEY_INVALID"),
}
SCHEMES = {
    Who.STORE: ("lsk_...", "A store's API key, from `listener keys create`."),
    Who.USER: ("JWT", "The access token that Supabase Auth gave a user of the app."),
    Who.OPERATOR: ("", "The worker's own `API_KEY`. A worker without one asks nobody for it."),
}


@dataclass(frozen=True, slots=True)
class Served:
    """One operation and where it is: a path with names in braces."""

    method: str
    path: str
    operation: Described


def served_by(routes: Iterable[web.AbstractRouteDef]) -> list[Served]:
    """What routes were described as. Raises: ValueError for one that was not."""
    found = []
    for route in routes:
        if not isinstance(route, web.RouteDef) or (operation := description_of(route.handler)) is None:
            raise ValueError(f"a route without a description: {route}")
        found.append(Served(route.method.lower(), route.path, operation))
    return found


def refusals_of(operation: Described) -> dict[int, list[str]]:
    """Every code that it may refuse with, by status."""
    codes = [*OF_ALL, *operation.refuses, *operation.own_refusals]
    for who in operation.who:
        codes += OF_WHO[who]
    if operation.takes is not None:
        codes += [*OF_A_BODY, *operation.takes.refuses]
    if operation.asks:
        codes += OF_ASKING
    found: dict[int, list[str]] = {}
    for code in sorted(set(codes)):
        found.setdefault(operation.refusal(code).status, []).append(code)
    return dict(sorted(found.items()))


def document_of(served: Sequence[Served]) -> dict[str, Any]:
    """The whole document."""
    schemas = Schemas(_types(served))
    paths: dict[str, dict[str, Any]] = {}
    for one in served:
        paths.setdefault(one.path, {})[one.method] = _operation(one, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Listener", "version": __version__, "description": ABOUT, "license": {"name": "Apache-2.0"}},
        "jsonSchemaDialect": DIALECT,
        "tags": [{"name": name, "description": words} for name, words in GROUPS.items() if _has(served, name)],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "headers": shown_headers(),
            "securitySchemes": {who.value: _scheme(*SCHEMES[who]) for who in Who},
        },
    }


def _types(served: Sequence[Served]) -> list[Any]:
    types: list[Any] = [ErrorAnswer]
    for one in served:
        if one.operation.takes is not None:
            types.append(one.operation.takes.model)
        types += [gives.model for gives in one.operation.gives.values() if gives.model is not None]
    return types


def _operation(one: Served, schemas: Schemas) -> dict[str, Any]:
    operation = one.operation
    answers = {str(status): _gives(gives, operation, schemas) for status, gives in operation.gives.items()}
    for status, codes in refusals_of(operation).items():
        answers[str(status)] = _refusals(status, codes, operation, schemas, answers.get(str(status)))
    shown: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.group],
        "summary": operation.summary,
        "description": operation.words,
        "parameters": [_parameter(parameter) for parameter in operation.parameters],
        "responses": dict(sorted(answers.items())),
        "security": [{who.value: []} for who in operation.who],
    }
    if operation.takes is None or operation.takes.example is not None:
        source = curl_of(one.method, one.path, operation)
        shown["x-codeSamples"] = [{"lang": "Shell", "label": "curl", "source": source}]
    if operation.takes is not None:
        shown["requestBody"] = _takes(operation.takes, schemas)
    return shown


def _takes(takes: Takes, schemas: Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schemas.of(takes.model)}
    if takes.example is not None and takes.content_type == JSON:  # of a form, what curl is given says nothing
        content["example"] = as_examples(takes.example)
    words = f"At most {_size(takes.limit_bytes)}, not encoded."
    return {"required": True, "description": words, "content": {takes.content_type: content}}


def _size(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.4g} MiB" if size_bytes >= MIB else f"{size_bytes / KIB:.4g} KiB"


def _gives(gives: Gives, operation: Described, schemas: Schemas) -> dict[str, Any]:
    shown: dict[str, Any] = {"description": gives.words, "headers": _headers(gives.headers, operation)}
    if gives.model is not None:
        content: dict[str, Any] = {"schema": schemas.of(gives.model)}
        if gives.example is not None:
            content["example"] = as_examples(gives.example)
        shown["content"] = {gives.content_type: content}
    return shown


def _refusals(
    status: int, codes: Sequence[str], operation: Described, schemas: Schemas, beside: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What is refused with a status. `beside` is an answer of the same status that is no refusal."""
    only = {"properties": {"error": {"properties": {"code": {"enum": list(codes)}}}}}
    schema: dict[str, Any] = {"allOf": [schemas.of(ErrorAnswer), only]}
    words = "\n".join(f"- `{code}`: {operation.refusal(code).means}" for code in codes)
    if beside is not None:
        schema = {"anyOf": [beside["content"][JSON]["schema"], schema]}
        words = f"{beside['description']}\n\n{words}"
    names = OF_A_REFUSAL.get(status, ("Retry-After",) if status == HTTPStatus.SERVICE_UNAVAILABLE else ())
    return {"description": words, "headers": _headers(names, operation), "content": {JSON: {"schema": schema}}}


def _headers(names: Sequence[str], operation: Described) -> dict[str, Any]:
    of_a_key = OF_A_KEY if Who.STORE in operation.who else ()
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*OF_EVERY_ANSWER, *of_a_key, *names)}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    shown = {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.words,
        "schema": dict(parameter.schema),
    }
    return shown if parameter.example is None else {**shown, "example": as_examples(parameter.example)}


def _scheme(form: str, words: str) -> dict[str, Any]:
    shown = {"type": "http", "scheme": "bearer", "description": words}
    return {**shown, "bearerFormat": form} if form else shown


def _has(served: Sequence[Served], group: str) -> bool:
    return any(one.operation.group == group for one in served)
