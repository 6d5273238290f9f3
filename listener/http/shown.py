"""A session's row as its owner sees it over HTTP: state, result with fresh signed URLs, error.

Knows the row's columns; does not know how it was found.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from listener.api import OwnedTable
from listener.engine.deliveries import unopened
from listener.errors import StoreRejected
from listener.ports import ArtifactStore, Clock

STATES = ("status", "progress", "message", "version", "started_at", "finished_at")
OWN = ("task_id", "request_id", "created_at")
NAMED = {"image_url": "image_path", "video_url": "video_path"}
PATHS = frozenset({*NAMED.values(), "thumbnail_path"})
KEPT = ("name", "width", "height", "size_bytes", "content_type")


class Showing:
    """Makes a row's JSON. Raises: StoreUnavailable when a URL cannot be signed now."""

    def __init__(self, artifacts: ArtifactStore, clock: Clock, valid_s: int) -> None:
        self._artifacts = artifacts
        self._clock = clock
        self._valid_s = valid_s

    async def session(self, table: OwnedTable, row: Mapping[str, Any]) -> dict[str, Any]:
        """Everything, each artifact with a URL that is valid from now on."""
        return _facts(table, row) | {"result": await self._result(state_of(table, row, "result"))}

    async def _result(self, result: object) -> dict[str, Any] | None:
        if not isinstance(result, dict):
            return None
        saved = _saved(result)
        artifacts = [await self._artifact(one) for one in saved]
        shown = {name: value for name, value in result.items() if name not in PATHS}
        fresh = {one.get("path"): artifact for one, artifact in zip(saved, artifacts, strict=True)}
        for url, path in NAMED.items():  # what the handler calls its one file
            if url in result:
                file = fresh.get(result.get(path), {})
                shown |= {url: file.get("url"), "expires_at": file.get("expires_at")}
        return {**shown, "artifacts": artifacts}

    async def _artifact(self, saved: Mapping[str, Any]) -> dict[str, Any]:
        shown = _kept(saved)
        at = self._clock.now()
        if not (saved.get("bucket") and saved.get("path")):  # somebody else wrote this row
            return {**shown, "url": None, "expires_at": None}
        try:
            url = await self._artifacts.sign(saved["bucket"], saved["path"], self._valid_s)
        except StoreRejected:  # its object is gone: results are kept for a time
            return {**shown, "url": None, "expires_at": None}
        return {**shown, "url": url, "expires_at": (at + timedelta(seconds=self._valid_s)).isoformat()}


def listed(table: OwnedTable, row: Mapping[str, Any]) -> dict[str, Any]:
    """The same facts without a URL, which nobody is asked for."""
    result = state_of(table, row, "result")
    if not isinstance(result, dict):
        return _facts(table, row)
    artifacts = [_kept(one) for one in _saved(result)]
    return _facts(table, row) | {"result": {**unopened(result), "artifacts": artifacts}}


def columns_of(table: OwnedTable) -> list[str]:
    """What of a row is shown."""
    shown = {table.id_column, *table.columns.values(), *(name for name in OWN if name in table.inputs)}
    return sorted(shown)


def _facts(table: OwnedTable, row: Mapping[str, Any]) -> dict[str, Any]:
    """All but the result."""
    facts: dict[str, Any] = {"id": row[table.id_column], "kind": table.kind}
    facts |= {name: state_of(table, row, name) for name in STATES}
    facts |= {name: row[name] for name in OWN if name in row}
    return {**facts, "result": None, "error": error_of(table, row)}


def _saved(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in result.get("artifacts") or [] if isinstance(one, Mapping)]


def _kept(saved: Mapping[str, Any]) -> dict[str, Any]:
    return {name: saved.get(name) for name in KEPT}


def state_of(table: OwnedTable, row: Mapping[str, Any], name: str) -> Any:
    """A state column by our name of it."""
    return row.get(table.columns.get(name, ""))


def error_of(table: OwnedTable, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Why a session failed, as the API shows it; None when it did not."""
    if (code := state_of(table, row, "error_code")) is None:
        return None
    return {
        "code": str(code).upper(),
        "message": state_of(table, row, "error_message"),
        "details": state_of(table, row, "error_details") or {},
    }
