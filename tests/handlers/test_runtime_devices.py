"""Several devices on one host, as several real children that compute on the processor."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar
from uuid import uuid4

import pytest
import pytest_asyncio

from handlers.runtime import devices
from handlers.runtime.devices import SeveralDevices, local_generator
from handlers.runtime.host import LocalGenerator
from listener.contract import (
    Generation,
    GenerationRequest,
    GeneratorConfig,
    GeneratorStatus,
    OnStep,
    PipelineConfig,
)
from listener.errors import ModelUnavailable, RuntimeDied
from tests.handlers.conftest import Bench

KLEIN = (PipelineConfig("klein", "embedded", device="cuda"),)
LONG = {"width": 256, "height": 256, "steps": 60}

pytestmark = pytest.mark.asyncio(loop_scope="module")


def facts(bench: Bench) -> dict[str, Any]:
    found: dict[str, Any] = bench.generator.status().details["devices"]
    return found


def loads(bench: Bench) -> list[int]:
    return list(bench.generator.status().details["load"].values())


async def all_ready(bench: Bench) -> None:
    await bench.until(lambda: all(device["ready"] for device in facts(bench).values()))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pair(configure: Callable[..., GeneratorConfig]) -> AsyncIterator[Bench]:
    """Two devices, both loaded."""
    generator = local_generator(configure(pipelines=KLEIN, devices=("cpu", "cpu")))
    assert isinstance(generator, SeveralDevices)
    await generator.start()
    bench = Bench(generator)  # type: ignore[arg-type]
    await all_ready(bench)
    yield bench
    await generator.close()


async def test_each_device_has_a_child_of_its_own_and_draws_the_same(pair: Bench) -> None:
    assert len({device["pid"] for device in facts(pair).values()}) == 2
    async with asyncio.TaskGroup() as group:
        drawn = [group.create_task(pair.draw(seed=5)) for _ in range(2)]
        await asyncio.sleep(0)
        assert loads(pair) == [1, 1]
    assert drawn[0].result().images == drawn[1].result().images
    assert loads(pair) == [0, 0]


async def test_a_request_goes_to_the_device_with_the_least_to_do(pair: Bench) -> None:
    pair.steps.clear()
    long = asyncio.ensure_future(pair.draw(**LONG))
    await pair.until(lambda: pair.steps)
    assert loads(pair) == [1, 0]
    for seed in range(3):
        await pair.draw(seed=seed)
        assert loads(pair) == [1, 0], "the short ones went past the long one"
    long.cancel()
    with pytest.raises(asyncio.CancelledError):
        await long


async def test_when_one_child_dies_only_its_run_fails_and_the_other_device_goes_on(pair: Bench) -> None:
    await all_ready(pair)
    pair.steps.clear()
    long = asyncio.ensure_future(pair.draw(**LONG))
    await pair.until(lambda: pair.steps)
    first, second = facts(pair).values()
    os.kill(first["pid"], signal.SIGKILL)
    with pytest.raises(RuntimeDied, match="killed by SIGKILL"):
        await long
    await pair.until(lambda: not next(iter(facts(pair).values()))["ready"])
    assert pair.generator.status().ready, "one device is enough"
    assert await pair.draw()
    drawn_while_first, then_second = facts(pair).values()
    assert not drawn_while_first["ready"], "it was drawn while the first one was still being replaced"
    assert then_second["pid"] == second["pid"]
    await all_ready(pair)


async def test_a_device_that_is_lent_out_leaves_its_requests_to_the_other(pair: Bench) -> None:
    await all_ready(pair)
    async with pair.generator.exclusive("avatar") as lent:
        assert lent == "cpu", "what its engine is to be told"
        assert [device["ready"] for device in facts(pair).values()] == [False, True]
        assert await pair.draw()
    await all_ready(pair)


@pytest.mark.slow
async def test_a_device_that_cannot_work_is_told_and_harms_no_other(configure: Callable[..., GeneratorConfig]) -> None:
    generator = local_generator(configure(pipelines=KLEIN, devices=("cuda:0", "cpu")))
    await generator.start()
    bench = Bench(generator)  # type: ignore[arg-type]
    try:
        await bench.ready()
        await bench.until(lambda: "CUDA is not available" in generator.status().reason)
        assert [device["ready"] for device in facts(bench).values()] == [False, True]
        assert (await bench.draw()).device == "cpu"
    finally:
        await generator.close()
    with pytest.raises(ModelUnavailable, match="the generator is closed"):
        await bench.draw()


async def test_one_device_or_none_named_is_the_plain_generator(configure: Callable[..., GeneratorConfig]) -> None:
    assert isinstance(local_generator(configure()), LocalGenerator)
    assert isinstance(local_generator(configure(devices=("cpu",))), LocalGenerator)


class Told:
    """A device whose status is set by hand, and who was asked."""

    states: ClassVar[list[GeneratorStatus]] = []

    def __init__(self, config: GeneratorConfig) -> None:
        self.device = config.pipelines[0].device

    def status(self) -> GeneratorStatus:
        return self.states[int(self.device[-1])]

    async def generate(self, request: GenerationRequest, _on_step: OnStep) -> Generation:
        return Generation((), request.kind, "p", self.device, 1, None, 0.0)


async def test_a_pipeline_that_is_missing_on_one_device_is_used_on_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "LocalGenerator", Told)
    several = SeveralDevices(GeneratorConfig(KLEIN, "/cache", devices=("cuda:0", "cuda:1")))
    Told.states = [
        GeneratorStatus(True, "partly", pipelines={"klein": "too large", "flux": ""}),
        GeneratorStatus(True, "loaded", pipelines={"klein": "", "flux": ""}),
    ]
    request = GenerationRequest("klein", uuid4(), "a portrait", (1,))
    assert (await several.generate(request, lambda *_: None)).device == "cuda:1"
    assert several.status().missing == {}
    Told.states[1] = GeneratorStatus(False, "in quarantine")
    assert (several.status().ready, several.status().missing) == (True, {"klein": "too large"})
