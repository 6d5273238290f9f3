"""What try-ons ask of the runtime: weights that are shared, pictures of any size, editors that want another call."""

from __future__ import annotations

import inspect
import io
from pathlib import Path
from typing import Any
from uuid import uuid4

import diffusers
import pytest
from diffusers import FlowMatchEulerDiscreteScheduler
from PIL import Image

from handlers.runtime.arguments import arguments_of
from handlers.runtime.loaded import Loaded, LoadError
from handlers.runtime.messages import Generate, Load
from handlers.runtime.pipelines import load
from handlers.runtime.residency import Residents
from handlers.runtime.runs import Run, load_order
from listener.contract import GenerationRequest, PipelineConfig
from listener.settings import load_settings


def reference(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 120, 60)).save(buffer, "PNG")
    return buffer.getvalue()


def orders(weights: Path, **variables: str) -> list[Load]:
    """The orders to load that the settings lead to: the headshot's and the try-on's."""
    given = {"SUPABASE_URL": "http://localhost", "SUPABASE_SERVICE_ROLE_KEY": "x" * 20, "LISTENER_DEVICE": "cpu"}
    given |= {
        "LISTENER_HEADSHOT_MODEL": "embedded",
        "LISTENER_CACHE_DIR": str(weights),
        "LISTENER_KINDS": "headshot,tryon",
    }
    config = load_settings(given | variables).generator_config()
    return [load_order(number, pipeline, config) for number, pipeline in enumerate(config.pipelines)]


def brought_in(residents: Residents, order: Load) -> Any:
    return residents.bring_in(order, lambda _note: None)[0]


def test_headshots_and_try_ons_draw_with_the_same_weights(weights: Path) -> None:
    residents = Residents()
    headshot, tryon = (brought_in(residents, order) for order in orders(weights, LISTENER_TRYON_STEPS="6"))
    assert tryon.pipe is headshot.pipe
    assert (headshot.steps, tryon.steps) == (4, 6), "each with its own defaults"
    assert residents.use("headshot") is not None, "neither had to leave for the other"


def test_a_try_on_with_an_option_of_its_own_draws_with_weights_of_its_own(weights: Path) -> None:
    headshot, tryon = orders(weights, LISTENER_TRYON_OPTIONS='{"vae_slicing": true}')
    residents = Residents()
    assert brought_in(residents, headshot).pipe is not brought_in(residents, tryon).pipe


@pytest.mark.parametrize(
    ("asked", "drawn"),
    [((1024, 768), (256, 192)), ((768, 1024), (192, 256)), ((128, 96), (128, 96)), ((1024, 256), (256, 64))],
)
def test_a_picture_larger_than_the_pipeline_draws_keeps_its_shape(
    asked: tuple[int, int], drawn: tuple[int, int]
) -> None:
    request = GenerationRequest("tryon", uuid4(), "x", (1,), width=asked[0], height=asked[1])
    order = Run(1, request).order(PipelineConfig("tryon", "embedded", side_max_px=256))
    assert (order.width, order.height) == drawn


def test_an_editor_that_needs_torchvision_is_refused_by_name_before_anything_is_downloaded(tmp_path: Path) -> None:
    order = Load(1, "tryon", "some/hub-id", "QwenImageEditPlusPipeline", "bfloat16", "cpu", None, None, str(tmp_path))
    with pytest.raises(LoadError, match="QwenImageEditPlusPipeline needs torchvision, which is not installed"):
        load(order, lambda _note: None)
    (tmp_path / "model_index.json").write_text('{"_class_name": "QwenImageEditPipeline"}')
    folder = Load(1, "tryon", str(tmp_path), None, "bfloat16", "cpu", None, None, str(tmp_path))
    with pytest.raises(LoadError, match="QwenImageEditPipeline needs torchvision"):
        load(folder, lambda _note: None)


def test_an_editor_is_guided_by_its_second_pass_and_gets_every_picture() -> None:
    parts = dict.fromkeys(("vae", "text_encoder", "tokenizer", "processor", "transformer"))
    pipe = diffusers.QwenImageEditPlusPipeline(scheduler=FlowMatchEulerDiscreteScheduler(), **parts)
    parameters = frozenset(inspect.signature(type(pipe).__call__).parameters)
    loaded = Loaded(pipe, "some/hub-id", "cpu", "float32", 40, 4.0, parameters)
    pictures = (reference(64, 96), reference(96, 64))
    order = Generate(1, "tryon", "dress them", None, (1,), 256, 192, None, None, pictures)
    arguments, notes = arguments_of(loaded, order)
    assert (arguments["true_cfg_scale"], arguments["negative_prompt"], notes) == (4.0, " ", [])
    assert "guidance_scale" not in arguments
    assert [image.size for image in arguments["image"]] == [(64, 96), (96, 64)]
    assert set(arguments) <= parameters
