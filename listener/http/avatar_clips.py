"""The video of a finished session, with URLs that read it: for six hours at most, and never longer than it is kept.

Knows the row's result and how long videos are kept; does not know who asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from aiohttp import hdrs

from listener.api import OwnedTable
from listener.errors import StoreRejected, StoreUnavailable
from listener.http.avatar_answers import Clip
from listener.http.refusal import Refused
from listener.http.shown import error_of, state_of
from listener.ports import ArtifactStore, Clock

VIDEO = "video/mp4"
LONGEST_S = 6 * 3600
ASK_AGAIN_S = 5
MOVED_AGAIN_S = 2


class Clips:
    """Shows videos. Units: valid_s, keep_s are seconds; keep_s None is for ever."""

    def __init__(self, artifacts: ArtifactStore, clock: Clock, *, valid_s: int, keep_s: float | None) -> None:
        self._artifacts = artifacts
        self._clock = clock
        self._valid_s = min(valid_s, LONGEST_S)
        self._keep_s = keep_s

    async def clip(self, table: OwnedTable, row: Mapping[str, Any], owner: UUID) -> Clip:
        """The video of a row that its owner was shown. Raises: Refused (409, 410, 503)."""
        _require_completed(table, row)
        saved = _video_of(state_of(table, row, "result"), owner)
        kept_until, now = self._kept_until(table, row), self._clock.now()
        valid_s = self._valid_s if kept_until is None else min(self._valid_s, int((kept_until - now).total_seconds()))
        if saved is None or valid_s < 1:
            raise _gone()
        url = await self._sign(saved["bucket"], saved["path"], valid_s)
        thumbnail = saved.get("thumbnail_path")
        facts = _facts(state_of(table, row, "result"), saved)
        row_id = UUID(str(row[table.id_column]))
        return Clip(
            id=row_id,
            job_id=row_id,
            url=url,
            expires_at=now + timedelta(seconds=valid_s),
            thumbnail_url=await self._sign(saved["bucket"], thumbnail, valid_s) if thumbnail else None,
            kept_until=kept_until,
            duration_s=facts.get("duration_s"),
            fps=facts.get("fps"),
            **{name: saved.get(name) for name in ("width", "height", "size_bytes", "content_type")},
        )

    def _kept_until(self, table: OwnedTable, row: Mapping[str, Any]) -> datetime | None:
        finished_at = state_of(table, row, "finished_at")
        if self._keep_s is None or finished_at is None:
            return None
        return datetime.fromisoformat(str(finished_at)) + timedelta(seconds=self._keep_s)

    async def _sign(self, bucket: str, path: str, valid_s: int) -> str:
        try:
            return await self._artifacts.sign(bucket, path, valid_s)
        except StoreRejected:
            raise _gone() from None
        except StoreUnavailable:
            message = "The video is kept, but no URL can be made for it at the moment. Ask again."
            again: dict[str, str] = {hdrs.RETRY_AFTER: str(ASK_AGAIN_S)}
            raise Refused(503, "TEMPORARILY_UNAVAILABLE", message, again, is_kept=True) from None


def _require_completed(table: OwnedTable, row: Mapping[str, Any]) -> None:
    state = str(state_of(table, row, "status"))
    if state == "failed":
        message = "The session failed: there is no video. Its credits came back."
        raise Refused(409, "SESSION_FAILED", message, None, error=error_of(table, row))
    if state == "cancelled":
        raise Refused(409, "SESSION_CANCELLED", "The session was cancelled: there is no video.")
    if state != "completed":
        progress = state_of(table, row, "progress")
        again: dict[str, str] = {hdrs.RETRY_AFTER: str(MOVED_AGAIN_S)}
        raise Refused(409, "NOT_READY", "The video is not finished yet.", again, progress=progress)


def _video_of(result: object, owner: UUID) -> Mapping[str, Any] | None:
    """The saved video; only what lies in the owner's own folder is ever signed."""
    saved = result.get("artifacts") if isinstance(result, dict) else None
    for one in saved if isinstance(saved, list) else []:
        if isinstance(one, dict) and one.get("content_type") == VIDEO:
            paths = [str(one.get("path") or ""), *([str(one["thumbnail_path"])] if one.get("thumbnail_path") else [])]
            if one.get("bucket") and all(path.startswith(f"{owner}/") and ".." not in path for path in paths):
                return one
    return None


def _facts(result: object, saved: Mapping[str, Any]) -> dict[str, Any]:
    told = result if isinstance(result, dict) else {}
    facts = saved.get("facts")
    return {**told, **(facts if isinstance(facts, dict) else {})}


def _gone() -> Refused:
    return Refused(410, "GONE", "The video was removed: videos are kept for a time only.")
