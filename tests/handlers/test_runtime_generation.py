"""One run on a pipeline, in this process: what an exhausted memory, a broken device and NaN come to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FirstBlockCacheConfig

from handlers.runtime import pipelines, worker
from handlers.runtime.batching import BatchSizes
from handlers.runtime.canary import prove
from handlers.runtime.embedded import embedded_folder
from handlers.runtime.exits import EXIT_FATAL_DEVICE
from handlers.runtime.failures import FatalDeviceError, classify
from handlers.runtime.generation import Drawing
from handlers.runtime.loaded import Loaded, LoadError
from handlers.runtime.memory import settle_memory
from handlers.runtime.messages import Failed, Generate, Load, Message
from handlers.runtime.pictures import Made


@pytest.fixture(scope="module")
def loaded(weights: Path) -> Loaded:
    pipelines.quieten()
    order = Load(1, "flux", "embedded", "FluxPipeline", "bfloat16", "cpu", 2, None, str(weights))
    made = pipelines.with_defaults(pipelines.load(order, lambda _note: None)[0], order)
    settle_memory()  # as the child does
    return made


class Breaking:
    """Raises these errors, one per step, before the transformer runs."""

    def __init__(self, transformer: Any) -> None:
        self.errors: list[Exception] = []
        self.calls = 0
        self.hook = transformer.register_forward_pre_hook(self.step)

    def step(self, *_: object) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def breaking(loaded: Loaded) -> Iterator[Breaking]:
    found = Breaking(loaded.pipe.transformer)
    yield found
    found.hook.remove()


class Heard:
    """Keeps what each run is told; gives up a run once it has taken so many steps."""

    def __init__(self, given_up_after: dict[int, int] | None = None) -> None:
        self.steps: dict[int, list[int]] = {}
        self.totals: dict[int, int] = {}
        self.ended: dict[int, Made | Failed] = {}
        self._given_up_after = given_up_after or {}

    def step(self, run: int, done: int, total: int) -> None:
        self.steps.setdefault(run, []).append(done)
        self.totals[run] = total

    def is_cancelled(self, run: int) -> bool:
        return run in self._given_up_after and len(self.steps.get(run, [])) >= self._given_up_after[run]

    def leave(self, run: int, ended: Made | Failed) -> None:
        assert run not in self.ended, "told once"
        self.ended[run] = ended


def an_order(**fields: Any) -> Generate:
    order = {"run": 1, "kind": "flux", "prompt": "a quokka", "negative_prompt": None, "seeds": (1,)}
    sizes = {"width": 64, "height": 64, "steps": None, "guidance_scale": None, "batch_max": 8}
    return Generate(**{**order, **sizes, **fields})


def draw(loaded: Loaded, sizes: BatchSizes | None = None, **fields: Any) -> Made | Failed:
    heard = Heard()
    Drawing(loaded, [an_order(**fields)], heard, sizes or BatchSizes()).complete()
    return heard.ended[1]


def pixels(made: Made | Failed) -> tuple[bytes, ...]:
    assert isinstance(made, Made), made
    return made.to_message(1).blobs


def farthest(one: bytes, two: bytes) -> int:
    """The largest difference of two pictures in any colour of any pixel, of 255."""
    assert len(one) == len(two)
    return max(abs(left - right) for left, right in zip(one, two, strict=True))


def test_memory_that_ran_out_once_is_freed_and_the_run_repeated(loaded: Any, breaking: Breaking) -> None:
    undisturbed = draw(loaded)
    breaking.errors = [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")]
    again = draw(loaded)
    assert isinstance(undisturbed, Made)
    assert isinstance(again, Made)
    assert again.to_message(1).blobs == undisturbed.to_message(1).blobs


def test_an_image_that_does_not_fit_goes_down_the_ladder_and_the_owner_is_told(loaded: Any, breaking: Breaking) -> None:
    vae = loaded.pipe.vae
    breaking.errors = [torch.OutOfMemoryError("CUDA out of memory")] * 2
    tiled = draw(loaded)
    assert isinstance(tiled, Made)
    assert (tiled.facts["ladder"], tiled.facts["notes"]) == (
        ["again", "tiling"],
        ["decoded in tiles for lack of memory"],
    )
    assert not vae.use_tiling, "the next run is not slowed down"
    breaking.errors = [torch.OutOfMemoryError("CUDA out of memory")] * 3
    smaller = draw(loaded, width=512, height=384, steps=1)
    assert isinstance(smaller, Made)
    assert (smaller.facts["width"], smaller.facts["height"], smaller.facts["ladder"][-1]) == (336, 256, "smaller")
    assert [len(rgb) for rgb in pixels(smaller)] == [336 * 256 * 3]
    assert "drawn at 336 x 256 instead of 512 x 384" in smaller.facts["notes"][-1]


def test_memory_that_runs_out_on_every_rung_fails_the_run_however_often(loaded: Any, breaking: Breaking) -> None:
    for _ in range(5):
        breaking.errors = [torch.OutOfMemoryError("CUDA out of memory")] * 3
        failed = draw(loaded)
        assert isinstance(failed, Failed)
        assert (failed.code, failed.details["seeds"]) == ("out_of_memory", [1])
    assert breaking.calls == 15
    assert not loaded.pipe.vae.use_tiling
    assert isinstance(draw(loaded), Made)


def test_a_pack_that_does_not_fit_is_drawn_in_smaller_batches_and_that_is_learned(
    loaded: Any, breaking: Breaking
) -> None:
    sizes, seeds = BatchSizes(), (1, 2, 3, 4, 5)
    whole = draw(loaded, seeds=seeds)
    assert isinstance(whole, Made)
    assert (whole.facts["batch"], breaking.calls) == (5, 2)
    breaking.errors = [torch.OutOfMemoryError("CUDA out of memory")]
    split = draw(loaded, sizes, seeds=seeds)
    assert isinstance(split, Made)
    assert (split.facts["batch"], split.facts["ladder"], split.facts["notes"]) == (2, [], [])
    before = breaking.calls
    again = draw(loaded, sizes, seeds=seeds)
    assert breaking.calls - before == 6, "batches of 2, 2 and 1, of 2 steps each"
    assert pixels(again) == pixels(split)
    assert max(map(farthest, pixels(split), pixels(whole))) <= 1
    other = draw(loaded, sizes, seeds=seeds, width=128)
    assert isinstance(other, Made)
    assert other.facts["batch"] == 5, "another size has its own limit"


def test_a_batch_in_which_one_fails_is_drawn_again_each_alone(loaded: Any, breaking: Breaking) -> None:
    orders = [an_order(run=run, prompt=f"a quokka {run}", seeds=(run,)) for run in (1, 2, 3)]
    alone = [draw(loaded, prompt=order.prompt, seeds=order.seeds) for order in orders]
    breaking.errors = [ValueError("together"), ValueError("a quokka 1")]
    heard = Heard()
    Drawing(loaded, orders, heard, BatchSizes()).complete()
    failed = heard.ended[1]
    assert isinstance(failed, Failed)
    assert (failed.message, failed.details["seeds"]) == ("ValueError: a *** 1", [1]), "the prompt's words are hidden"
    assert [pixels(heard.ended[run]) for run in (2, 3)] == [pixels(made) for made in alone[1:]]
    assert heard.steps[2] == sorted(heard.steps[2]), "nobody is told less than before"


def test_a_batch_whose_members_all_leave_stops_at_once(loaded: Any, breaking: Breaking) -> None:
    heard = Heard({1: 1, 2: 3})
    Drawing(loaded, [an_order(run=run, steps=50) for run in (1, 2)], heard, BatchSizes()).complete()
    assert {run: getattr(ended, "code", "") for run, ended in heard.ended.items()} == {1: "cancelled", 2: "cancelled"}
    assert (breaking.calls, heard.steps) == (3, {1: [1], 2: [1, 2, 3]})


def test_who_is_refused_does_not_keep_the_others_from_being_drawn(loaded: Any) -> None:
    heard = Heard()
    orders = [an_order(run=1, width=65, height=65), an_order(run=2, seeds=())]
    Drawing(loaded, orders, heard, BatchSizes()).complete()
    assert [getattr(heard.ended[run], "code", "") for run in (1, 2)] == ["invalid_params", "nothing_produced"]


def test_an_interrupted_run_leaves_no_state_to_the_next_one_of_another_shape(loaded: Any) -> None:
    loaded.pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.2))
    try:
        heard = Heard({1: 2})
        Drawing(loaded, [an_order(width=128, height=128, steps=8)], heard, BatchSizes()).complete()
        stopped = heard.ended[1]
        assert isinstance(stopped, Failed)
        assert (stopped.code, heard.steps[1]) == ("cancelled", [1, 2])
        assert isinstance(draw(loaded), Made)
    finally:
        loaded.pipe.transformer.disable_cache()


def test_a_fatal_device_error_is_no_answer_but_the_end_of_the_process(
    loaded: Any, breaking: Breaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking.errors = [torch.AcceleratorError("CUDA error: an illegal memory access was encountered")] * 2
    with pytest.raises(FatalDeviceError):
        draw(loaded)
    answers: list[Message] = []
    ended: list[int] = []
    monkeypatch.setattr(worker.os, "_exit", ended.append)
    order = Generate(1, "flux", "a quokka", None, (1,), 64, 64, None, None)
    one = worker.Worker(Answers(answers))
    one._residents.use = lambda _kind: loaded  # type: ignore[method-assign]
    one.carry_out(order)
    assert ended == [EXIT_FATAL_DEVICE]
    assert not [answer for answer in answers if type(answer).__name__ in ("Done", "Failed")]


class Answers:
    """Stands where the socket stands."""

    def __init__(self, answers: list[Message]) -> None:
        self._answers = answers

    def next_order(self) -> Load | Generate:
        raise AssertionError

    def answer(self, message: Message) -> None:
        self._answers.append(message)

    def answer_later(self, make: Any) -> None:
        self._answers.append(make())

    def is_cancelled(self, _run: int) -> bool:
        return False

    def forget(self, _run: int) -> None:
        return


def test_an_ordinary_failure_names_the_model_and_shape_but_not_the_prompt(loaded: Any, breaking: Breaking) -> None:
    breaking.errors = [ValueError("cannot draw a quokka")]
    failed = draw(loaded)
    assert isinstance(failed, Failed)
    assert failed.code == "generation_failed"
    assert failed.message == "ValueError: cannot draw a ***"
    assert "quokka" not in failed.trace
    assert failed.details["pipeline_class"] == "FluxPipeline"
    assert (failed.details["width"], failed.details["steps"], failed.details["seeds"]) == (64, 2, [1])


def test_values_that_are_not_numbers_are_no_picture(loaded: Any) -> None:
    def spoil(_module: Any, _inputs: Any, output: Any) -> Any:
        return (output[0] * float("nan"),)

    hook = loaded.pipe.transformer.register_forward_hook(spoil)
    try:
        failed = draw(loaded)
        with pytest.raises(LoadError, match="not numbers"):
            prove(loaded)
    finally:
        hook.remove()
    assert isinstance(failed, Failed)
    assert "not numbers" in failed.message


def test_a_device_that_draws_one_flat_colour_is_not_ready(loaded: Any) -> None:
    hook = loaded.pipe.vae.decoder.register_forward_hook(lambda _module, _inputs, output: output * 0)
    try:
        with pytest.raises(LoadError, match="one flat colour"):
            prove(loaded)
    finally:
        hook.remove()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), "out_of_memory"),
        (torch.AcceleratorError("CUDA error: unspecified launch failure"), "fatal"),
        (RuntimeError("CUDA error: device-side assert triggered"), "fatal"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "fatal"),
        (RuntimeError("CUDA driver error: an illegal memory access was encountered"), "fatal"),
        (RuntimeError("Triton Error [CUDA]: misaligned address"), "fatal"),
        (RuntimeError("CUDA driver error: out of memory"), "out_of_memory"),
        (RuntimeError("Triton Error [CUDA]: out of memory"), "out_of_memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasLtMatmul`"), "generation_failed"),
        (torch.AcceleratorError("CUDA error: no kernel image is available for execution"), "generation_failed"),
        (ValueError("CUDA error in a prompt is no device error"), "generation_failed"),
        (RuntimeError("The size of tensor a (64) must match"), "generation_failed"),
    ],
)
def test_errors_are_told_apart(error: Exception, code: str) -> None:
    assert classify(error) == code


def test_damaged_embedded_weights_are_made_anew(tmp_path: Path) -> None:
    folder = embedded_folder(tmp_path, "FluxPipeline")
    victim = next(folder.glob("vae/*.safetensors"))
    victim.write_bytes(victim.read_bytes()[:100])
    order = Load(1, "flux", "embedded", "FluxPipeline", "bfloat16", "cpu", 2, None, str(tmp_path))
    assert pipelines.load(order, lambda _note: None)[0].name == "FluxPipeline"


def test_the_same_weights_are_made_everywhere(tmp_path: Path, weights: Path) -> None:
    pair = [embedded_folder(where, "FluxPipeline") for where in (tmp_path, weights)]
    first, second = [next(folder.glob("transformer/*.safetensors")).read_bytes() for folder in pair]
    assert first == second
