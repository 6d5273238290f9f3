"""What an operator does for stores with a service key: stores, their API keys, where their webhooks go.

Knows these RPCs and what a new key looks like; of a key only its hash leaves this process.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, TypeAdapter
from supabase import AsyncClient

from listener.adapters.failures import translated

PREFIX = "lsk_"
KEY_BYTES = 32
SHOWN_LENGTH = len(PREFIX) + 8
"""How much of a key stays readable, so that people can tell two apart."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made; nobody can show it again."""

    id: UUID
    key: str = field(repr=False)


class StoreAnswer(BaseModel):
    """A store."""

    id: UUID
    name: str
    created_at: datetime


class KeyAnswer(BaseModel):
    """An API key as it may be shown; the days are UTC."""

    key: UUID
    name: str
    prefix: str
    per_minute: int
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    requests_today: int
    refused_today: int


class UsageAnswer(BaseModel):
    """How a key was used on a UTC day."""

    day: date
    key: UUID
    name: str
    requests: int
    refused: int


class WebhookAnswer(BaseModel):
    """Where a store's webhooks go, and how many secrets sign them."""

    url: str
    active: bool
    changed_at: datetime
    secrets: int


class DeliveryAnswer(BaseModel):
    """One webhook to a store, and what became of it so far."""

    delivery: UUID
    session: UUID
    event: str
    status: str
    attempt: int
    created_at: datetime
    next_at: datetime | None
    last_status: int | None
    last_error: str | None


class Report(BaseModel):
    """What partner_report answers."""

    webhook: WebhookAnswer | None
    deliveries: list[DeliveryAnswer]


STORES = TypeAdapter(list[StoreAnswer])
KEYS = TypeAdapter(list[KeyAnswer])
USAGE = TypeAdapter(list[UsageAnswer])


class Stores:
    """The RPCs around stores. Raises: StoreUnavailable (call again), StoreRejected (do not)."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def create(self, name: str) -> StoreAnswer:
        """Make a store: an owner of its own, with credits of its own."""
        with translated("insert into stores"):
            answer = await self._client.table("stores").insert({"name": name}).execute()
            return STORES.validate_python(answer.data)[0]

    async def all(self) -> list[StoreAnswer]:
        """Every store, the oldest first."""
        with translated("read stores"):
            return STORES.validate_python(
                (await self._client.table("stores").select("*").order("created_at").execute()).data
            )

    async def create_key(self, store: UUID, name: str, per_minute: int) -> NewKey:
        """Make a key of 256 random bits; its hash is stored, and the key itself nowhere."""
        key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
        with translated("create_api_key"):
            answer = await self._call(
                "create_api_key",
                p_store=str(store),
                p_name=name,
                p_hash=hashlib.sha256(key.encode()).hexdigest(),
                p_prefix=key[:SHOWN_LENGTH],
                p_per_minute=per_minute,
            )
            return NewKey(UUID(answer["key"]), key)

    async def keys(self, store: UUID) -> list[KeyAnswer]:
        """A store's keys, revoked ones too."""
        with translated("list_api_keys"):
            return KEYS.validate_python(await self._call("list_api_keys", p_store=str(store)))

    async def usage(self, store: UUID, days: int) -> list[UsageAnswer]:
        """How a store's keys were used, day by day, the newest first."""
        with translated("api_key_usage"):
            return USAGE.validate_python(await self._call("api_key_usage", p_store=str(store), p_days=days))

    async def revoke_key(self, key: UUID) -> str:
        """Let a key open nothing any more: applied, already or unknown."""
        with translated("revoke_api_key"):
            return str((await self._call("revoke_api_key", p_key=str(key)))["outcome"])

    async def set_webhook(self, store: UUID, url: str, *, active: bool) -> str | None:
        """Tell this URL of every session of the store that ends; the secret, if one had to be made."""
        with translated("set_partner_webhook"):
            answer = await self._call("set_partner_webhook", p_store=str(store), p_url=url, p_active=active)
            return None if answer["secret"] is None else str(answer["secret"])

    async def rotate_secret(self, store: UUID) -> str | None:
        """A new secret beside the one before it; None without a webhook."""
        with translated("rotate_partner_secret"):
            answer = await self._call("rotate_partner_secret", p_store=str(store))
            return None if answer is None else str(answer)

    async def report(self, store: UUID, limit: int) -> Report:
        """Where the store's webhooks go, and the newest of them."""
        with translated("partner_report"):
            return Report.model_validate(await self._call("partner_report", p_store=str(store), p_limit=limit))

    async def _call(self, function: str, **arguments: Any) -> Any:
        return (await self._client.rpc(function, arguments).execute()).data
