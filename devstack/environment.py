"""Every environment variable the embedded stack reads; knows nothing of what is done with them."""

from __future__ import annotations

import os
from pathlib import Path

from dotenv import dotenv_values


def postgres_folder() -> Path | None:
    """LISTENER_PG_BIN: the folder of `initdb` and `postgres` to use instead of the wheel's."""
    value = os.environ.get("LISTENER_PG_BIN")  # noqa: TID251 - the one place of this package
    return Path(value) if value else None


def clusters_folder() -> Path | None:
    """LISTENER_STACK_DIR: where throwaway clusters lie; in memory they are several times as fast."""
    value = os.environ.get("LISTENER_STACK_DIR")  # noqa: TID251 - the one place of this package
    return Path(value) if value else None


def inherited() -> dict[str, str]:
    """The environment of a child process: ours, and under it the worker's own settings of the file .env."""
    file = {name: value for name, value in dotenv_values(".env").items() if value and name.startswith("LISTENER_")}
    return file | dict(os.environ)  # noqa: TID251 - the one place of this package
