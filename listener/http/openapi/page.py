"""The document as one page for people, without scripts and with nothing from elsewhere.

Knows HTML; everything that it says is the document's.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from importlib.resources import files
from typing import Any

from listener.http.openapi.words import line, models_in, paragraphs, type_of

STYLE = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
FIRST_REFUSAL = 400
OF_MODELS = "What this version takes and gives. Ignore fields of answers that you do not know: more may come."

Schema = Mapping[str, Any]


def page_of(document: Schema) -> str:
    """The page."""
    title = f"{document['info']['title']} {document['info']['version']}: HTTP API"
    head = f"<meta charset=utf-8><meta name=viewport content='width=device-width'><title>{escape(title)}</title>"
    body = f"<div class=frame><nav>{_contents(document)}</nav><main>{''.join(_main(document))}</main></div>"
    return f"<!doctype html><html lang=en><head>{head}<style>{STYLE}</style></head><body>{body}</body></html>"


def _operations(document: Schema, group: str) -> Iterator[tuple[str, str, Schema]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if group in operation["tags"]:
                yield method, path, operation


def _contents(document: Schema) -> str:
    parts = ["<a href='#about'><b>How to call it</b></a>"]
    for tag in document["tags"]:
        links = (_link(operation) for _, _, operation in _operations(document, tag["name"]))
        parts.append(f"<strong>{escape(tag['name'])}</strong><ul>{''.join(links)}</ul>")
    return "".join([*parts, "<strong>Models</strong><ul><li><a href='#models'>All models</a></ul>"])


def _link(operation: Schema) -> str:
    return f"<li><a href='#{operation['operationId']}'>{escape(operation['summary'])}</a>"


def _main(document: Schema) -> Iterator[str]:
    info = document["info"]
    yield f"<h1 id=about>{escape(info['title'])}: HTTP API</h1>"
    source = f"<a href='/openapi.json'>OpenAPI {document['openapi']}</a>"
    yield f"<p class=soft>Version {escape(info['version'])} · {source}</p>"
    yield paragraphs(info["description"])
    for tag in document["tags"]:
        yield f"<h2>{escape(tag['name'])}</h2>{paragraphs(tag['description'])}"
        for method, path, operation in _operations(document, tag["name"]):
            yield "".join(_operation(document, method, path, operation))
    yield f"<h2 id=models>Models</h2><p>{OF_MODELS}</p>"
    for name, schema in _told(document).items():
        yield f"<h3 id='{escape(name)}'>{escape(name)}</h3>{_model(schema)}"


def _operation(document: Schema, method: str, path: str, operation: Schema) -> Iterator[str]:
    verb = f"<span class='verb {method}'>{method.upper()}</span>"
    yield f"<section><h3 id='{operation['operationId']}'>{escape(operation['summary'])}</h3>"
    yield f"<p class=path>{verb}<code>{escape(path)}</code></p>{paragraphs(operation['description'])}"
    yield f"<p class=facts>{_credential(document, operation)}</p>"
    for sample in operation.get("x-codeSamples", []):
        yield f"<pre>{escape(sample['source'])}</pre>"
    if operation["parameters"]:
        rows = (
            (one["name"], f"{one['in']}: {type_of(one['schema'])}", one["description"])
            for one in operation["parameters"]
        )
        yield f"<h4>Parameters</h4>{_table(('Name', 'Where and what', ''), rows)}"
    if "requestBody" in operation:
        yield f"<h4>Body</h4>{_body(document, operation['requestBody'])}"
    yield "<h4>Answers</h4>"
    for status, answer in operation["responses"].items():
        yield _answer(status, answer)
    yield "</section>"


def _credential(document: Schema, operation: Schema) -> str:
    schemes = document["components"]["securitySchemes"]
    told = [line(schemes[name]["description"]) for one in operation["security"] for name in one]
    return f"<code>Authorization: Bearer</code> {' Or: '.join(told)}" if told else "No credential."


def _body(document: Schema, body: Schema) -> str:
    parts = []
    for content_type, content in body["content"].items():
        parts.append(f"<p><code>{content_type}</code>: {type_of(content['schema'])}. {line(body['description'])}</p>")
        names = list(dict.fromkeys(models_in(content["schema"])))
        parts += [_model(document["components"]["schemas"][name]) for name in names[:1]]
    return "".join(parts)


def _answer(status: str, answer: Schema) -> str:
    words, _, codes = answer["description"].partition("- `")
    content = "".join(f": {_content(kind, one)}" for kind, one in answer.get("content", {}).items())
    if int(status) < FIRST_REFUSAL:
        shown = f"<summary><b>{status}</b> {line(words)}</summary><p>{content[2:]}</p>{_example(answer)}"
        return f"<details>{shown}</details>"
    told = paragraphs(f"- `{codes}") if codes else ""
    names = " ".join(f"<code>{escape(one)}</code>" for one in _codes(answer))
    return f"<details><summary><b class=bad>{status}</b> {line(words)}{names}</summary>{told}</details>"


def _example(answer: Schema) -> str:
    examples = [one["example"] for one in answer.get("content", {}).values() if "example" in one]
    return "".join(f"<pre>{escape(json.dumps(one, indent=2, ensure_ascii=False))}</pre>" for one in examples)


def _codes(answer: Schema) -> list[str]:
    found = [schema for content in answer.get("content", {}).values() for schema in _refusing(content["schema"])]
    return [
        code for schema in found for code in schema["allOf"][1]["properties"]["error"]["properties"]["code"]["enum"]
    ]


def _refusing(schema: Schema) -> list[Schema]:
    return [one for one in [schema, *schema.get("anyOf", [])] if "allOf" in one]


def _content(kind: str, content: Schema) -> str:
    return f"<code>{kind}</code>, {type_of(content['schema'])}"


def _told(document: Schema) -> dict[str, Schema]:
    """The models that somebody is sent to."""
    schemas: dict[str, Schema] = document["components"]["schemas"]
    named = set(models_in(document["paths"])) | set(models_in(schemas))
    return {name: schema for name, schema in schemas.items() if name in named}


def _model(schema: Schema) -> str:
    words = paragraphs(schema.get("description", ""))
    required = schema.get("required", [])
    fields = sorted(schema.get("properties", {}).items(), key=lambda field: field[0] not in required)
    rows = ((name, type_of(one) + _may(name in required, one), one.get("description", "")) for name, one in fields)
    return words + (_table(("Field", "Type", ""), rows) if "properties" in schema else f"<p>{type_of(schema)}</p>")


def _may(is_required: bool, schema: Schema) -> str:
    if "default" in schema:
        return f" <span class=soft>else <code>{escape(json.dumps(schema['default']))}</code></span>"
    return "" if is_required else " <span class=soft>optional</span>"


def _table(names: tuple[str, ...], rows: Iterable[tuple[str, str, str]]) -> str:
    """Of a name, HTML, and Markdown."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{html}</td><td>{line(words)}</td></tr>"
        for name, html, words in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
