"""Variables of the users that are accepted and checked now; the endpoints and generators that use them come later."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode


def _split(value: object) -> object:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""A list written with commas."""

ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?")
R2 = ("r2_account_id", "r2_access_key_id", "r2_secret_access_key", "r2_bucket_name")


def _require_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    if not all(ORIGIN.fullmatch(origin) for origin in origins):
        raise ValueError("each is scheme, host and port alone, as in https://app.example")
    return origins


Origins = Annotated[Words, AfterValidator(_require_origins)]


def read_object(value: object) -> object:
    """Read JSON where it is written as a text. Raises: ValueError."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("must be JSON") from None


JsonObject = Annotated[dict[str, Any], NoDecode, BeforeValidator(read_object)]
"""An object written as JSON."""


class LaterSettings(BaseSettings):
    """The part of the settings that nothing reads yet."""

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

    @model_validator(mode="after")
    def _r2_is_whole(self) -> Self:
        missing = [name.upper() for name in R2 if getattr(self, name) is None]
        if 0 < len(missing) < len(R2):
            raise ValueError(f"{', '.join(missing)} missing: the variables of R2 belong together")
        return self
