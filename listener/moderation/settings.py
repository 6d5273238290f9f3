"""The variables of moderation, and those that say how OpenAI is reached."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings


class ModerationSettings(BaseSettings):
    """The part of the settings that says which words are refused, and by whom."""

    openai_api_key: SecretStr | None = Field(
        None,
        validation_alias="OPENAI_API_KEY",
        min_length=8,
        description="Key of OpenAI, for moderation and images",
    )
    openai_base_url: str | None = Field(
        None,
        validation_alias="OPENAI_BASE_URL",
        pattern=r"^https?://[^\s?#@]+$",
        description="Where OpenAI is reached, when not at its own address",
    )
    openai_max_retries: int = Field(
        3,
        validation_alias="OPENAI_MAX_RETRIES",
        ge=0,
        le=10,
        description="Further tries after a 5xx, with growing delays; for every provider",
    )
    moderation: Literal["off", "rules", "openai"] = Field(
        "rules",
        validation_alias="LISTENER_MODERATION",
        description="Who judges prompts: rules (a file), openai (the file, then OpenAI's moderation), or off",
    )
    moderation_rules: Path | None = Field(
        None,
        validation_alias="LISTENER_MODERATION_RULES",
        description="Your own file of rules, not the shipped one",
    )
    moderation_when_down: Literal["closed", "open"] = Field(
        "closed",
        validation_alias="LISTENER_MODERATION_WHEN_DOWN",
        description="When OpenAI cannot judge: closed fails the attempt (and tries again), open lets it pass",
    )
    moderation_model: str = Field(
        "omni-moderation-latest",
        validation_alias="LISTENER_MODERATION_MODEL",
        min_length=1,
        description="Its model",
    )
    moderation_timeout_s: float = Field(
        15,
        validation_alias="LISTENER_MODERATION_TIMEOUT_S",
        gt=0,
        le=120,
        description="Seconds it may take, with retries",
    )

    @model_validator(mode="after")
    def _a_judge_needs_a_key(self) -> Self:
        if self.moderation == "openai" and self.openai_api_key is None:
            raise ValueError("LISTENER_MODERATION=openai needs OPENAI_API_KEY")
        return self
