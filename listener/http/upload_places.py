"""How many uploads there may be at once: in all, and of one owner. Knows counts; does not know what is uploaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from aiohttp import hdrs

from listener.http.refusal import Refused

RETRY_AFTER_S = 5


class UploadPlaces:
    """So many at once, half of them for one owner: nobody waits in line, for a body cannot be kept waiting."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._of_one = max(1, at_once // 2)
        self._held: Counter[UUID] = Counter()

    @contextmanager
    def place(self, owner: UUID) -> Iterator[None]:
        """Hold a place. Raises: Refused (429, 503) at once when there is none."""
        again: dict[str, str] = {hdrs.RETRY_AFTER: str(RETRY_AFTER_S)}
        if self._held[owner] >= self._of_one:
            message = "Too many uploads of this account are under way."
            raise Refused(429, "TOO_MANY_UPLOADS", message, again, at_once=self._of_one)
        if self._held.total() >= self._at_once:
            raise Refused(503, "BUSY", "Too many requests are being answered. Please try again.", again)
        self._held[owner] += 1
        try:
            yield
        finally:
            self._held[owner] -= 1
            if not self._held[owner]:
                del self._held[owner]
