"""The migrations that come with this version: where they lie in a wheel and in a checkout.

Knows files; does not know who applies them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from listener.errors import ConfigError

PACKAGE = Path(__file__).parent
PLACES = (PACKAGE / "migrations", PACKAGE.parent / "supabase" / "migrations")
"""In an installed wheel beside the code, in a checkout where the Supabase CLI looks."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file `<version>_<name>.sql`."""

    file: str
    text: str = field(repr=False)

    @property
    def version(self) -> str:
        """The timestamp that the Supabase CLI records."""
        return self.file.partition("_")[0]

    @property
    def name(self) -> str:
        """What stands behind the timestamp."""
        return self.file.removesuffix(".sql").partition("_")[2]


def shipped_migrations() -> list[Migration]:
    """Read them in order.

    Raises: ConfigError when the installation holds none.
    """
    for place in PLACES:
        found = sorted(place.glob("*.sql"))
        if found:
            return [Migration(path.name, path.read_text(encoding="utf-8")) for path in found]
    raise ConfigError("this installation of listener holds no migrations: install it again")
