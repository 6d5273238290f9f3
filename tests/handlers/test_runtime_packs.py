"""Several prompts in one request, in this process: each image is its own prompt's, whatever shares its batch."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from handlers.runtime import pipelines
from handlers.runtime.batching import BatchSizes
from handlers.runtime.generation import Drawing
from handlers.runtime.loaded import Loaded
from handlers.runtime.messages import Failed, Load
from handlers.runtime.pictures import Made
from tests.handlers.test_runtime_generation import Breaking, Heard, an_order, draw, farthest, pixels

POSES = ("a quokka, front", "a quokka, profile", "a quokka, smiling")


def opened(name: str, weights: Path) -> Loaded:
    pipelines.quieten()
    order = Load(1, "flux", "embedded", name, "bfloat16", "cpu", 2, None, str(weights))
    return pipelines.with_defaults(pipelines.load(order, lambda _note: None)[0], order)


@pytest.fixture(scope="module")
def loaded(weights: Path) -> Loaded:
    return opened("FluxPipeline", weights)


@pytest.fixture(scope="module")
def klein(weights: Path) -> Loaded:
    return opened("Flux2KleinPipeline", weights)


@pytest.fixture
def breaking(loaded: Loaded) -> Iterator[Breaking]:
    found = Breaking(loaded.pipe.transformer)
    yield found
    found.hook.remove()


def test_each_image_of_a_pack_is_drawn_of_its_own_prompt_in_one_batch(loaded: Any, breaking: Breaking) -> None:
    alone = [draw(loaded, prompt=prompt, seeds=(seed,)) for seed, prompt in enumerate(POSES)]
    before = breaking.calls
    pack = draw(loaded, prompt="", prompts=POSES, seeds=(0, 1, 2))
    assert isinstance(pack, Made)
    assert (pack.facts["batch"], breaking.calls - before) == (3, 2), "one batch of two steps"
    assert [farthest(image, pixels(one)[0]) <= 1 for image, one in zip(pixels(pack), alone, strict=True)] == [True] * 3
    same_words = draw(loaded, prompt=POSES[0], seeds=(0, 1, 2))
    assert farthest(pixels(pack)[1], pixels(same_words)[1]) > 1, "the prompt decides about the image"


def test_a_reference_is_shared_by_all_images_of_a_pack(klein: Any) -> None:
    read: list[Any] = []
    hook = klein.pipe.transformer.register_forward_pre_hook(
        lambda _module, _args, kwargs: read.append(kwargs["encoder_hidden_states"]), with_kwargs=True
    )
    try:
        alone = [draw(klein, prompt=prompt, seeds=(seed,), blobs=(reference(),)) for seed, prompt in enumerate(POSES)]
        pack = draw(klein, prompt="", prompts=POSES, seeds=(0, 1, 2), blobs=(reference(),))
    finally:
        hook.remove()
    assert isinstance(pack, Made)
    assert pack.facts["batch"] == 3
    assert [farthest(image, pixels(one)[0]) <= 1 for image, one in zip(pixels(pack), alone, strict=True)] == [True] * 3
    without = pixels(draw(klein, prompt="", prompts=POSES, seeds=(0, 1, 2)))
    assert all(farthest(*pair) > 0 for pair in zip(pixels(pack), without, strict=True)), "it shows in each"
    words, together = [read[2 * n][0].float() for n in range(3)], read[6].float()
    for n in range(3):  # such weights draw little of a prompt, so that what is handed to them is compared
        distances = [(together[n] - one).abs().max().item() for one in words]
        assert distances[n] == min(distances) < 0.1 * min(distances[:n] + distances[n + 1 :])


def test_a_model_without_references_refuses_a_pack_with_one(loaded: Any) -> None:
    refused = draw(loaded, prompt="", prompts=POSES, seeds=(0, 1, 2), blobs=(reference(),))
    assert isinstance(refused, Failed)
    assert refused.code == "model_unavailable"


def reference() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (250, 10, 10)).save(file, "PNG")
    return file.getvalue()


def test_a_pack_that_is_given_up_stops_between_two_steps(loaded: Any, breaking: Breaking) -> None:
    heard = Heard({1: 1})
    Drawing(loaded, [an_order(prompt="", prompts=POSES, seeds=(0, 1, 2), steps=50)], heard, BatchSizes()).complete()
    assert isinstance(heard.ended[1], Failed)
    assert (heard.ended[1].code, breaking.calls) == ("cancelled", 1)


def test_prompts_in_another_order_are_not_read_from_what_was_kept(loaded: Any) -> None:
    one, other = (draw(loaded, prompt="", prompts=POSES[:2][::way], seeds=(4, 4)) for way in (1, -1))
    assert max(map(farthest, pixels(one), pixels(other)[::-1])) <= 1
    assert farthest(pixels(one)[0], pixels(other)[0]) > 1


def test_a_pack_of_prompts_that_does_not_fit_is_drawn_in_smaller_batches(loaded: Any, breaking: Breaking) -> None:
    whole = draw(loaded, prompt="", prompts=POSES, seeds=(0, 1, 2))
    breaking.errors = [torch.OutOfMemoryError("CUDA out of memory")]
    split = draw(loaded, prompt="", prompts=POSES, seeds=(0, 1, 2))
    assert isinstance(split, Made)
    assert split.facts["batch"] == 1
    assert max(map(farthest, pixels(split), pixels(whole))) <= 1


def test_the_words_of_no_prompt_of_a_pack_are_told(loaded: Any, breaking: Breaking) -> None:
    breaking.errors = [ValueError("cannot draw a profile")]
    failed = draw(loaded, prompt="", prompts=POSES, seeds=(0, 1, 2))
    assert isinstance(failed, Failed)
    assert "profile" not in failed.message + failed.trace
    order = an_order(prompt="", prompts=POSES)
    assert not [text for text in POSES if text in repr(order)]
