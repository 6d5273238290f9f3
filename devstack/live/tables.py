"""The published tables as the catalogue has them now: columns, keys, row security, and what each role may read.

Read anew for each batch of changes, so that no grant or policy is ever judged by an old copy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from devstack.changes.capture import Connection

# pg_roles first: a role that is gone may read nothing, and is no error for the others.
LOAD = """
select c.oid::bigint, n.nspname, c.relname, c.relrowsecurity, a.attname, t.typname,
       format_type(a.atttypid, null) as type_sql,
       coalesce(a.attnum = any (i.indkey), false) as is_key,
       array(
         select r.rolname::text from pg_roles r
         where r.rolname = any ($2::text[]) and has_column_privilege(r.oid, c.oid, a.attnum, 'select')
       ) as readers
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join pg_type t on t.oid = a.atttypid
left join pg_index i on i.indrelid = c.oid and i.indisprimary
where c.oid = any ($1::oid[])
order by c.oid, a.attnum
"""


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `type_sql` can be used in a cast, `type_name` is what clients are told."""

    name: str
    type_name: str
    type_sql: str
    is_key: bool
    readers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Table:
    """One table with its columns in their order."""

    oid: int
    schema: str
    name: str
    has_row_security: bool
    columns: tuple[Column, ...]

    @property
    def sql(self) -> str:
        """The qualified name, quoted."""
        return f"{identifier(self.schema)}.{identifier(self.name)}"

    @property
    def key(self) -> tuple[Column, ...]:
        """The columns of the primary key; empty without one."""
        return tuple(column for column in self.columns if column.is_key)

    def readable(self, role: str) -> tuple[Column, ...]:
        """The columns that a role may select."""
        return tuple(column for column in self.columns if role in column.readers)


def identifier(name: str) -> str:
    """A name quoted for SQL."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


async def load_tables(connection: Connection, oids: Collection[int], roles: Collection[str]) -> dict[int, Table]:
    """Read tables by oid; those that are gone are absent."""
    found: defaultdict[tuple[int, str, str, bool], list[Column]] = defaultdict(list)
    for record in await connection.fetch(LOAD, list(oids), list(roles)):
        oid, schema, name, has_row_security, column, type_name, type_sql, is_key, readers = record
        found[oid, schema, name, has_row_security].append(
            Column(column, type_name, type_sql, is_key, frozenset(readers))
        )
    return {head[0]: Table(*head, tuple(columns)) for head, columns in found.items()}
