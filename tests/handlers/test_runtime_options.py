"""Speed options: each loads and draws on real pipelines with tiny weights, or is refused by name with the reason."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from handlers.runtime import pipelines
from handlers.runtime.host import LocalGenerator
from handlers.runtime.loaded import Loaded, LoadError
from handlers.runtime.messages import Load
from handlers.runtime.options import AUTO_ATTENTION, SpeedOptions, options_text, read_options
from handlers.runtime.options_apply import OptionRefusedError, denoisers, loading_arguments, offload
from handlers.runtime.options_prompts import PromptCache
from handlers.runtime.residency import size_bytes
from listener.contract import GeneratorConfig, PipelineConfig
from listener.errors import ConfigError

DOCS = Path(__file__).parents[2] / "docs"
KLEIN, FLUX = "Flux2KleinPipeline", "FluxPipeline"
ONE_LEVEL = 1 / 255
"""Of 0 to 1: options that only order the arithmetic otherwise move no value further."""
LOSSLESS: list[dict[str, Any]] = [
    {"attention": "native"},
    {"attention": "_native_math"},
    {"attention": "auto"},
    {"fuse_qkv": True},
    {"channels_last": True},
    {"vae_slicing": True},
    {"step_cache": "text_kv"},
    {"prompt_cache": 0},
]
LOSSY: list[dict[str, Any]] = [
    {"vae_tiling": True},
    {"storage": "float8_e4m3fn"},
    {"storage": "float8_e5m2"},
    {"step_cache": "sea"},
    {"step_cache": "taylor_seer", "step_cache_values": {"cache_interval": 2, "disable_cache_before_step": 1}},
    {"step_cache": "pyramid_attention"},
]


@pytest.fixture
def load(weights: Path) -> Callable[..., tuple[Loaded, dict[str, Any]]]:
    """Load the embedded weights of a class with options, in this process."""

    def begin(name: str, **options: Any) -> tuple[Loaded, dict[str, Any]]:
        text = options_text("portrait", options)
        order = Load(1, "portrait", "embedded", name, "float32", "cpu", None, None, str(weights), options=text)
        return pipelines.load(order, lambda _note: None)

    pipelines.quieten()
    return begin


def draw(loaded: Loaded, side_px: int = 64, seed: int = 3, prompt: str = "a portrait", **more: Any) -> torch.Tensor:
    arguments = {"prompt": prompt, "width": side_px, "height": side_px, "num_inference_steps": 4, **more}
    with torch.no_grad():
        generator = torch.Generator("cpu").manual_seed(seed)
        drawn: torch.Tensor = loaded.pipe(**arguments, generator=generator, output_type="pt").images
    return drawn


def apart(one: torch.Tensor, two: torch.Tensor) -> float:
    return float((one - two).abs().max())


@pytest.mark.parametrize("name", [pytest.param(KLEIN, marks=pytest.mark.slow), FLUX])
@pytest.mark.parametrize("options", LOSSLESS, ids=str)
def test_an_option_that_loses_nothing_draws_the_same_picture(load: Any, name: str, options: dict[str, Any]) -> None:
    plain, (fast, _facts) = load(name)[0], load(name, **options)
    for side_px in (64, 96):
        assert apart(draw(fast, side_px), draw(plain, side_px)) <= ONE_LEVEL


@pytest.mark.parametrize("name", [pytest.param(KLEIN, marks=pytest.mark.slow), FLUX])
@pytest.mark.parametrize("options", LOSSY, ids=str)
def test_an_option_that_trades_accuracy_draws_pictures_that_repeat(
    load: Any, name: str, options: dict[str, Any]
) -> None:
    fast, facts = load(name, **options)
    first = draw(fast)
    assert first.std() > ONE_LEVEL
    assert draw(fast, 96).shape[-1] == 96
    assert torch.equal(draw(fast), first), "something of another picture was kept"
    assert facts["options"].items() >= options.items()


def test_a_step_cache_that_a_model_does_not_fit_is_refused_before_any_request(load: Any) -> None:
    assert apart(draw(load(FLUX, step_cache="first_block")[0]), draw(load(FLUX)[0])) < 1
    with pytest.raises(LoadError, match="embedded: step_cache first_block cannot be used: TypeError"):
        load(KLEIN, step_cache="first_block")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attention": "flash"}, "attention flash cannot be used: .*missing package"),
        ({"attention": ["flash", "sage"]}, "flash cannot be used.*; attention sage cannot be used"),
        ({"attention": "nonsense"}, "attention nonsense cannot be used: .*must be one of"),
        ({"step_cache": "sea", "step_cache_values": {"thresh": 1}}, "step_cache sea has no thresh; it has .*threshold"),
        ({"offload": "model"}, "offload model keeps weights off a GPU; the processor has them already"),
        ({"offload": "sequential"}, "offload sequential keeps weights off"),
    ],
)
def test_what_this_machine_cannot_do_is_refused_by_name(load: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(LoadError, match=words):
        load(KLEIN, **options)


def test_quantisation_without_its_library_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(OptionRefusedError, match="quantization int8 needs torchao, which is not installed: pip inst"):
        loading_arguments(SpeedOptions(quantization="int8"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"compil": []}, "compil is unknown; there are quantization, "),
        ({"compile": ["large"]}, "compile: must list the sizes"),
        ({"compile": True}, "compile: must list the sizes"),
        ({"vae_tiling": "yes"}, "vae_tiling: Input should be a valid boolean"),
        ({"prompt_cache": -1}, "prompt_cache: Input should be greater"),
        ({"quantization": "int3"}, "quantization: Input should be 'int8'"),
        ({"quantization": "int8", "storage": "float8_e5m2"}, "choose one"),
        ({"quantization": "int8", "fuse_qkv": True}, "choose one"),
        ({"step_cache": "mag"}, "mag is refused: it must know the number of steps"),
        ({"step_cache": "faster"}, "faster is refused: "),
        ({"step_cache": "memory"}, "'memory' is not one of first_block, "),
        ({"step_cache_values": {"threshold": 1.0}}, "step_cache_values without a step_cache"),
    ],
)
def test_a_wrong_option_is_told_before_a_child_is_started(
    configure: Callable[..., GeneratorConfig], options: dict[str, Any], words: str
) -> None:
    pipeline = PipelineConfig("portrait", "embedded", device="cpu", options=options)
    with pytest.raises(ConfigError, match=f"speed options of portrait: .*{words}"):
        LocalGenerator(configure(pipelines=(pipeline,)))


def test_options_travel_as_one_text_and_say_the_same_there() -> None:
    asked = {"attention": "auto", "compile": ["512x512x4", "64x64"], "step_cache": "sea", "prompt_cache": 9}
    read = read_options(options_text("portrait", {**asked, "step_cache_values": {"threshold": 1}}))
    assert (read.attention, read.step_cache_values, read.prompt_cache) == (AUTO_ATTENTION, {"threshold": 1}, 9)
    assert read.shapes() == [("512x512x4", 512, 512, 4), ("64x64", 64, 64, 1)]
    assert options_text("portrait", {}) == "{}"
    assert read_options("") == SpeedOptions()


@pytest.mark.parametrize("page", ["performance.md", "speed-options.md"])
def test_the_options_that_the_pages_advise_can_be_set(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    advised = re.findall(r"(?:_OPTIONS=|--options )'(\{.*?\})'", text)
    assert len(advised) >= 2
    for options in advised:
        assert json.loads(options_text("headshot", json.loads(options)))


def test_quantised_weights_draw_or_what_is_missing_is_named(load: Any) -> None:
    """Draws where torchao is installed, which the lock does without."""
    for name, way in itertools.product((FLUX, KLEIN), ("int8", "int8_dynamic", "float8")):
        if importlib.util.find_spec("torchao") is None:
            with pytest.raises(LoadError, match=f"embedded: quantization {way} needs torchao, which is not installed"):
                load(name, quantization=way)
        else:
            plain, small = load(name)[0], load(name, quantization=way)[0]
            assert 0 < apart(draw(small), draw(plain)) < 0.5
            assert size_bytes(small.pipe) < size_bytes(plain.pipe)


def test_the_attention_ladder_takes_the_first_that_draws_and_tells_why_not_the_others(load: Any) -> None:
    _loaded, facts = load(FLUX, attention=["flash", "_native_cudnn", "_native_math", "native"])
    assert facts["options"]["attention"] == "_native_math"
    refused = facts["options"]["attention_refused"]
    assert "missing package" in refused["flash"]
    assert "No viable backend" in refused["_native_cudnn"], "it is there, and fails only while it draws"


def test_one_pipelines_attention_is_not_its_neighbours(load: Any) -> None:
    load(FLUX, attention="_native_math")
    neighbour, _facts = load(KLEIN)
    backends = {
        str(module.processor._attention_backend.value)
        for module in denoisers(neighbour.pipe)[0].modules()
        if hasattr(getattr(module, "processor", None), "_attention_backend")
    }
    assert backends == {"native"}


@pytest.mark.parametrize("name", [pytest.param(KLEIN, marks=pytest.mark.slow), FLUX])
@pytest.mark.parametrize("way", ["model", "group"])
def test_offloaded_parts_draw_the_same_picture(load: Any, name: str, way: str) -> None:
    plain, moved = load(name)[0], load(name)[0]
    offload(moved.pipe, way, "cpu")
    assert apart(draw(moved), draw(plain)) <= ONE_LEVEL
    assert apart(draw(moved, 96), draw(plain, 96)) <= ONE_LEVEL


@pytest.mark.parametrize("name", [pytest.param(KLEIN, marks=pytest.mark.slow), FLUX])
def test_a_prompt_that_comes_again_is_not_encoded_again_and_draws_bitwise_the_same(load: Any, name: str) -> None:
    plain, fast = load(name, prompt_cache=0)[0], load(name, prompt_cache=2)[0]
    cache = fast.pipe.encode_prompt
    assert isinstance(cache, PromptCache)
    first = draw(fast)
    assert (cache.hits, torch.equal(first, draw(plain))) == (0, True)
    for side_px in (64, 96):
        assert torch.equal(draw(fast, side_px), draw(plain, side_px))
    assert cache.hits == 2
    assert not torch.equal(draw(fast, prompt="a lighthouse"), first)
    draw(fast, prompt="a third one")
    assert torch.equal(draw(fast), first)
    assert cache.hits == 2, "two are kept: the first had left"


def test_what_is_kept_of_a_prompt_has_no_words_no_graph_and_is_never_what_someone_wrote_into() -> None:
    weight = torch.ones(2, requires_grad=True)
    cache = PromptCache(lambda prompt, device=None: (weight * len(prompt), None), 4)
    (kept, _none) = cache(prompt="quokka", device=torch.device("cpu"))
    assert not kept.requires_grad
    assert "quokka" not in str(vars(cache))
    assert cache(prompt="quokka", device=torch.device("cpu"))[0] is kept
    kept.mul_(0)
    assert torch.equal(cache(prompt="quokka", device=torch.device("cpu"))[0], torch.full((2,), 6.0))
    cache(prompt=torch.zeros(3))
    cache(prompt=torch.zeros(3))
    assert cache.hits == 1, "a call with tensors is not kept"


async def test_a_run_interrupted_in_a_step_cache_leaves_nothing_to_the_next(start: Callable[..., Any]) -> None:
    cached = PipelineConfig("flux", "embedded", FLUX, device="cpu", options={"step_cache": "first_block"})
    bench = await start(pipelines=(cached,))
    await bench.ready()
    before = await bench.draw("flux", steps=3)
    bench.steps.clear()
    drawing = asyncio.ensure_future(bench.draw("flux", steps=100, width=128, height=128))
    await bench.until(lambda: len(bench.steps) >= 2)
    drawing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await drawing
    assert (await bench.draw("flux", steps=3)).images == before.images


async def test_kinds_with_other_options_have_a_pipeline_of_their_own_and_a_refusal_harms_only_its_kind(
    start: Callable[..., Any],
) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "plain": {},
        "small": {"storage": "float8_e4m3fn"},
        "broken": {"attention": "flash"},
    }
    bench = await start(
        pipelines=tuple(PipelineConfig(kind, "embedded", device="cpu", options=kinds[kind]) for kind in kinds)
    )
    await bench.until(lambda: "attention flash cannot be used" in bench.generator.status().reason)
    plain, small = await bench.draw("plain"), await bench.draw("small")
    assert plain.images != small.images
    assert (await bench.draw("plain")).images == plain.images
    facts = bench.generator.status().details["pipelines"]
    assert facts["small"]["options"] == {"storage": "float8_e4m3fn"}


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_blocks_are_compiled_for_the_sizes_named_once_and_kept_for_the_next_child(
    start: Callable[..., Any], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)  # torch sets it where a test compiled before
    compiled = PipelineConfig("klein", "embedded", device="cpu", options={"compile": ["64x64"]})
    plain = PipelineConfig("plain", "embedded", device="cpu")
    hits = []
    for pipelines_ in ((compiled, plain), (compiled,)):
        bench = await start(pipelines=pipelines_, cache_dir=str(tmp_path))
        await bench.until(lambda bench=bench: bench.generator.status().ready, 400)
        facts = bench.generator.status().details["pipelines"]["klein"]["options"]["compile"]
        assert list(facts["sizes_s"]) == ["64x64"]
        hits.append(facts["cache_hits"])
        drawn = await bench.draw("klein", steps=2)
        if len(pipelines_) == 2:
            same = (await bench.draw("plain", steps=2)).images[0].rgb
            worst = max(abs(one - two) for one, two in zip(drawn.images[0].rgb, same, strict=True))
            assert worst <= 1, "compiled code draws the same picture"
            assert await bench.draw("klein", width=96, height=96, steps=2), "another size runs as it is"
        await bench.generator.close()
    assert hits[0] == 0
    assert hits[1] > 0, "the second child found the first one's code"
