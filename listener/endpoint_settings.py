"""The settings of the HTTP endpoints that packages bring. Knows their variables; does not know what they do."""

from __future__ import annotations

from pydantic import Field, FilePath, SecretStr
from pydantic_settings import BaseSettings

from listener.setting_values import Words


class EndpointSettings(BaseSettings):
    """The part of the settings that says which endpoints there are, and who may call them."""

    api_key: SecretStr | None = Field(
        None,
        validation_alias="API_KEY",
        min_length=16,
        description="The operator's own key, of at least 16 characters; opens POST /estimate-body, as stores' keys do",
    )
    estimate_open: bool = Field(
        False,
        validation_alias="LISTENER_ESTIMATE_OPEN",
        description="Whether everybody who reaches the port may POST /estimate-body, without a key",
    )
    supabase_jwt_secret: SecretStr | None = Field(
        None,
        validation_alias="SUPABASE_JWT_SECRET",
        min_length=32,
        description="The project's JWT secret, where users' tokens are still signed with it (HS256); else left out",
    )
    uploads_at_once: int = Field(
        32,
        validation_alias="LISTENER_UPLOADS_AT_ONCE",
        ge=1,
        le=1024,
        description="Forms of POST /generate that come in at the same time, half of them of one account",
    )
    endpoints: Words = Field(
        (),
        validation_alias="LISTENER_ENDPOINTS",
        description="Endpoints of packages to serve, with commas between, or none; all that work here when absent",
    )
    size_table: FilePath | None = Field(
        None,
        validation_alias="LISTENER_SIZE_TABLE",
        description="TOML file with the sizes that POST /estimate-body recommends; those of docs/sizing.md when absent",
    )
