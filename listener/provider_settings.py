"""Variables of the generators elsewhere, and of the order in which the generators of a kind are asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from listener.contract import GeneratorConfig, ProviderConfig
from listener.engine_settings import ENGINE_NEEDS, EngineSettings
from listener.moderation.settings import ModerationSettings
from listener.setting_values import JsonObject

ROUTES = "LISTENER_<KIND>_GENERATORS"
ROUTE = re.compile(r"LISTENER_([A-Z0-9_]+)_GENERATORS")
URL = r"^https?://[^\s?#@]+$"
NEEDS = {
    "openai": {"openai_api_key": "OPENAI_API_KEY"},
    "replicate": {"replicate_api_token": "REPLICATE_API_TOKEN", "replicate_model": "LISTENER_REPLICATE_MODEL"},
    "fal": {"fal_key": "FAL_KEY", "fal_model": "LISTENER_FAL_MODEL"},
    "runpod": {"runpod_api_key": "RUNPOD_API_KEY", "runpod_endpoint": "LISTENER_RUNPOD_ENDPOINT"},
}
"""What each provider cannot do without: its fields, and the variables that they are read from."""


def variable_of(kind: str) -> str:
    """The variable that orders the generators of a kind."""
    return f"LISTENER_{kind.upper()}_GENERATORS"


def is_route(name: str) -> bool:
    """Whether a variable orders the generators of some kind."""
    return ROUTE.fullmatch(name.upper()) is not None


def routes_in(environment: Mapping[str, str | None]) -> dict[str, Any]:
    """What the variables of that form say, as the value of one field."""
    found = ((ROUTE.fullmatch(name.upper()), value) for name, value in environment.items())
    routes = {match[1].lower(): _words(value or "") for match, value in found if match}
    return {ROUTES: {kind: names for kind, names in routes.items() if names}}


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


class ProviderSettings(EngineSettings, ModerationSettings):
    """The part of the settings that says who makes the images of a kind, and how those elsewhere are reached."""

    routes: Annotated[dict[str, tuple[str, ...]], NoDecode] = Field(
        {},
        validation_alias=ROUTES,
        description="Who makes a kind's images, in order, as in LISTENER_TRYON_GENERATORS=openai,local",
    )
    provider_timeout_s: float = Field(
        120,
        validation_alias="LISTENER_PROVIDER_TIMEOUT_S",
        gt=0,
        le=3600,
        description="Seconds in which a provider must have made an image",
    )
    openai_model: str = Field(
        "gpt-image-1.5", validation_alias="LISTENER_OPENAI_MODEL", min_length=1, description="OpenAI's image model"
    )
    openai_options: JsonObject = Field(
        {}, validation_alias="LISTENER_OPENAI_OPTIONS", description="Its options, as JSON: docs/providers.md"
    )
    replicate_api_token: SecretStr | None = Field(
        None, validation_alias="REPLICATE_API_TOKEN", min_length=8, description="Token of Replicate"
    )
    replicate_model: str | None = Field(
        None,
        validation_alias="LISTENER_REPLICATE_MODEL",
        pattern=r"^[\w.-]+/[\w.-]+(:[0-9a-f]{64})?$",
        description="Its model: owner/name, or owner/name:version",
    )
    replicate_base_url: str | None = Field(
        None, validation_alias="LISTENER_REPLICATE_BASE_URL", pattern=URL, description="Another address of Replicate"
    )
    replicate_options: JsonObject = Field(
        {}, validation_alias="LISTENER_REPLICATE_OPTIONS", description="Names of its fields, prices: docs/providers.md"
    )
    fal_key: SecretStr | None = Field(None, validation_alias="FAL_KEY", min_length=8, description="Key of fal")
    fal_model: str | None = Field(
        None,
        validation_alias="LISTENER_FAL_MODEL",
        pattern=r"^[\w.-]+(/[\w.-]+)+$",
        description="Its model, as in fal-ai/flux-2/edit",
    )
    fal_base_url: str | None = Field(
        None, validation_alias="LISTENER_FAL_BASE_URL", pattern=URL, description="Another address of fal's queue"
    )
    fal_options: JsonObject = Field(
        {}, validation_alias="LISTENER_FAL_OPTIONS", description="The same for fal: docs/providers.md"
    )
    runpod_api_key: SecretStr | None = Field(
        None, validation_alias="RUNPOD_API_KEY", min_length=8, description="Key of RunPod"
    )
    runpod_endpoint: str | None = Field(
        None,
        validation_alias="LISTENER_RUNPOD_ENDPOINT",
        pattern=r"^[\w-]+$",
        description="Id of a RunPod Serverless endpoint",
    )
    runpod_base_url: str | None = Field(
        None, validation_alias="LISTENER_RUNPOD_BASE_URL", pattern=URL, description="Another address of RunPod"
    )
    runpod_options: JsonObject = Field(
        {}, validation_alias="LISTENER_RUNPOD_OPTIONS", description="The same for RunPod: docs/providers.md"
    )

    @model_validator(mode="after")
    def _who_is_named_can_be_reached(self) -> Self:
        named: list[tuple[str, tuple[str, ...]]] = [("LISTENER_GENERATOR", (self.generator,))]
        named += [(variable_of(kind), names) for kind, names in self.routes.items()]
        if problems := [problem for variable, names in named for problem in self._missing(variable, names)]:
            raise ValueError("; ".join(problems))
        return self

    def _missing(self, variable: str, names: Iterable[str]) -> Iterator[str]:
        for name in names:
            needs = NEEDS.get(name) or ENGINE_NEEDS.get(name, {})
            missing = [read for field, read in needs.items() if getattr(self, field) is None]
            if missing:
                yield f"{variable} names {name}, which needs {' and '.join(missing)}"

    def routes_of(self, kinds: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Who makes each of the kinds, in order."""
        return {kind: self.routes.get(kind, (self.generator,)) for kind in kinds}

    def models_of(self, kinds: Iterable[str]) -> dict[str, str]:
        """The model of whoever is asked first for each kind; an engine is named by its own name."""
        config = self.generator_config()
        models = {pipeline.kind: pipeline.model for pipeline in config.pipelines}
        for kind, (first, *_) in self.routes_of(kinds).items():
            if first in config.providers:
                models[kind] = config.providers[first].model
            elif first in ENGINE_NEEDS:
                models[kind] = first
        return models

    def generator_config(self) -> GeneratorConfig:
        """What the generators are built from."""
        return replace(super().generator_config(), providers=dict(self._providers()))

    def _providers(self) -> Iterator[tuple[str, ProviderConfig]]:
        """Those that can be reached."""
        for name, needs in NEEDS.items():
            key, *rest = (getattr(self, field) for field in needs)
            model = rest[0] if rest else self.openai_model
            if key is not None and model is not None:
                yield (
                    name,
                    ProviderConfig(
                        model=model,
                        key=key.get_secret_value(),
                        base_url=getattr(self, f"{name}_base_url"),
                        timeout_s=self.provider_timeout_s,
                        max_retries=self.openai_max_retries,
                        options=getattr(self, f"{name}_options"),
                    ),
                )
