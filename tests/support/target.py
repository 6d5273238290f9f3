"""A Supabase project as a test meets it: a URL, two keys, and, where there is one, a connection to its database.

Whose project it is, nobody who has one of these can tell: the embedded stack's, `supabase start`'s or a hosted one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from devstack.stack import Stack
from tests.support.project import Project

NEEDED = {
    "url": ("SUPABASE_URL",),
    "anon_key": ("SUPABASE_ANON_KEY", "SUPABASE_PUBLISHABLE_KEY"),
    "service_role_key": ("SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_SECRET_KEY"),
}
DATABASE = ("SUPABASE_DB_URL", "DATABASE_URL")


@dataclass(frozen=True)
class Target:
    """Where the project is and what opens it."""

    url: str
    anon_key: str = field(repr=False)
    service_role_key: str = field(repr=False)
    db_url: str | None = field(repr=False)


Place = Stack | Project | Target


def target_of(place: Place) -> Target:
    """What every test of a project needs to know of it."""
    match place:
        case Stack():
            return Target(place.url, place.keys.anon_key, place.keys.service_role_key, place.database_url)
        case Project():
            return Target(place.url, place.anon_key, place.service_role_key, place.db_url)
        case Target():
            return place


def named_by_the_environment() -> Target:
    """The project that SUPABASE_URL and its keys name.

    Raises: LookupError naming what is missing.
    """
    found = {name: _first(variables) for name, variables in NEEDED.items()}
    missing = [" or ".join(NEEDED[name]) for name, value in found.items() if not value]
    if missing:
        raise LookupError(f"--real needs {', '.join(missing)}")
    return Target(**{name: value or "" for name, value in found.items()}, db_url=_first(DATABASE))


def _first(variables: tuple[str, ...]) -> str | None:
    return next((os.environ[name] for name in variables if os.environ.get(name)), None)
