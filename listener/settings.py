"""Every environment variable of the daemon: name, unit, default and bound. Read once, at start, and only here."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self, cast

import platformdirs
from dotenv import dotenv_values
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from listener.contract import GeneratorConfig, PipelineConfig
from listener.errors import ConfigError
from listener.later import JsonObject, LaterSettings, Words

PREFIX = "LISTENER_"
ENV_FILE = ".env"
OF_THE_STACK = frozenset({"LISTENER_PG_BIN"})
"""Variables with our prefix that others read."""

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class Settings(LaterSettings):
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
    hf_token: SecretStr | None = Field(
        None, validation_alias="HF_TOKEN", description="Token for gated weights on the model hub"
    )
    model_storage_path: Path | None = Field(
        None, validation_alias="MODEL_STORAGE_PATH", description="Folder that keeps downloaded weights"
    )

    http_host: str = Field(
        "127.0.0.1", validation_alias="LISTENER_HTTP_HOST", description="Address of the probes; 0.0.0.0 in containers"
    )
    http_port: int = Field(
        8000, validation_alias="LISTENER_HTTP_PORT", ge=0, le=65535, description="Their port; 0 takes a free one"
    )
    worker_name: str = Field(
        default_factory=lambda: os.uname().nodename,
        validation_alias="LISTENER_WORKER_NAME",
        max_length=200,
        description="Label of this worker; the host's name when absent",
    )
    kinds: Words = Field(
        (), validation_alias="LISTENER_KINDS", description="Kinds to serve, with commas between; all when absent"
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
    realtime: bool = Field(
        True, validation_alias="LISTENER_REALTIME", description="off: no Realtime, the sweep alone finds sessions"
    )
    signed_url_s: int = Field(
        21600, validation_alias="LISTENER_SIGNED_URL_S", ge=60, description="Seconds a result's signed URL is valid"
    )
    cache_dir: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path("listener"),
        validation_alias="LISTENER_CACHE_DIR",
        description="Folder for what can be made again; the user's cache folder when absent",
    )
    generator: str = Field("local", validation_alias="LISTENER_GENERATOR", description="Which generator makes images")
    device: Literal["cuda", "cpu", "auto"] = Field(
        "cuda", validation_alias="LISTENER_DEVICE", description="cuda, cpu, or auto (cuda when there is one)"
    )
    devices: Words = Field(
        (), validation_alias="LISTENER_DEVICES", description="Several: cuda:0,cuda:1; each gets a process of its own"
    )
    step_timeout_s: float = Field(
        60, validation_alias="LISTENER_STEP_TIMEOUT_S", gt=0, description="Seconds one denoising step may take"
    )
    load_timeout_s: float = Field(
        1800, validation_alias="LISTENER_LOAD_TIMEOUT_S", gt=0, description="Seconds loading or downloading may take"
    )
    headshot_model: str = Field(
        "black-forest-labs/FLUX.2-klein-4B",
        validation_alias="LISTENER_HEADSHOT_MODEL",
        min_length=1,
        description="Hub id, folder, or embedded (tiny random weights that draw coloured noise)",
    )
    headshot_pipeline: str | None = Field(
        None,
        validation_alias="LISTENER_HEADSHOT_PIPELINE",
        description="diffusers class; what the model names, if absent",
    )
    headshot_dtype: Literal["bfloat16", "float16", "float32"] = Field(
        "bfloat16", validation_alias="LISTENER_HEADSHOT_DTYPE", description="bfloat16, float16 or float32"
    )
    headshot_options: JsonObject = Field(
        {}, validation_alias="LISTENER_HEADSHOT_OPTIONS", description="Speed options, as JSON: docs/speed-options.md"
    )
    headshot_steps: int | None = Field(
        None,
        validation_alias="LISTENER_HEADSHOT_STEPS",
        ge=1,
        le=200,
        description="Default steps; the pipeline's, if absent",
    )
    headshot_guidance: float | None = Field(
        None, validation_alias="LISTENER_HEADSHOT_GUIDANCE", ge=0, le=50, description="Default guidance; the pipeline's"
    )
    headshot_width: int = Field(
        1024,
        validation_alias="LISTENER_HEADSHOT_WIDTH",
        ge=64,
        le=2048,
        multiple_of=16,
        description="Default pixels wide",
    )
    headshot_height: int = Field(
        1024,
        validation_alias="LISTENER_HEADSHOT_HEIGHT",
        ge=64,
        le=2048,
        multiple_of=16,
        description="Default pixels high",
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _heartbeat_fits_the_lease(self) -> Self:
        if self.heartbeat_s is not None and self.heartbeat_s > self.lease_s / 2:
            raise ValueError("LISTENER_HEARTBEAT_S must be at most half of LISTENER_LEASE_S")
        return self

    @property
    def heartbeat_interval_s(self) -> float:
        """Seconds between heartbeats: two may be lost within a lease."""
        return self.heartbeat_s if self.heartbeat_s is not None else self.lease_s / 3

    def secrets(self) -> list[str]:
        """Every secret value, for the log to hide."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]

    def generator_config(self) -> GeneratorConfig:
        """What the generator is built from."""
        headshot = PipelineConfig(
            kind="headshot",
            model=self.headshot_model,
            pipeline_class=self.headshot_pipeline,
            dtype=self.headshot_dtype,
            device=self.device,
            steps=self.headshot_steps,
            guidance_scale=self.headshot_guidance,
            width=self.headshot_width,
            height=self.headshot_height,
            options=self.headshot_options,
        )
        return GeneratorConfig(
            pipelines=(headshot,),
            cache_dir=str(self.cache_dir),
            devices=self.devices,
            weights_dir=str(self.model_storage_path) if self.model_storage_path else None,
            step_timeout_s=self.step_timeout_s,
            load_timeout_s=self.load_timeout_s,
            hub_token=self.hf_token.get_secret_value() if self.hf_token else None,
        )


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
    problems = _unknown([*os.environ, *dotenv_values(ENV_FILE)])  # noqa: TID251 - the one place
    settings, values = None, cast(dict[str, Any], given or {})
    try:
        settings = Settings(**values)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        problems[:0] = [_described(problem["loc"], problem["type"], problem["msg"]) for problem in found]
    if problems or settings is None:
        raise ConfigError("; ".join(problems), details={"problems": problems})
    return settings


def _described(place: tuple[int | str, ...], kind: str, message: str) -> str:
    name = str(place[0]) if place else ""
    if kind == "missing":
        return f"{name} is missing"
    return f"{name}: {message.removeprefix('Value error, ')}" if name else message.removeprefix("Value error, ")


def _unknown(present: Iterable[str]) -> list[str]:
    """Our own variables that nobody reads: most often a typing mistake with a quiet effect."""
    known = {name for field in Settings.model_fields for name in names_of(field)} | OF_THE_STACK
    unknown = sorted({name.upper() for name in present if name.upper().startswith(PREFIX)} - known)
    return [f"{name} is unknown{_suggestion(name, known)}" for name in unknown]


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, [one for one in known if one.startswith(PREFIX)], n=1)
    return f", did you mean {close[0]}?" if close else ""
