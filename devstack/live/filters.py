"""Row filters of a subscription: `status=eq.queued,attempts=not.lt.3` as conditions, and each condition as SQL.

Knows the syntax and PostgreSQL's operators; whether a column exists or a value fits is asked of the database elsewhere.
Source: supabase/realtime lib/extensions/postgres_cdc_rls/subscriptions.ex and realtime.check_equality_op.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS = {"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
PATTERNS = {"like": "~~", "ilike": "~~*", "match": "~", "imatch": "~*"}
OPERATORS = {*COMPARISONS, *PATTERNS, "in", "is", "isdistinct"}
KEYWORDS = {"null", "true", "false", "unknown"}


class FilterError(ValueError):
    """A filter that cannot be read; the text is the real server's."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition on one column; `value` of `in` is an array literal."""

    column: str
    operator: str
    value: str
    negated: bool

    def __str__(self) -> str:
        """Write it as the real server's error texts do."""
        quoted = ", ".join(quote(part) for part in (self.column, self.operator, self.value))
        return f"{{{quoted}, {str(self.negated).lower()}}}"

    def sql(self, column: str, type_sql: str, value: str) -> str:
        """A boolean expression over two text expressions; null when the value is null, as in PostgreSQL."""
        if self.operator == "isdistinct":
            return f"({column}::{type_sql} is {'not ' * self.negated}distinct from {value}::{type_sql})"
        if self.operator == "is":
            if self.value not in KEYWORDS:
                raise FilterError("invalid value for is filter: must be null, true, false, or unknown")
            # The driver needs a use for every parameter.
            return f"({column}::{type_sql} is {'not ' * self.negated}{self.value} and {value} is not null)"
        if self.operator == "in":
            condition = f"{column}::{type_sql} = any ({value}::{type_sql}[])"
        elif self.operator in PATTERNS:
            condition = f"{column}::{type_sql} {PATTERNS[self.operator]} {value}"
        else:
            condition = f"{column}::{type_sql} {COMPARISONS[self.operator]} {value}::{type_sql}"
        return f"(not ({condition}))" if self.negated else f"({condition})"


def parse_filters(text: str) -> tuple[Filter, ...]:
    """Read a comma-separated filter; blank text is no filter.

    Raises: FilterError.
    """
    return tuple(_parse(segment.strip()) for segment in _segments(text.strip())) if text.strip() else ()


def quote(text: str) -> str:
    """Text as the real server prints it in its messages."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _segments(text: str) -> Iterator[str]:
    """Split at commas outside parentheses and quotes; a quote opens only where a value can begin."""
    depth, quoted, start, at = 0, False, 0, 0
    while at < len(text):
        char = text[at]
        if quoted:
            at += char == "\\"
            quoted = char != '"'
        elif char == '"' and at > 0 and text[at - 1] in ".(,":
            quoted = True
        elif char in "()":
            depth = max(0, depth + (1 if char == "(" else -1))
        elif char == "," and depth == 0:
            yield text[start:at]
            start = at + 1
        at += 1
    yield text[start:]


def _parse(segment: str) -> Filter:
    if not segment:
        raise FilterError("filter must not contain empty segments (check for extra commas)")
    column, equals, rest = segment.partition("=")
    if not equals:
        raise FilterError(f"[{quote(segment)}]")
    negated = rest.startswith("not.")
    operator, dot, value = rest.removeprefix("not.").partition(".")
    if not dot:
        raise FilterError(f"[{quote(operator)}]")
    if operator not in OPERATORS:
        raise FilterError(f"[{quote(operator)}, {quote(value)}]")
    return Filter(column, operator, _array(value) if operator == "in" else _unquoted(value), negated)


def _array(value: str) -> str:
    if not (value.startswith("(") and value.endswith(")") and len(value) > 1):
        raise FilterError("`in` filter value must be wrapped by parentheses")
    return f"{{{value[1:-1]}}}"


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    plain, at = "", 1
    while at < len(value):
        if value[at] == '"':
            return plain if at == len(value) - 1 else value
        at += value[at] == "\\"
        plain += value[at : at + 1]
        at += 1
    return value
