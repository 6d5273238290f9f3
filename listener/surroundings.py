"""What a worker tells of itself: to the database at its start, to the log when it fails. No secret is in it.

Knows what helps to find a cause from afar; does not know what failed.
"""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from listener import __version__
from listener.ports import Registration
from listener.settings import Settings, names_of

PACKAGES = ("supabase", "realtime", "httpx", "aiohttp", "pydantic", "torch", "diffusers", "transformers")


def surroundings(settings: Settings) -> dict[str, Any]:
    """Everything, as fields of a log line; torch and its kin are asked for their version, not imported."""
    return {
        "listener": __version__,
        "python": platform.python_version(),
        "machine": platform.platform(),
        "packages": {name: found for name in PACKAGES if (found := _version(name)) is not None},
        "project": settings.supabase_url,
        "settings": {names_of(field)[0]: _shown(getattr(settings, field)) for field in type(settings).model_fields},
    }


def introduction(settings: Settings, worker: UUID, kinds: tuple[str, ...]) -> Registration:
    """What the worker tells the database of itself."""
    return Registration(
        worker=worker,
        name=settings.worker_name,
        kinds=kinds,
        slots=settings.worker_concurrency,
        version=__version__,
        lease_s=settings.lease_s,
        devices={
            "device": settings.device,
            "generators": {kind: list(names) for kind, names in settings.routes_of(kinds).items()},
            "models": settings.models_of(kinds),
        },
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _shown(value: Any) -> Any:
    """A secret is only told to be there."""
    if isinstance(value, SecretStr):
        return "(set)"
    if isinstance(value, tuple):
        return [_shown(one) for one in value] or None
    return value if value is None or isinstance(value, bool | int | float) else str(value)
