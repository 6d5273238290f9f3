"""Asks PostgreSQL which rows a subscriber may see now, under its role and claims, by primary key.

As with the real server it is the current row that decides, not the one in the log: a row deleted since is not seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from devstack.changes.capture import DATABASE_GONE, Connection
from devstack.live.tables import Table, identifier

BECOME = "select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)"

Key = tuple[str | None, ...]


class PolicyFailedError(Exception):
    """A policy or a privilege raised, so nobody knows who may see the rows."""


async def visible_rows(connection: Connection, table: Table, role: str, claims: str, keys: Sequence[Key]) -> list[bool]:
    """Tell for each key whether the row is visible.

    Raises: PolicyFailedError, DATABASE_GONE.
    """
    arrays = [[key[position] for key in keys] for position in range(len(table.key))]
    try:
        async with connection.transaction():
            await connection.execute(BECOME, role, claims)
            return [bool(record[0]) for record in await connection.fetch(_question(table), *arrays)]
    except DATABASE_GONE:
        raise
    except asyncpg.PostgresError as error:
        raise PolicyFailedError(f"row security of {table.sql} failed for {role}: {error}") from error


def _question(table: Table) -> str:
    arrays = ", ".join(f"${number + 1}::text[]" for number in range(len(table.key)))
    names = ", ".join(f"k{number}" for number in range(len(table.key)))
    same = " and ".join(
        f"t.{identifier(column.name)} = k.k{number}::{column.type_sql}" for number, column in enumerate(table.key)
    )
    # The subquery stands in the select list so that it is answered key by key, through the key's index.
    return (
        f"select exists (select from {table.sql} t where {same}) "  # noqa: S608 - names come from the catalogue
        f"from unnest({arrays}) with ordinality as k ({names}, n) order by k.n"
    )
