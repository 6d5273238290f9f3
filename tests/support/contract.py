"""The API's own document as a judge of its answers: an answer that it does not describe fails a test."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs

Schema = Mapping[str, Any]


@dataclass
class Contract:
    """A document, and what it says of answers."""

    document: Schema = field(repr=False)

    def operations(self) -> list[tuple[str, str, Schema]]:
        """Method, path and operation of each."""
        paths = self.document["paths"].items()
        return [(method, path, operation) for path, item in paths for method, operation in item.items()]

    def operation(self, method: str, path: str) -> Schema | None:
        """The operation that a request is of; a path without braces goes first."""
        for template in sorted(self.document["paths"], key=lambda one: one.count("{")):
            item: Schema = self.document["paths"][template]
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in item:
                found: Schema = item[method.lower()]
                return found
        return None

    def require(self, method: str, path: str, status: int, headers: Mapping[str, str], body: Any) -> None:
        """Fail unless the document describes this answer. `body` is JSON's value, or text of another type."""
        operation = self.operation(method, path)
        assert operation is not None, f"{method} {path} is not documented"
        assert str(status) in operation["responses"], f"{method} {path} answered {status}: {body}"
        answer = operation["responses"][str(status)]
        kind = headers["Content-Type"].partition(";")[0]
        assert kind in answer["content"], f"{method} {path} answered {kind}"
        assert "X-Request-Id" in headers
        schema = {**answer["content"][kind]["schema"], "components": self.document["components"]}
        validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        errors = [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(body)]
        assert not errors, f"{method} {path} answered {status} {body}: {errors}"
