"""The variables of `listener alerts`. They stand in deploy/server.env: a worker needs none of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from listener.errors import ConfigError
from listener.setting_values import Words
from listener.settings import LogLevel, described

NUMBER = re.compile(r"[1-9][0-9]{6,14}")
"""E.164 without its plus sign, as the Cloud API takes it."""


def _require_numbers(numbers: tuple[str, ...]) -> tuple[str, ...]:
    if not numbers or not all(NUMBER.fullmatch(number) for number in numbers):
        raise ValueError("each is a number with its country's code and without +, as in 4915112345678")
    return numbers


class AlertSettings(BaseSettings):
    """All of them, checked."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    secret_file: Path = Field(
        validation_alias="ALERTS_SECRET_FILE", description="File with the word that Alertmanager sends"
    )
    token: SecretStr = Field(validation_alias="WHATSAPP_TOKEN", min_length=20, description="A system user's token")
    phone_number_id: str = Field(
        validation_alias="WHATSAPP_PHONE_NUMBER_ID",
        pattern=r"^[0-9]{5,32}$",
        description="Id of the number that sends; not the number",
    )
    to: Annotated[Words, AfterValidator(_require_numbers)] = Field(
        validation_alias="WHATSAPP_TO", max_length=10, description="Numbers that are told, with commas between"
    )
    template: str = Field(
        "listener_alert",
        validation_alias="WHATSAPP_TEMPLATE",
        pattern=r"^[a-z0-9_]{1,512}$",
        description="Name of the approved template with three variables",
    )
    language: str = Field(
        "en", validation_alias="WHATSAPP_LANGUAGE", pattern=r"^[a-z]{2,3}(_[A-Z]{2})?$", description="Its language"
    )
    api_url: str = Field(
        "https://graph.facebook.com/v23.0",
        validation_alias="WHATSAPP_API_URL",
        pattern=r"^(https://|http://127\.0\.0\.1[:/])[^\s?#@]+$",  # the token goes there
        description="The Graph API, with its version",
    )
    try_s: float = Field(
        8, validation_alias="WHATSAPP_TRY_S", gt=0, le=10, description="Seconds that one try may take; there are three"
    )
    log_level: LogLevel = Field("INFO", validation_alias="LOG_LEVEL")

    def secret(self) -> str:
        """What stands in the file. Raises: ConfigError."""
        try:
            secret = self.secret_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"ALERTS_SECRET_FILE: {type(error).__name__}, no readable file of ASCII") from None
        if len(secret) < 16:  # noqa: PLR2004 - what nobody guesses
            raise ConfigError("ALERTS_SECRET_FILE: the secret has fewer than 16 characters")
        return secret


def load_alert_settings() -> AlertSettings:
    """Read the environment and check all of it at once. Raises: ConfigError naming every variable, never a value."""
    try:
        return AlertSettings()
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False, include_context=False)
        problems = [described(problem["loc"], problem["type"], problem["msg"]) for problem in found]
        raise ConfigError("; ".join(problems), details={"problems": problems}) from None
