"""Prints sql/ as one migration, in the order that supabase/config.toml states.

Knows the order of the files; does not know what changed since the last migration.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUPABASE = ROOT / "supabase"


def declared_files() -> list[Path]:
    """List the files of sql/ in order, as the Supabase CLI reads `schema_paths`.

    Raises: FileNotFoundError when a pattern matches nothing.
    """
    config = tomllib.loads((SUPABASE / "config.toml").read_text())
    files: dict[Path, None] = {}
    for pattern in config["db"]["migrations"]["schema_paths"]:
        relative = pattern.removeprefix("../")
        found = sorted(ROOT.glob(relative))
        if not found:
            raise FileNotFoundError(relative)
        files.update(dict.fromkeys(found))
    return list(files)


def declared_sql() -> str:
    """Join the declared files into one script."""
    return "\n".join(path.read_text() for path in declared_files())


if __name__ == "__main__":
    sys.stdout.write(declared_sql())
