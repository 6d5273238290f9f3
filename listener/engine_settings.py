"""Variables of engines that are programs of their own, in an environment of their own: how they are run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from listener.contract import EngineConfig, GeneratorConfig
from listener.model_settings import ModelSettings

ENGINE_NEEDS: Mapping[str, Mapping[str, str]] = {
    "infinitetalk": {
        "infinitetalk_command": "LISTENER_INFINITETALK_COMMAND",
        "model_storage_path": "MODEL_STORAGE_PATH",
    },
}
"""What each engine cannot do without: its fields, and the variables that they are read from."""


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tuple(shlex.split(value))
    except ValueError:
        raise ValueError("has a quotation mark without its other one") from None


CommandWords = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""A command written as in a shell; no shell ever reads it."""


class EngineSettings(ModelSettings):
    """The part of the settings that says how a program that makes clips is run."""

    infinitetalk_command: CommandWords | None = Field(
        None,
        validation_alias="LISTENER_INFINITETALK_COMMAND",
        min_length=1,
        description="Its Python and its program, as in /opt/it/bin/python /opt/InfiniteTalk/generate_infinitetalk.py",
    )
    infinitetalk_arguments: CommandWords = Field(
        ("--num_persistent_param_in_dit", "0"),
        validation_alias="LISTENER_INFINITETALK_ARGUMENTS",
        description="Further arguments of that program: docs/infinitetalk.md",
    )
    infinitetalk_steps: int = Field(
        40, validation_alias="LISTENER_INFINITETALK_STEPS", ge=1, le=200, description="Its steps, unless a row says"
    )
    infinitetalk_limit_s: float = Field(
        600, validation_alias="LISTENER_INFINITETALK_LIMIT_S", gt=0, le=86400, description="Seconds one clip may take"
    )
    infinitetalk_download: bool = Field(
        True,
        validation_alias="LISTENER_INFINITETALK_DOWNLOAD",
        description="Whether missing model files are downloaded to MODEL_STORAGE_PATH",
    )

    def generator_config(self) -> GeneratorConfig:
        """What the generators are built from."""
        config = super().generator_config()
        if self.infinitetalk_command is None:
            return config
        engine = EngineConfig(
            command=self.infinitetalk_command,
            arguments=self.infinitetalk_arguments,
            steps=self.infinitetalk_steps,
            limit_s=self.infinitetalk_limit_s,
            download=self.infinitetalk_download,
        )
        return replace(config, engines={"infinitetalk": engine})
