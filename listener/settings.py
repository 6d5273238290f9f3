"""Every environment variable of the daemon: name, unit, default and bound. Read once, at start, and only here."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self, cast

from dotenv import dotenv_values
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from listener.contract import HandlerConfig
from listener.endpoint_settings import EndpointSettings
from listener.errors import ConfigError
from listener.fetch_settings import FetchSettings
from listener.pack_settings import PackSettings
from listener.provider_settings import ProviderSettings, is_route, routes_in
from listener.s3_settings import S3Settings
from listener.setting_values import Origins
from listener.waking import WakingSettings

PREFIX = "LISTENER_"
ENV_FILE = ".env"
OF_THE_STACK = frozenset({"LISTENER_PG_BIN", "LISTENER_STACK_DIR"})
"""Variables with our prefix that others read."""

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class Settings(WakingSettings, ProviderSettings, PackSettings, FetchSettings, EndpointSettings, S3Settings):
    """All settings, checked. The description of a field is its line in .env.example."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, env_file=ENV_FILE)

    supabase_url: str = Field(
        validation_alias="SUPABASE_URL", pattern=r"^https?://[^\s/?#@]+/?$", description="The project's URL"
    )
    supabase_service_role_key: SecretStr = Field(
        validation_alias=AliasChoices("SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_SECRET_KEY"),
        min_length=20,
        description="The project's secret key (sb_secret_...) or its older service_role JWT",
    )
    worker_concurrency: int = Field(
        5, validation_alias="WORKER_CONCURRENCY", ge=1, le=64, description="Sessions at work at the same time"
    )
    log_level: LogLevel = Field("INFO", validation_alias="LOG_LEVEL", description="DEBUG, INFO, WARNING or ERROR")

    http_host: str = Field(
        "127.0.0.1", validation_alias="LISTENER_HTTP_HOST", description="Address of the probes; 0.0.0.0 in containers"
    )
    http_port: int = Field(
        8000, validation_alias="LISTENER_HTTP_PORT", ge=0, le=65535, description="Their port; 0 takes a free one"
    )
    allowed_origins: Origins = Field(
        (),
        validation_alias="ALLOWED_ORIGINS",
        description="Origins of web pages that may call the HTTP API, with commas between",
    )
    worker_name: str = Field(
        default_factory=lambda: os.uname().nodename,
        validation_alias="LISTENER_WORKER_NAME",
        max_length=200,
        description="Label of this worker; the host's name when absent",
    )
    lease_s: int = Field(
        30,
        validation_alias="LISTENER_LEASE_S",
        ge=2,
        le=300,
        description="Seconds after which a silent worker is dead",
    )
    heartbeat_s: float | None = Field(
        None,
        validation_alias="LISTENER_HEARTBEAT_S",
        gt=0,
        description="Seconds between heartbeats; a third of the lease",
    )
    sweep_s: float = Field(
        5, validation_alias="LISTENER_SWEEP_S", ge=0.1, le=600, description="Seconds between two sweeps of the queue"
    )
    drain_s: float = Field(
        60, validation_alias="LISTENER_DRAIN_S", ge=0, description="Seconds running work may take after SIGTERM"
    )
    signed_url_s: int = Field(
        21600, validation_alias="LISTENER_SIGNED_URL_S", ge=60, description="Seconds a result's signed URL is valid"
    )
    cleaning: Literal["on", "dry_run", "off"] = Field(
        "on",
        validation_alias="LISTENER_CLEANING",
        description="on: remove files that are kept no longer, or that no row names; dry_run: only log how many; off",
    )
    video_retention_hours: float = Field(
        6,
        validation_alias="VIDEO_RETENTION_HOURS",
        gt=0,
        le=876000,
        description="Hours a clip is kept after it was made; the same for all workers of a project",
    )
    serverless_idle_s: float = Field(
        5,
        validation_alias="LISTENER_SERVERLESS_IDLE_S",
        ge=0,
        le=600,
        description="listener serverless: seconds without a session after which a job that drains the queue ends",
    )
    serverless_limit_s: float = Field(
        600,
        validation_alias="LISTENER_SERVERLESS_LIMIT_S",
        ge=1,
        description="listener serverless: the endpoint's execution timeout; what is left shortly before is given back",
    )
    device_price_per_hour_usd: float = Field(
        0,
        validation_alias="LISTENER_DEVICE_PRICE_PER_HOUR_USD",
        ge=0,
        description="US dollars that an hour of one of this worker's devices costs, for what sessions cost; 0: unknown",
    )
    min_memory_mib: int = Field(
        256, validation_alias="LISTENER_MIN_MEMORY_MIB", ge=0, description="No claims below this free memory; 0: never"
    )
    min_device_memory_mib: int = Field(
        256, validation_alias="LISTENER_MIN_DEVICE_MEMORY_MIB", ge=0, description="The same for the GPU's memory"
    )
    min_disk_mib: int = Field(
        512,
        validation_alias="LISTENER_MIN_DISK_MIB",
        ge=0,
        description="The same for the disks of cache, weights and temporary files",
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _heartbeat_fits_the_lease(self) -> Self:
        if self.heartbeat_s is not None and self.heartbeat_s > self.lease_s / 2:
            raise ValueError("LISTENER_HEARTBEAT_S must be at most half of LISTENER_LEASE_S")
        self.require_signable(self.signed_url_s)
        return self

    @property
    def heartbeat_interval_s(self) -> float:
        """Seconds between heartbeats: two may be lost within a lease."""
        return self.heartbeat_s if self.heartbeat_s is not None else self.lease_s / 3

    def handler_configs(self) -> dict[str, HandlerConfig]:
        """What the handlers are built from; one of clips has to know whether anything here makes them."""
        has_engine = self.avatar_model is not None or self.routes_of(["avatar"])["avatar"] != ("local",)
        return super().handler_configs() | {"avatar": HandlerConfig({"has_engine": has_engine})}

    def secrets(self) -> list[str]:
        """Every secret value, for the log to hide."""
        fields = (getattr(self, name) for name in type(self).model_fields)
        values = (value for field in fields for value in (field if isinstance(field, tuple) else (field,)))
        return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]


def names_of(field: str) -> list[str]:
    """The variables a field is read from; the first one is the documented one."""
    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [str(alias)]


def load_settings(given: Mapping[str, str] | None = None) -> Settings:
    """Read the environment (and .env beside it) and check all of it at once; `given` goes first.

    Raises: ConfigError naming every variable that is missing, wrong or unknown; it never shows a value.
    """
    environment = {**dotenv_values(ENV_FILE), **os.environ}  # noqa: TID251 - the one place
    problems = _unknown(environment)
    settings, values = None, cast(dict[str, Any], {**routes_in(environment), **(given or {})})
    try:
        settings = Settings(**values)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        problems[:0] = [described(problem["loc"], problem["type"], problem["msg"]) for problem in found]
    if problems or settings is None:
        raise ConfigError("; ".join(problems), details={"problems": problems})
    return settings


def described(place: tuple[int | str, ...], kind: str, message: str) -> str:
    """What is wrong with one variable, in words that name it and never its value."""
    name = str(place[0]) if place else ""
    if kind == "missing":
        return f"{name} is missing"
    return f"{name}: {message.removeprefix('Value error, ')}" if name else message.removeprefix("Value error, ")


def _unknown(present: Iterable[str]) -> list[str]:
    """Our own variables that nobody reads: most often a typing mistake with a quiet effect."""
    known = {name for field in Settings.model_fields for name in names_of(field)} | OF_THE_STACK
    ours = {name.upper() for name in present if name.upper().startswith(PREFIX) and not is_route(name)}
    unknown = sorted(ours - known)
    return [f"{name} is unknown{_suggestion(name, known)}" for name in unknown]


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, [one for one in known if one.startswith(PREFIX)], n=1)
    return f", did you mean {close[0]}?" if close else ""
