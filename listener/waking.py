"""The settings of what wakes a worker: which sources run, and how a webhook proves where it comes from."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode

SIGNING_PREFIX = "whsec_"
SIGNING_BYTES = range(24, 65)
"""How long a signing secret may be. Source: Standard Webhooks, "Signature scheme"."""
SHARED_LENGTH = 16

SourceName = Literal["realtime", "webhook", "sweep"]


def _split(value: object) -> object:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


def _require_signing_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix(SIGNING_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not text.startswith(SIGNING_PREFIX) or len(key) not in SIGNING_BYTES:
        raise ValueError(f"each secret is {SIGNING_PREFIX} and the base64 of 24 to 64 random bytes")
    return secret


def _require_shared_secret(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < SHARED_LENGTH or not secret.get_secret_value().isascii():
        raise ValueError(f"each secret has at least {SHARED_LENGTH} characters, all of them ASCII")
    return secret


SigningSecret = Annotated[SecretStr, AfterValidator(_require_signing_secret)]
SharedSecret = Annotated[SecretStr, AfterValidator(_require_shared_secret)]
SigningSecrets = Annotated[tuple[SigningSecret, ...], NoDecode, BeforeValidator(_split)]
SharedSecrets = Annotated[tuple[SharedSecret, ...], NoDecode, BeforeValidator(_split)]
Sources = Annotated[tuple[SourceName, ...], NoDecode, BeforeValidator(_split)]


class WakingSettings(BaseSettings):
    """The part of the settings that says what wakes this worker."""

    sources: Sources = Field(
        ("realtime", "webhook", "sweep"),
        validation_alias="LISTENER_SOURCES",
        min_length=1,
        description="What wakes this worker: realtime, webhook (needs a secret below), sweep (looks by itself)",
    )
    webhook_secrets: SigningSecrets = Field(
        (),
        validation_alias="LISTENER_WEBHOOK_SECRETS",
        max_length=2,
        description="Secret of our signed webhooks (whsec_...); two with a comma between while it changes",
    )
    webhook_header_secrets: SharedSecrets = Field(
        (),
        validation_alias="LISTENER_WEBHOOK_HEADER_SECRET",
        max_length=2,
        description="Value of x-webhook-secret in the dashboard's webhooks; two while it changes",
    )

    @property
    def realtime(self) -> bool:
        """Whether the worker subscribes to Realtime."""
        return "realtime" in self.sources

    @property
    def webhooks(self) -> bool:
        """Whether POST /hooks/supabase is open."""
        return "webhook" in self.sources and bool(self.webhook_secrets or self.webhook_header_secrets)

    @model_validator(mode="after")
    def _something_wakes(self) -> Self:
        if set(self.sources) == {"webhook"} and not self.webhooks:
            raise ValueError("LISTENER_SOURCES names only webhook, which needs LISTENER_WEBHOOK_SECRETS")
        return self
