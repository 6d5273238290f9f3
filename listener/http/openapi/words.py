"""Markdown and schemas as HTML: paragraphs, lists, code, emphasis, links; types in words. Everything is escaped.

Knows the few forms that the document uses; anything else comes out as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any

REF = "#/components/schemas/"
_LINK = re.compile(r"\[([^\]]+)\]\((https://[^)\s]+)\)")
_STRONG = re.compile(r"\*\*(.+?)\*\*")
_CODE = re.compile(r"`([^`]+)`")

Schema = Mapping[str, Any]


def paragraphs(markdown: str) -> str:
    """Blocks, with blank lines between them."""
    return "\n".join(_block(block) for block in re.split(r"\n\s*\n", markdown.strip()) if block)


def line(markdown: str) -> str:
    """What stands in one paragraph."""
    pieces = _CODE.split(markdown)
    return "".join(
        f"<code>{escape(piece)}</code>" if number % 2 else _emphasis(piece) for number, piece in enumerate(pieces)
    )


def type_of(schema: Schema) -> str:
    """A type in words, models as links."""
    if (name := model_of(schema)) is not None:
        return f'<a href="#{escape(name)}">{escape(name)}</a>'
    if several := schema.get("anyOf", schema.get("oneOf")):
        return " or ".join(type_of(one) for one in several)
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"<code>{escape(str(value))}</code>" for value in values)
    if schema.get("type") == "array":
        return f"list of {_many(type_of(schema.get('items', {})))}{_bounds(schema, 'minItems', 'maxItems')}"
    if schema.get("type") == "object":
        return "object"
    return _simple(schema)


def model_of(schema: Schema) -> str | None:
    """The name of the model that a schema refers to."""
    reference = schema.get("$ref")
    return reference.removeprefix(REF) if isinstance(reference, str) else None


def models_in(schema: Any) -> list[str]:
    """Every model that a schema names, each as often as it does."""
    if isinstance(schema, Mapping):
        own = [name] if (name := model_of(schema)) is not None else []
        return own + [name for value in schema.values() for name in models_in(value)]
    return [name for value in schema for name in models_in(value)] if isinstance(schema, list) else []


def _simple(schema: Schema) -> str:
    if not (kind := schema.get("type")):
        return "anything"
    form = f" ({escape(schema['format'])})" if "format" in schema else ""
    bounds = _bounds(schema, "minLength", "maxLength", " characters") or _bounds(schema, "minimum", "maximum")
    pattern = f", <code>{escape(schema['pattern'])}</code>" if "pattern" in schema else ""
    return f"{escape(str(kind))}{form}{bounds}{pattern}"


def _bounds(schema: Schema, least: str, most: str, unit: str = "") -> str:
    if least in schema and most in schema:
        return f", {schema[least]} to {schema[most]}{unit}"
    if most in schema:
        return f", at most {schema[most]}{unit}"
    return f", at least {schema[least]}{unit}" if least in schema else ""


def _many(words: str) -> str:
    return f"({words})" if " or " in words else words


def _block(block: str) -> str:
    lines = block.splitlines()
    if all(one.startswith("- ") for one in lines):
        return f"<ul>{''.join(f'<li>{line(one[2:])}</li>' for one in lines)}</ul>"
    return f"<p>{line(' '.join(lines))}</p>"


def _emphasis(text: str) -> str:
    text = _STRONG.sub(r"<strong>\1</strong>", escape(text, quote=False))
    return _LINK.sub(r'<a href="\2">\1</a>', text)
