"""Variables of the users that are accepted and checked now; the endpoints and generators that use them come later."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode


def _split(value: object) -> object:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""A list written with commas."""


def _object(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("must be JSON") from None


JsonObject = Annotated[dict[str, Any], NoDecode, BeforeValidator(_object)]
"""An object written as JSON."""


class LaterSettings(BaseSettings):
    """The part of the settings that nothing reads yet."""

    api_key: SecretStr | None = Field(
        None, validation_alias="API_KEY", min_length=16, description="Key of the HTTP endpoints (not used yet)"
    )
    allowed_origins: Words = Field(
        (), validation_alias="ALLOWED_ORIGINS", description="CORS origins, with commas between (not used yet)"
    )
    openai_api_key: SecretStr | None = Field(
        None, validation_alias="OPENAI_API_KEY", description="Key of the remote generator (not used yet)"
    )
    openai_max_retries: int = Field(
        3, validation_alias="OPENAI_MAX_RETRIES", ge=0, le=10, description="Tries of its client (not used yet)"
    )
    r2_account_id: str | None = Field(
        None, validation_alias="R2_ACCOUNT_ID", description="Cloudflare R2 account (not used yet)"
    )
    r2_access_key_id: SecretStr | None = Field(
        None, validation_alias="R2_ACCESS_KEY_ID", description="R2 key id (not used yet)"
    )
    r2_secret_access_key: SecretStr | None = Field(
        None, validation_alias="R2_SECRET_ACCESS_KEY", description="R2 secret (not used yet)"
    )
    r2_bucket_name: str | None = Field(
        None, validation_alias="R2_BUCKET_NAME", description="R2 bucket of the videos (not used yet)"
    )
    video_retention_hours: float = Field(
        6, validation_alias="VIDEO_RETENTION_HOURS", gt=0, description="Hours a video is kept (not used yet)"
    )
