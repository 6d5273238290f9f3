"""Whose an API key is, through PostgREST. Knows the RPC; never sees a key, only its hash."""

from __future__ import annotations

import math
from uuid import UUID

from pydantic import BaseModel
from supabase import AsyncClient

from listener.adapters.failures import translated
from listener.api import Authenticated, Caller

STORE_COLUMN = "store_id"


class KeyAnswer(BaseModel):
    """What authenticate_api_key answers. Units: requests in a minute; seconds."""

    store: UUID | None = None
    per_minute: int | None = None
    remaining: int = 0
    reset_s: float = 0
    retry_after_s: float | None = None

    def authenticated(self) -> Authenticated:
        """As the API knows it."""
        caller = Caller(self.store, STORE_COLUMN) if self.store is not None else None
        wait_s = None if self.retry_after_s is None else max(1, math.ceil(self.retry_after_s))
        return Authenticated(caller, self.per_minute, max(0, self.remaining), math.ceil(self.reset_s), wait_s)


class SupabaseKeyRing:
    """The KeyRing of a project."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def authenticate(self, digest: str) -> Authenticated:
        """Find the key by its SHA-256, as hex, and count the request; not repeated, for each one counts."""
        with translated("authenticate_api_key"):
            answer = (await self._client.rpc("authenticate_api_key", {"p_hash": digest}).execute()).data
            return KeyAnswer.model_validate(answer or {}).authenticated()
