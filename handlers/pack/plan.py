"""Plans the images of a pack: which pose, which words, which seed. Pure; knows no model and no storage."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from uuid import UUID

from handlers.pack.character import SEED_MAX, Character, Style
from handlers.pack.poses import Catalogue, Pose

QUALITY = "professional photography, high quality, detailed skin texture, natural lighting"
UNWANTED = "blurry, low quality, deformed face, extra fingers, extra limbs, watermark, text, second person"


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """One image of a pack before it is drawn; `position` counts from 0, and the first one is the reference."""

    position: int
    pose: str
    prompt: str = field(repr=False)
    negative_prompt: str = field(repr=False)
    seed: int


def plan_pack(
    character_id: UUID, character: Character, style: Style, catalogue: Catalogue, count: int
) -> tuple[PlannedImage, ...]:
    """Plan `count` images; the same character and count give the same plan."""
    seed = seed_of(character_id, style)
    return tuple(
        PlannedImage(position, pose.name, prompt_of(character, pose), _negative(style), seed)
        for position, pose in enumerate(catalogue.deal(count, seed))
    )


def seed_of(character_id: UUID, style: Style) -> int:
    """The seed that is locked to a character: the one it was given, or one that follows from its id."""
    if style.seed is not None:
        return style.seed
    return int.from_bytes(hashlib.blake2b(character_id.bytes, digest_size=8).digest()) & SEED_MAX


def another_seed(seed: int, position: int, tried: int) -> int:
    """The seed of an image's next try: far from the locked one, and the same again when the pack is drawn again."""
    if tried == 0:
        return seed
    words = f"{seed}:{position}:{tried}".encode()
    return int.from_bytes(hashlib.blake2b(words, digest_size=8).digest()) & SEED_MAX


def prompt_of(character: Character, pose: Pose) -> str:
    """Describe a character in a pose; what its config leaves open is left to the model."""
    parts = [f"Portrait photo of {_person(character)}"]
    if character.eye_color:
        parts.append(f"{character.eye_color} eyes")
    if character.body_type:
        parts.append(f"{character.body_type} body type")
    if character.outfit_style:
        parts.append(f"wearing {character.outfit_style}")
    return ", ".join([*parts, pose.words, QUALITY])


def _person(character: Character) -> str:
    youngest, oldest = character.age_range
    age = f"{youngest}" if youngest == oldest else f"{youngest}-{oldest}"
    # 8, 11 and 18 begin with a vowel when they are said, and so do the eighties.
    article = "an" if age.startswith(("8", "11", "18")) else "a"
    who = " ".join(part for part in (character.ethnicity, character.subject) if part)
    hair = " ".join(part for part in (character.hair_color, character.hair_style) if part)
    return f"{article} {age} year old {who}" + (f" with {hair} hair" if hair else "")


def _negative(style: Style) -> str:
    return f"{style.negative_prompt}, {UNWANTED}" if style.negative_prompt else UNWANTED
