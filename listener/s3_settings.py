"""The settings of a store that speaks S3, such as Cloudflare R2: which belong together, and what they make.

Does not know what a client does with them.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode

from listener.adapters.s3_place import SIGNED_MAX_S, S3Place
from listener.setting_values import BeforeWords

R2 = ("r2_account_id", "r2_access_key_id", "r2_secret_access_key", "r2_bucket_name")
Routed = Literal["videos", "headshots", "generated", "stores", "characters"]
"""Buckets of results. What people upload stays where they put it."""


class S3Settings(BaseSettings):
    """The part of the settings that says which results lie in a store of their own."""

    r2_account_id: str | None = Field(
        None,
        validation_alias="R2_ACCOUNT_ID",
        pattern=r"^[A-Za-z0-9-]+$",
        description="Cloudflare account whose R2 keeps results; the four of R2 together, or none: Supabase Storage",
    )
    r2_access_key_id: SecretStr | None = Field(
        None,
        validation_alias="R2_ACCESS_KEY_ID",
        min_length=1,
        description="Key id of a token that reads and writes",
    )
    r2_secret_access_key: SecretStr | None = Field(
        None, validation_alias="R2_SECRET_ACCESS_KEY", min_length=1, description="Its secret access key"
    )
    r2_bucket_name: str | None = Field(
        None,
        validation_alias="R2_BUCKET_NAME",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{2,62}$",
        description="Bucket there, for this project alone",
    )
    s3_endpoint: str | None = Field(
        None,
        validation_alias="LISTENER_S3_ENDPOINT",
        pattern=r"^https?://[^\s/?#@]+/?$",
        description="URL of another store that speaks S3, instead of R2_ACCOUNT_ID; browsers read results from there",
    )
    s3_region: str = Field(
        "auto",
        validation_alias="LISTENER_S3_REGION",
        pattern=r"^[a-z0-9-]+$",
        description="Its region; R2 has auto",
    )
    s3_buckets: Annotated[tuple[Routed, ...], NoDecode, BeforeWords] = Field(
        ("videos",),
        validation_alias="LISTENER_S3_BUCKETS",
        min_length=1,
        description="Buckets of results that lie there: videos, headshots, generated, stores, characters",
    )

    @model_validator(mode="after")
    def _s3_is_whole(self) -> Self:
        needed = R2 if self.s3_endpoint is None else R2[1:]
        missing = [name.upper() for name in needed if getattr(self, name) is None]
        if missing and (self.s3_endpoint is not None or len(missing) < len(R2)):
            raise ValueError(f"{', '.join(missing)} missing: the variables of R2 belong together")
        return self

    def s3_place(self) -> S3Place | None:
        """Where results lie, if not in Supabase Storage."""
        if self.r2_bucket_name is None or self.r2_access_key_id is None or self.r2_secret_access_key is None:
            return None
        r2 = f"https://{self.r2_account_id}.r2.cloudflarestorage.com"
        return S3Place(
            endpoint=(self.s3_endpoint or r2).rstrip("/"),
            region=self.s3_region,
            bucket=self.r2_bucket_name,
            key_id=self.r2_access_key_id.get_secret_value(),
            secret=self.r2_secret_access_key.get_secret_value(),
            buckets=self.s3_buckets,
        )

    def require_signable(self, valid_s: int) -> None:
        """Insist that a URL can be signed for so long. Raises: ValueError."""
        if self.r2_bucket_name is not None and valid_s > SIGNED_MAX_S:
            raise ValueError(f"LISTENER_SIGNED_URL_S must be at most {SIGNED_MAX_S} where results lie on S3")
