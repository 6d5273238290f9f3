"""A character's config becomes the same plan every time: prompts, poses, seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from handlers.pack.character import Character, Style
from handlers.pack.plan import another_seed, plan_pack, prompt_of, seed_of
from handlers.pack.poses import SHIPPED, Pose, read_poses
from listener.errors import ConfigError

MAYA = UUID("0d0f4f3e-4f4f-4c3e-8a3b-3f1f5a0f9c11")
LOOKS: dict[str, Any] = {
    "age_range": [25, 30],
    "ethnicity": "Brazilian",
    "hair_color": "dark brown",
    "hair_style": "curly",
    "eye_color": "hazel",
    "body_type": "athletic",
    "outfit_style": "smart casual, linen",
}
CHARACTER = Character.model_validate(LOOKS)


def test_every_trait_of_the_config_stands_in_the_prompt() -> None:
    words = prompt_of(CHARACTER, Pose(name="smile", words="warm smile"))
    assert words == (
        "Portrait photo of a 25-30 year old Brazilian woman with dark brown curly hair, hazel eyes, "
        "athletic body type, wearing smart casual, linen, warm smile, professional photography, high quality, "
        "detailed skin texture, natural lighting"
    )


def test_what_the_config_leaves_open_leaves_no_hole_in_the_prompt() -> None:
    bare = Character.model_validate({"age_range": [80, 80], "subject": "man"})
    assert prompt_of(bare, Pose(name="smile", words="warm smile")).startswith(
        "Portrait photo of an 80 year old man, warm smile, professional"
    )


def test_the_same_character_gets_the_same_plan_and_another_one_another() -> None:
    catalogue = read_poses()
    plan = plan_pack(MAYA, CHARACTER, Style(), catalogue, 8)
    assert plan == plan_pack(MAYA, CHARACTER, Style(), catalogue, 8)
    stranger = plan_pack(UUID(int=7), CHARACTER, Style(), catalogue, 8)
    assert [image.pose for image in stranger] != [image.pose for image in plan]
    assert stranger[0].seed != plan[0].seed


@pytest.mark.parametrize("count", [5, 10])
def test_a_pack_opens_with_the_reference_and_repeats_no_pose(count: int) -> None:
    plan = plan_pack(MAYA, CHARACTER, Style(), read_poses(), count)
    assert [image.position for image in plan] == list(range(count))
    assert plan[0].pose == "portrait"
    assert len({image.pose for image in plan}) == count
    assert {image.seed for image in plan} == {seed_of(MAYA, Style())}


def test_a_locked_seed_is_used_as_it_is_and_each_further_try_has_its_own() -> None:
    assert seed_of(MAYA, Style(seed=42)) == 42
    tries = [another_seed(42, position, tried) for position in (1, 2) for tried in (1, 2, 3)]
    assert len({42, *tries}) == 7
    assert another_seed(42, 1, 0) == 42
    assert another_seed(42, 1, 2) == tries[1]


def test_the_characters_own_unwanted_things_come_before_ours() -> None:
    plan = plan_pack(MAYA, CHARACTER, Style(negative_prompt="hat,  glasses"), read_poses(), 5)
    assert plan[3].negative_prompt.startswith("hat, glasses, blurry")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("age_range", [30, 25], "give the youngest age first"),
        ("age_range", [16, 25], "give ages from 18 to 100 years"),
        ("age_range", [25], "Field required"),
        ("ethnicity", "   ", "leave the field out"),
        ("hair_color", "x" * 81, "shorten it to at most 80"),
        ("hair_style", "curly) (nude:1.5", "use letters, digits"),
        ("eye_color", "<lora:thing:1>", "use letters, digits"),
        ("subject", "child", "Input should be 'woman', 'man' or 'person'"),
        ("height", 180, "Extra inputs are not permitted"),
    ],
)
def test_a_config_that_cannot_be_drawn_names_its_field_and_the_remedy(field: str, value: Any, told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Character.model_validate(LOOKS | {field: value})
    (error,) = refused.value.errors()
    assert error["loc"][0] == field
    assert told in error["msg"]
    assert "nude" not in str(refused.value)


@pytest.mark.parametrize(
    "style", [{"seed": -1}, {"seed": 2**53}, {"style_strength": 1.5}, {"negative_prompt": "x" * 2001}]
)
def test_a_style_beyond_its_limits_is_refused(style: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Style.model_validate(style)


SHIPPED_TEXT = SHIPPED.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SHIPPED_TEXT.replace('"smile"', '"portrait"'), "the same name"),
        (SHIPPED_TEXT.split("[[pose]]")[0] + '[[pose]]\nname = "one"\nwords = "alone"\n', "at least 10 items"),
        (SHIPPED_TEXT + "words =", "is not TOML"),
        ("version = 2", "version"),
        ("#" * 100_001, "larger than"),
    ],
)
def test_a_catalogue_that_cannot_be_used_is_told_with_its_file(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "poses.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=told):
        read_poses(path)


def test_a_catalogue_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_poses(tmp_path / "none.toml")
