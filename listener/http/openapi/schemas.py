"""Pydantic's models as the document's components. Knows pydantic's generator; does not know operations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, NoDefault
from pydantic_core import core_schema

TEMPLATE = "#/components/schemas/{model}"
MODE: JsonSchemaMode = "validation"
"""For answers too: what has a default may be absent."""


class Schemas:
    """The schemas of types, each once."""

    def __init__(self, types: Iterable[Any]) -> None:
        wanted = {repr(one): TypeAdapter(one) for one in types}
        found, shared = TypeAdapter.json_schemas(
            [(name, MODE, adapter) for name, adapter in wanted.items()],
            ref_template=TEMPLATE,
            schema_generator=_Generator,
        )
        self._found = {name: schema for (name, _), schema in found.items()}
        self.components: dict[str, JsonSchemaValue] = shared.get("$defs", {})

    def of(self, one: object) -> JsonSchemaValue:
        """The schema of a type; of a model, a reference to it."""
        return self._found[repr(one)]


class _Generator(GenerateJsonSchema):
    """Without the titles that pydantic makes of field names, which tell nobody anything."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        """A default of null says no more than that the field may be left out."""
        default = super().get_default_value(schema)
        return NoDefault if default is None else default
