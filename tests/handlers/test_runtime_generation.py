"""One run on a pipeline, in this process: what an exhausted memory, a broken device and NaN come to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FirstBlockCacheConfig

from handlers.runtime import generation, pipelines, worker
from handlers.runtime.embedded import embedded_folder
from handlers.runtime.exits import EXIT_FATAL_DEVICE
from handlers.runtime.generation import FatalDeviceError, Made, classify
from handlers.runtime.messages import Failed, Generate, Load, Message


@pytest.fixture(scope="module")
def loaded(weights: Path) -> pipelines.Loaded:
    pipelines.quieten()
    order = Load(1, "flux", "embedded", "FluxPipeline", "bfloat16", "cpu", 2, None, str(weights))
    return pipelines.with_defaults(pipelines.load(order, lambda _note: None)[0], order)


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
def breaking(loaded: pipelines.Loaded) -> Iterator[Breaking]:
    found = Breaking(loaded.pipe.transformer)
    yield found
    found.hook.remove()


def draw(loaded: pipelines.Loaded, **fields: Any) -> Made | Failed:
    order = {"run": 1, "kind": "flux", "prompt": "a quokka", "negative_prompt": None, "seeds": (1,)}
    sizes = {"width": 64, "height": 64, "steps": None, "guidance_scale": None}
    return generation.run(loaded, Generate(**{**order, **sizes, **fields}), lambda *_: None, lambda: False)


def test_memory_that_ran_out_once_is_freed_and_the_run_repeated(loaded: Any, breaking: Breaking) -> None:
    undisturbed = draw(loaded)
    breaking.errors = [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")]
    again = draw(loaded)
    assert isinstance(undisturbed, Made)
    assert isinstance(again, Made)
    assert again.to_message(1).blobs == undisturbed.to_message(1).blobs


def test_memory_that_runs_out_twice_fails_the_run_however_often(loaded: Any, breaking: Breaking) -> None:
    for _ in range(5):
        breaking.errors = [torch.OutOfMemoryError("CUDA out of memory")] * 2
        failed = draw(loaded)
        assert isinstance(failed, Failed)
        assert failed.code == "out_of_memory"
    assert breaking.calls == 10
    assert isinstance(draw(loaded), Made)


def test_an_interrupted_run_leaves_no_state_to_the_next_one_of_another_shape(loaded: Any) -> None:
    loaded.pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.2))
    try:
        order = Generate(1, "flux", "a quokka", None, (1,), 128, 128, 8, None)
        steps: list[int] = []
        stopped = generation.run(loaded, order, lambda done, _total: steps.append(done), lambda: len(steps) >= 2)
        assert isinstance(stopped, Failed)
        assert (stopped.code, steps) == ("cancelled", [1, 2])
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
    one._kinds["flux"] = loaded
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
        with pytest.raises(pipelines.LoadError, match="not numbers"):
            pipelines.prove(loaded)
    finally:
        hook.remove()
    assert isinstance(failed, Failed)
    assert "not numbers" in failed.message


def test_a_device_that_draws_one_flat_colour_is_not_ready(loaded: Any) -> None:
    hook = loaded.pipe.vae.decoder.register_forward_hook(lambda _module, _inputs, output: output * 0)
    try:
        with pytest.raises(pipelines.LoadError, match="one flat colour"):
            pipelines.prove(loaded)
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
