"""The settings that a project gives PostgREST in the database: `alter role authenticator set pgrst.<name> = ...`."""

from __future__ import annotations

import re
from dataclasses import dataclass

import asyncpg

SETTINGS_SQL = """
select substr(split_part(entry, '=', 1), 7) as name, substr(entry, strpos(entry, '=') + 1) as value
from pg_catalog.pg_db_role_setting as of_role
cross join lateral unnest(of_role.setconfig) as entry
where of_role.setrole = 'authenticator'::regrole and entry like 'pgrst.%'
  and of_role.setdatabase in (0, (select oid from pg_catalog.pg_database where datname = current_database()))
order by of_role.setdatabase
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is exposed, and how; the defaults are a hosted project's."""

    schemas: tuple[str, ...] = ("public",)
    extra_search_path: tuple[str, ...] = ("public", "extensions")
    max_rows: int | None = 1000
    pre_request: str | None = None


async def read_settings(pool: asyncpg.Pool[asyncpg.Record]) -> Settings:
    """Read them; what is not set has its default."""
    given = {row["name"]: row["value"] for row in await pool.fetch(SETTINGS_SQL)}
    default = Settings()
    return Settings(
        schemas=_names(given.get("db_schemas")) or default.schemas,
        extra_search_path=_names(given.get("db_extra_search_path")) or default.extra_search_path,
        max_rows=_rows(given["db_max_rows"]) if "db_max_rows" in given else default.max_rows,
        pre_request=given.get("db_pre_request") or None,
    )


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _rows(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]+", text) else None
