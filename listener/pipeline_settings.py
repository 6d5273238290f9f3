"""Variables of the pipelines: which model serves a kind, how it draws, how large. One class for each kind.

A kind that names no model draws with the headshot's pipeline, all of it: weights that are alike are loaded once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import BaseSettings, NoDecode

from listener.contract import PipelineConfig
from listener.setting_values import JsonObject, read_object

Dtype = Literal["bfloat16", "float16", "float32"]
Device = Literal["cuda", "cpu", "auto"]
Model = Annotated[str, Field(min_length=1)]
Steps = Annotated[int, Field(ge=1, le=200)]
Guidance = Annotated[float, Field(ge=0, le=50)]
Side = Annotated[int, Field(ge=64, le=2048, multiple_of=16)]

OWN_MODEL = ("pipeline", "dtype", "options", "steps", "guidance")
"""What says how a model draws: it goes with the model, so that another model never inherits it."""


def _of(kind: str, name: str, default: Any, description: str, **limits: Any) -> Any:
    alias = f"LISTENER_{kind.upper()}_{name.upper()}"
    return Field(default, validation_alias=alias, description=description, **limits)


class HeadshotPipeline(BaseSettings):
    """The pipeline of headshots, and of every kind that names none."""

    headshot_model: Model = _of(
        "headshot",
        "model",
        "black-forest-labs/FLUX.2-klein-4B",
        "Hub id, folder, or embedded (tiny random weights that draw coloured noise)",
    )
    headshot_pipeline: str | None = _of(
        "headshot", "pipeline", None, "diffusers class; what the model names, if absent"
    )
    headshot_dtype: Dtype = _of("headshot", "dtype", "bfloat16", "bfloat16, float16 or float32")
    headshot_options: JsonObject = _of("headshot", "options", {}, "Speed options, as JSON: docs/speed-options.md")
    headshot_steps: Steps | None = _of("headshot", "steps", None, "Default steps; the pipeline's, if absent")
    headshot_guidance: Guidance | None = _of("headshot", "guidance", None, "Default guidance; the pipeline's")
    headshot_width: Side = _of("headshot", "width", 1024, "Default pixels wide")
    headshot_height: Side = _of("headshot", "height", 1024, "Default pixels high")
    headshot_batch_max: int = _of(
        "headshot", "batch_max", 8, "Images drawn at once; memory decides whether it is fewer", ge=1, le=64
    )
    headshot_join_window_s: float = _of(
        "headshot",
        "join_window_s",
        0,
        "Seconds in which alike sessions join one batch, as in 0.005; 0: never",
        ge=0,
        le=1,
    )


class TryonPipeline(BaseSettings):
    """The pipeline of try-ons: the headshot's, if it names no model."""

    tryon_model: Model | None = _of("tryon", "model", None, "Model of try-ons; the headshot's pipeline, if absent")
    tryon_pipeline: str | None = _of("tryon", "pipeline", None, "Its diffusers class; what that model names, if absent")
    tryon_dtype: Dtype | None = _of("tryon", "dtype", None, "bfloat16, float16 or float32; bfloat16, if absent")
    tryon_options: JsonObject | None = _of("tryon", "options", None, "Its speed options, as JSON")
    tryon_steps: Steps | None = _of("tryon", "steps", None, "Its default steps")
    tryon_guidance: Guidance | None = _of("tryon", "guidance", None, "Its default guidance")
    tryon_side_px: Side = _of("tryon", "side_px", 1024, "Longer side of a try-on at most; its shape is the person's")


class PackPipeline(BaseSettings):
    """The pipeline of character packs: the headshot's, if it names no model. It has to take reference images."""

    pack_model: Model | None = _of("pack", "model", None, "Model of packs; the headshot's pipeline, if absent")
    pack_pipeline: str | None = _of("pack", "pipeline", None, "Its diffusers class; what that model names, if absent")
    pack_dtype: Dtype | None = _of("pack", "dtype", None, "bfloat16, float16 or float32; bfloat16, if absent")
    pack_options: JsonObject | None = _of("pack", "options", None, "Its speed options, as JSON")
    pack_steps: Steps | None = _of("pack", "steps", None, "Its default steps")
    pack_guidance: Guidance | None = _of("pack", "guidance", None, "Its default guidance")
    pack_width: Side = _of("pack", "width", 1024, "Pixels wide of a pack's images")
    pack_height: Side = _of("pack", "height", 1024, "Pixels high of a pack's images")


class AvatarPipeline(BaseSettings):
    """The pipeline of talking clips: there is none, unless a model is named. No other kind's can speak."""

    avatar_model: Model | None = _of(
        "avatar", "model", None, "Hub id, folder or embedded, of the local engine of clips; none, if absent"
    )
    avatar_pipeline: str = _of("avatar", "pipeline", "LTX2DFRPipeline", "Its diffusers class")
    avatar_dtype: Dtype | None = _of("avatar", "dtype", None, "bfloat16, float16 or float32; bfloat16, if absent")
    avatar_options: JsonObject | None = _of("avatar", "options", None, "Its speed options, as JSON")
    avatar_steps: Steps | None = _of("avatar", "steps", None, "Its default steps; the pipeline's, if absent")
    avatar_side_px: Side | None = _of(
        "avatar", "side_px", None, "Longer side of a clip at most; 1280, if absent, and 128 for embedded"
    )

    avatar_guidance: ClassVar[None] = None


class FurtherPipeline(BaseModel):
    """A pipeline beside those of the kinds, for a variant to name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Model
    pipeline: str | None = None
    dtype: Dtype = "bfloat16"
    options: dict[str, Any] = Field(default_factory=dict)
    steps: Steps | None = None
    guidance: Guidance | None = None
    side_px: Side = 1024


Further = Annotated[
    dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")], FurtherPipeline],
    NoDecode,
    BeforeValidator(read_object),
]


class PipelineSettings(HeadshotPipeline, TryonPipeline, PackPipeline, AvatarPipeline):
    """The pipelines of all kinds."""

    device: Device = Field(
        "cuda", validation_alias="LISTENER_DEVICE", description="cuda, cpu, or auto (cuda when there is one)"
    )
    further_pipelines: Further = Field(
        {},
        validation_alias="LISTENER_PIPELINES",
        description="Further pipelines by name, as JSON, for variants: docs/try-on.md",
    )

    def pipelines(self) -> tuple[PipelineConfig, ...]:
        """Every pipeline that is configured."""
        headshot = self._pipeline(
            "headshot",
            width=self.headshot_width,
            height=self.headshot_height,
            batch_max=self.headshot_batch_max,
            join_window_s=self.headshot_join_window_s,
        )
        side_px = self.tryon_side_px
        tryon = self._pipeline("tryon", width=side_px, height=side_px, side_max_px=side_px)
        pack = self._pipeline("pack", width=self.pack_width, height=self.pack_height)
        return headshot, tryon, pack, *self._avatar(), *self._further()

    def _pipeline(self, kind: str, **of_the_kind: Any) -> PipelineConfig:
        """Compose a kind's pipeline; one without a model draws as the headshot's does, but for what it names."""
        chosen: dict[str, Any] = {name: getattr(self, f"{kind}_{name}") for name in OWN_MODEL}
        model = getattr(self, f"{kind}_model")
        if model is None:
            of_the_headshot = {name: getattr(self, f"headshot_{name}") for name in OWN_MODEL}
            chosen = of_the_headshot | {name: value for name, value in chosen.items() if value is not None}
            model = self.headshot_model
        return _config(kind, model, self.device, chosen, **of_the_kind)

    def _avatar(self) -> Iterator[PipelineConfig]:
        if self.avatar_model is not None:
            side_px = self.avatar_side_px or (128 if self.avatar_model == "embedded" else 1280)
            yield self._pipeline("avatar", width=side_px, height=side_px, side_max_px=side_px, batch_max=1)

    def _further(self) -> Iterator[PipelineConfig]:
        for name, further in self.further_pipelines.items():
            sides = {"width": further.side_px, "height": further.side_px, "side_max_px": further.side_px}
            chosen = {field: getattr(further, field) for field in OWN_MODEL}
            yield _config(name, further.model, self.device, chosen, **sides)


def _config(kind: str, model: str, device: str, chosen: Mapping[str, Any], **of_the_kind: Any) -> PipelineConfig:
    return PipelineConfig(
        kind=kind,
        model=model,
        device=device,
        pipeline_class=chosen["pipeline"],
        dtype=chosen["dtype"] or "bfloat16",
        options=chosen["options"] or {},
        steps=chosen["steps"],
        guidance_scale=chosen["guidance"],
        **of_the_kind,
    )
