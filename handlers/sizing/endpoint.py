"""POST /estimate-body: fetch, find the person, measure, recommend. Knows the order; the steps know the rest."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from handlers.inputs.pictures import read_picture
from handlers.sizing.full_body import NoFullBody, confidence_of, require_full_body
from handlers.sizing.measures import Measures, measures_of
from handlers.sizing.pose import PoseProcess
from handlers.sizing.scale import Scale
from handlers.sizing.sizes import OURS, BodyType, Table, body_type_of, load_table, recommended, sizes_of
from listener.contract import EndpointConfig, EndpointLimits, EndpointStatus, Fetch
from listener.errors import AttemptFailure, ConfigError, ModelUnavailable, RuntimeDied, TimeLimit, Unusable

PICTURE = "image_url"
SIDE_MAX_PX = 768
"""MediaPipe looks at 256 pixels of a body; more only makes the outline finer."""
METRES = (1.0, 2.5)
"""The heights that are taken, as people who think in metres write them."""


class EstimateParams(BaseModel):
    """One photograph of one person, and how tall he is."""

    model_config = ConfigDict(extra="forbid")

    image_url: str = Field(min_length=1, max_length=2000)
    height_cm: float = Field(ge=100, le=250, allow_inf_nan=False, strict=True)

    @field_validator("height_cm", mode="before")
    @classmethod
    def _know_metres(cls, value: object) -> object:
        if type(value) in (int, float) and METRES[0] <= value <= METRES[1]:  # type: ignore[operator]
            raise Unusable("is in metres", "give centimetres, as in 175 for 1.75 m")
        return value


class Estimate(BaseModel):
    """A recommendation, and what it rests on."""

    model_config = ConfigDict(extra="forbid")

    recommended_size: str
    sizes: dict[str, str] = Field(description="The size for each girth alone")
    measurements: Measures
    body_type: BodyType
    confidence: float = Field(ge=0, le=1)
    is_reliable: bool
    advice: list[str] = Field(description="What would make it surer")


class EstimateBody:
    """Answers POST /estimate-body. Raises: from the constructor, ConfigError."""

    path: ClassVar[str] = "/estimate-body"
    part: ClassVar[str] = "pose"
    limits: ClassVar[EndpointLimits] = EndpointLimits(at_once=4, waiting=16, within_s=40)
    Params: type[EstimateParams] = EstimateParams
    summary: ClassVar[str] = "Estimate a body and a size"
    group: ClassVar[str] = "Sizing"
    Answer: ClassVar[type[BaseModel]] = Estimate
    example: ClassVar[Mapping[str, Any]] = {"image_url": "$PICTURE", "height_cm": 175}
    failures: ClassVar[tuple[type[AttemptFailure], ...]] = (NoFullBody, ModelUnavailable, RuntimeDied, TimeLimit)

    def __init__(self, config: EndpointConfig) -> None:
        if find_spec("mediapipe") is None:
            raise ConfigError("mediapipe is not installed: it comes with the extra `sizing`, not for Linux on ARM")
        self._table: Table = load_table(Path(config.files.get("size_table", OURS)))
        self._pose = PoseProcess(config.cache_dir)

    async def run(self, params: EstimateParams, fetch: Fetch) -> Mapping[str, Any]:
        """Answer one request. Raises: NoFullBody, InputUnavailable and other AttemptFailures."""
        fetched = await fetch(params.image_url, PICTURE)
        picture = await read_picture(fetched.data, SIDE_MAX_PX, PICTURE)
        person = require_full_body(await self._pose.find(picture.png))
        scale = Scale.of(person, params.height_cm)
        measures = measures_of(person, scale, params.height_cm)
        confidence = confidence_of(person, scale)
        sizes = sizes_of(measures, self._table)
        return {
            "recommended_size": recommended(sizes),
            "sizes": sizes,
            "measurements": measures.shown(),
            "body_type": body_type_of(measures),
            "confidence": confidence.value,
            "is_reliable": confidence.is_reliable,
            "advice": list(confidence.advice),
        }

    def status(self) -> EndpointStatus:
        """Tell whether poses can be found."""
        return self._pose.status()

    async def close(self) -> None:
        """End the pose process."""
        await self._pose.close()
