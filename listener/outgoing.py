"""What telling partners of finished sessions asks of the world: deliveries that wait, and where what came of them goes.

Knows nothing of Supabase; adapters/ implements it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Delivery:
    """One finished session to tell a partner of. `id` stays the same however often it is sent."""

    id: UUID
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    payload: Mapping[str, Any] = field(repr=False)
    attempt: int = 1


DeliveryOutcome = Literal["delivered", "retry", "refused", "gone", "released"]


@dataclass(frozen=True, slots=True)
class Delivered:
    """What came of sending one; `status` None means that no answer came, and `error` says why.

    `refused` is never tried again; `gone` switches the partner's webhook off; `released` was not sent to its end.
    Units: retry_after_s is seconds, as the partner asked.
    """

    id: UUID
    attempt: int
    outcome: DeliveryOutcome
    status: int | None = None
    error: str = ""
    retry_after_s: float | None = None


class Outbox(Protocol):
    """Deliveries that wait. Raises: StoreUnavailable (call again), StoreRejected (do not)."""

    async def claim(self, limit: int) -> list[Delivery]:
        """Take the next due ones, for a while."""

    async def settle(self, ends: Sequence[Delivered]) -> None:
        """Say what came of them."""
