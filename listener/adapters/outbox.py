"""Deliveries that wait, through PostgREST. Knows the RPCs' shapes; does not know when to call them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic import BaseModel, SecretStr, TypeAdapter
from supabase import AsyncClient

from listener.adapters.failures import translated
from listener.outgoing import Delivered, Delivery


class DeliveryAnswer(BaseModel):
    """One row of claim_deliveries."""

    delivery: UUID
    attempt: int
    url: str
    secrets: list[SecretStr]
    payload: dict[str, Any] | None

    def waiting(self) -> list[Delivery]:
        """As the engine knows it; nothing, when its session was pruned meanwhile: the next claim retires it."""
        if self.payload is None:
            return []
        secrets = tuple(secret.get_secret_value() for secret in self.secrets)
        return [Delivery(self.delivery, self.url, secrets, self.payload, self.attempt)]


CLAIMED = TypeAdapter(list[DeliveryAnswer])


class SupabaseOutbox:
    """The Outbox of a project. Raises: StoreUnavailable (call again), StoreRejected (do not)."""

    def __init__(self, client: AsyncClient, worker: UUID) -> None:
        self._client = client
        self._worker = str(worker)

    async def claim(self, limit: int) -> list[Delivery]:
        """Take the next due ones; nobody else gets them for a while."""
        with translated("claim_deliveries"):
            arguments = {"p_worker": self._worker, "p_limit": limit}
            answer = (await self._client.rpc("claim_deliveries", arguments).execute()).data
            return [delivery for one in CLAIMED.validate_python(answer) for delivery in one.waiting()]

    async def settle(self, ends: Sequence[Delivered]) -> None:
        """Say what came of them."""
        with translated("settle_deliveries"):
            items = [_item(end) for end in ends]
            await self._client.rpc("settle_deliveries", {"p_items": items}).execute()


def _item(end: Delivered) -> dict[str, Any]:
    return {
        "delivery": str(end.id),
        "attempt": end.attempt,
        "outcome": end.outcome,
        "status": end.status,
        "error": end.error or None,
        "retry_after_s": end.retry_after_s,
    }
