"""Variables that single commands read, beside the worker's settings: no command needs all of them."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from listener.settings import ENV_FILE

_READ = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, env_file=ENV_FILE)


class AppSettings(BaseSettings):
    """What `listener submit` needs to be a user of the app: the same as any frontend, and no secret."""

    model_config = _READ

    supabase_url: str | None = Field(None, validation_alias="SUPABASE_URL")
    supabase_anon_key: str | None = Field(None, validation_alias="SUPABASE_ANON_KEY")


class DatabaseSettings(BaseSettings):
    """What `listener migrate --apply` and `listener watch-table --apply` need; a worker never does."""

    model_config = _READ

    database_url: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_URL",
        description="postgresql:// of the project, for `listener migrate --apply` alone; workers need none",
    )
