"""Variables of the generator and its pipelines: which model serves a kind, on which device, where its files lie."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, SecretStr

from listener.contract import GeneratorConfig, PipelineConfig
from listener.later import JsonObject, LaterSettings, Words


class ModelSettings(LaterSettings):
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

    headshot_batch_max: int = Field(
        8,
        validation_alias="LISTENER_HEADSHOT_BATCH_MAX",
        ge=1,
        le=64,
        description="Images drawn at once; memory decides whether it is fewer",
    )
    headshot_join_window_s: float = Field(
        0,
        validation_alias="LISTENER_HEADSHOT_JOIN_WINDOW_S",
        ge=0,
        le=1,
        description="Seconds in which alike sessions join one batch, as in 0.005; 0: never",
    )

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
            batch_max=self.headshot_batch_max,
            join_window_s=self.headshot_join_window_s,
        )
        return GeneratorConfig(
            pipelines=(headshot,),
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
            hub_token=self.hf_token.get_secret_value() if self.hf_token else None,
        )
