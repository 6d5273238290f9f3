"""Decides whether a binding can be subscribed to, asking the database as the real server's trigger does.

Knows publications, roles, columns and values; not sockets or channels. A refusal carries the real server's text.
Source: realtime.subscription_check_filters; the exception's form is recorded.
"""

from __future__ import annotations

import re

import asyncpg

from devstack.changes.capture import DATABASE_GONE, PUBLICATION, Connection
from devstack.live.bindings import Binding, BindingError
from devstack.live.filters import KEYWORDS, Filter
from devstack.live.tables import Column, Table, load_tables

MOST_IN_VALUES = 100
PATTERN_OPERATORS = {"like": "~~", "ilike": "~~", "match": "~", "imatch": "~*"}

PUBLISHED = """
select c.oid::bigint, has_schema_privilege($3, n.oid, 'usage') as usable
from pg_publication_tables p
join pg_namespace n on n.nspname = p.schemaname
join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename
where p.pubname = $4 and p.schemaname like $1 escape '' and p.tablename like $2 escape ''
"""
# Who may be a subscriber's role is who may be a request's role; a superuser's name in a token opens nothing.
MAY_BE = "select pg_has_role('authenticator', $1::name, 'member')"
HAS_OPERATOR = """
select exists (
  select from pg_operator
  where oprname = $1 and oprleft = $2::regtype and oprresult = 'boolean'::regtype and (not $3 or oprright = oprleft)
)
"""


class _RefusedError(Exception):
    """What the real server's trigger raises."""


async def admit(connection: Connection, role: str, binding: Binding) -> tuple[int, ...]:
    """Check a binding for a role; the tables that it watches, by oid.

    Raises: BindingError with the text for the client; DATABASE_GONE.
    """
    prefix = "Unable to subscribe to changes with given parameters."
    try:
        oids = await _check(connection, role, binding)
    except _RefusedError as error:
        reason = f"ERROR P0001 (raise_exception) {error}"
    except DATABASE_GONE:
        raise
    except asyncpg.PostgresError as error:
        reason = f"ERROR {error.sqlstate} ({_condition(error)}) {error.args[0]}"
    else:
        if oids:
            return oids
        raise BindingError(f"{prefix} Please check Realtime is enabled for the given connect parameters: {binding}")
    parameters = f"An exception happened so please check your connect parameters: {binding}"
    raise BindingError(f"{prefix} {parameters}. Exception: {reason}")


async def _check(connection: Connection, role: str, binding: Binding) -> tuple[int, ...]:
    if not await connection.fetchval(MAY_BE, role):
        raise asyncpg.InsufficientPrivilegeError(f'permission denied to set role "{role}"')
    schema, table = ("%" if part == "*" else part for part in (binding.schema, binding.table))
    rows = await connection.fetch(PUBLISHED, schema, table, role, PUBLICATION)
    if binding.schema == "*":
        rows = [row for row in rows if row["usable"]]
    elif not all(row["usable"] for row in rows):
        # The real server falls silent for every subscriber here; this one refuses the one who asks.
        raise asyncpg.InsufficientPrivilegeError(f"permission denied for schema {binding.schema}")
    for watched in (await load_tables(connection, [row["oid"] for row in rows], [role])).values():
        await _check_columns(connection, role, binding, watched)
    return tuple(row["oid"] for row in rows)


async def _check_columns(connection: Connection, role: str, binding: Binding, table: Table) -> None:
    readable = {column.name: column for column in table.readable(role)}
    for each in binding.filters:
        if each.column not in readable:
            raise _RefusedError(f"invalid column for filter {each.column}")
        await _check_value(connection, each, readable[each.column])
    for name in binding.select or ():
        if name not in readable:
            raise _RefusedError(f"invalid column for select {name}")


async def _check_value(connection: Connection, each: Filter, column: Column) -> None:
    if each.operator == "is":
        _check_keyword(each, column)
    elif each.operator in PATTERN_OPERATORS:
        await _check_pattern(connection, each, column)
    elif each.operator == "in":
        count = await connection.fetchval(f"select cardinality($1::text::{column.type_sql}[])", each.value)
        if count > MOST_IN_VALUES:
            raise _RefusedError(f"too many values for `in` filter. Maximum {MOST_IN_VALUES}")
    else:
        await connection.execute(f"select $1::text::{column.type_sql}", each.value)
    # The real server learns only from the first change that, say, json has no `=`, and then fails for everybody.
    await connection.execute(f"select {each.sql('null::text', column.type_sql, '$1::text')}", each.value)


def _check_keyword(each: Filter, column: Column) -> None:
    if each.value not in KEYWORDS:
        raise _RefusedError("invalid value for is filter: must be null, true, false, or unknown")
    if each.value != "null" and column.type_sql != "boolean":
        raise _RefusedError(f"is {each.value} filter requires a boolean column, got {column.type_sql}")


async def _check_pattern(connection: Connection, each: Filter, column: Column) -> None:
    is_regex = each.operator in {"match", "imatch"}
    symbol = PATTERN_OPERATORS[each.operator]
    if not await connection.fetchval(HAS_OPERATOR, symbol, column.type_sql, is_regex):
        raise _RefusedError(f"operator {each.operator} requires a text-compatible column type, got {column.type_sql}")
    if is_regex:
        try:
            await connection.fetchval("select '' ~ $1::text", each.value)
        except asyncpg.PostgresError as error:
            raise _RefusedError(f"invalid regular expression for {each.operator} filter: {error.args[0]}") from error


def _condition(error: asyncpg.PostgresError) -> str:
    """PostgreSQL's name of the condition, which the driver's classes carry."""
    name = type(error).__name__.removesuffix("Error")
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
