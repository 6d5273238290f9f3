"""Variables of the generator: on which devices it works, how long things may take, where its files lie."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, SecretStr

from listener.contract import GeneratorConfig, PipelineConfig
from listener.pipeline_settings import PipelineSettings
from listener.setting_values import Words


class ModelSettings(PipelineSettings):
    """The part of the settings that a generator is built from."""

    hf_token: SecretStr | None = Field(
        None, validation_alias="HF_TOKEN", description="Token for gated weights on the model hub"
    )
    model_storage_path: Path | None = Field(
        None, validation_alias="MODEL_STORAGE_PATH", description="Folder that keeps downloaded weights"
    )
    cache_dir: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path("listener"),
        validation_alias="LISTENER_CACHE_DIR",
        description="Folder for what can be made again; the user's cache folder when absent",
    )
    kinds: Words = Field(
        (), validation_alias="LISTENER_KINDS", description="Kinds to serve, with commas between; all when absent"
    )
    generator: str = Field(
        "local",
        validation_alias="LISTENER_GENERATOR",
        description="Which generator makes the images of kinds that name none of their own",
    )
    devices: Words = Field(
        (), validation_alias="LISTENER_DEVICES", description="Several: cuda:0,cuda:1; each gets a process of its own"
    )
    step_timeout_s: float = Field(
        60, validation_alias="LISTENER_STEP_TIMEOUT_S", gt=0, description="Seconds one denoising step may take"
    )
    load_timeout_s: float = Field(
        1800,
        validation_alias="LISTENER_LOAD_TIMEOUT_S",
        gt=0,
        description="Seconds loading may take; a download only so long without a new byte",
    )
    warm_up_timeout_s: float = Field(
        600, validation_alias="LISTENER_WARM_UP_TIMEOUT_S", gt=0, description="Seconds the first images may take"
    )
    preload: Words | None = Field(
        None,
        validation_alias="LISTENER_PRELOAD",
        description="Kinds to load before it is ready, with commas between; all when absent",
    )
    memory_budget_mib: int | None = Field(
        None,
        validation_alias="LISTENER_MEMORY_BUDGET_MIB",
        ge=1,
        description="MiB that loaded pipelines may take together; nine tenths of a GPU when absent",
    )
    recycle_after_runs: int = Field(
        0,
        validation_alias="LISTENER_RECYCLE_AFTER_RUNS",
        ge=0,
        description="Runs after which the child is replaced; 0: never",
    )
    recycle_growth_mib: int = Field(
        8192,
        validation_alias="LISTENER_RECYCLE_GROWTH_MIB",
        ge=0,
        description="MiB of growth after which the child is replaced",
    )
    standby: Literal["auto", "on", "off"] = Field(
        "auto",
        validation_alias="LISTENER_STANDBY",
        description="A spare process that only has to load when the child ends: auto (for a GPU), on or off",
    )

    def generator_config(self) -> GeneratorConfig:
        """What the generator is built from."""
        return GeneratorConfig(
            pipelines=self._pipelines_served(),
            cache_dir=str(self.cache_dir),
            weights_dir=str(self.model_storage_path) if self.model_storage_path else None,
            step_timeout_s=self.step_timeout_s,
            load_timeout_s=self.load_timeout_s,
            warm_up_timeout_s=self.warm_up_timeout_s,
            preload=self.preload,
            devices=self.devices,
            memory_budget_mib=self.memory_budget_mib,
            recycle_after_runs=self.recycle_after_runs,
            recycle_growth_mib=self.recycle_growth_mib,
            standby={"auto": None, "on": True, "off": False}[self.standby],
            hub_token=self.hf_token.get_secret_value() if self.hf_token else None,
        )

    def _pipelines_served(self) -> tuple[PipelineConfig, ...]:
        """Leave out the pipelines of kinds that this worker does not serve; a kind of somebody's own may use any."""
        known = {pipeline.kind for pipeline in self.pipelines()}
        ours = {*known, "avatar"} - set(self.further_pipelines)  # whose clips may be made by another engine alone
        if not self.kinds or not set(self.kinds) <= ours:
            return self.pipelines()
        wanted = {*self.kinds, *self.further_pipelines}
        return tuple(one for one in self.pipelines() if one.kind in wanted) or self.pipelines()
