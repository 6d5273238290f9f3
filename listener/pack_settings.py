"""Variables of character packs beside their pipeline. Knows their bounds; does not know how a pack is drawn."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, FilePath
from pydantic_settings import BaseSettings

from listener.contract import HandlerConfig


class PackSettings(BaseSettings):
    """The part of the settings that says how alike the faces of a pack must be, and what is done where they are not."""

    pack_similarity: float = Field(
        0.85,
        validation_alias="LISTENER_PACK_SIMILARITY",
        ge=0,
        lt=1,
        description="How alike a face and the reference's must be, 0 to 1: docs/packs.md; 0: any will do",
    )
    pack_tries: int = Field(
        2,
        validation_alias="LISTENER_PACK_TRIES",
        ge=0,
        le=10,
        description="How often an image whose face is not alike is drawn again, each time with another seed",
    )
    pack_below: Literal["deliver", "refund"] = Field(
        "deliver",
        validation_alias="LISTENER_PACK_BELOW",
        description="Then: deliver the likest one and mark it, or leave it out and refund it",
    )
    pack_batch: int = Field(
        4,
        validation_alias="LISTENER_PACK_BATCH",
        ge=1,
        le=9,
        description="Images of a pack drawn at once, after the first; fewer show sooner",
    )
    pack_poses: FilePath | None = Field(
        None,
        validation_alias="LISTENER_PACK_POSES",
        description="TOML file with the poses of packs; those of handlers/pack/poses.toml when absent",
    )

    def handler_configs(self) -> dict[str, HandlerConfig]:
        """What the handlers of these kinds are built from."""
        options = {
            "similarity_min": self.pack_similarity,
            "tries": self.pack_tries,
            "below": self.pack_below,
            "batch": self.pack_batch,
        }
        poses = {"poses": str(self.pack_poses)} if self.pack_poses else {}
        return {"pack": HandlerConfig(options | poses)}
