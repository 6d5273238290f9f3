"""A model that the hub's client brings while it is loaded: how far it is is told, and slow is not too late."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from huggingface_hub import constants

from handlers.runtime import arrival, pipelines
from handlers.runtime.embedded import embedded_folder
from handlers.runtime.loaded import LoadError
from handlers.runtime.loading import Loading
from handlers.runtime.messages import DOWNLOADING, Beat, Done, Load
from handlers.runtime.process import Child, ChildEndedError
from handlers.runtime.readiness import Readiness
from listener.contract import GeneratorConfig, PipelineConfig
from tests.support.model_hub import serving_models

NAME = "tester/flux"
PIECES_BYTES = 30_000_000  # the client writes pieces of 10 MiB
KIND = PipelineConfig("hub", NAME, device="cpu")


class Slow:
    """A child that says so much in its own time. Units: seconds between two messages."""

    def __init__(self, every_s: float, notes: list[str]) -> None:
        self._every_s = every_s
        self._messages: Iterator[Any] = itertools.chain((Beat(1, 0, 0, note) for note in notes), [Done(1, {})])

    def post(self, message: Load) -> None:
        assert message.run == 1

    async def receive(self) -> Any:
        await asyncio.sleep(self._every_s)
        return next(self._messages)

    async def kill_and_wait(self) -> str:
        return "killed"


def loading_from(child: Slow, load_timeout_s: float) -> tuple[Loading, Readiness]:
    config = GeneratorConfig((KIND,), "/cache", load_timeout_s=load_timeout_s)
    readiness = Readiness.of(config)
    return Loading(cast(Child, child), readiness, config, itertools.count(1)), readiness


async def test_a_download_may_take_longer_than_a_load_as_long_as_more_comes() -> None:
    loading, readiness = loading_from(Slow(0.5, [f"{DOWNLOADING} {NAME}: {n} MiB are there" for n in range(5)]), 2)
    await loading.load("hub")
    assert readiness.is_resident("hub")


async def test_a_load_that_only_says_something_is_ended_in_its_time() -> None:
    loading, _ = loading_from(Slow(0.1, [f"loading {NAME}"] * 100), 0.3)
    with pytest.raises(ChildEndedError) as ended:
        await loading.load("hub")
    assert ended.value.cause == "hub was not loaded within 0.3 s"


def test_what_comes_is_told_and_what_a_killed_process_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(arrival, "LOOK_S", 0.01)
    blobs = tmp_path / "models--tester--flux" / "blobs"
    blobs.mkdir(parents=True)
    whole, left, fresh = blobs / "whole", blobs / "a.1.incomplete", blobs / "b.2.incomplete"
    for file in (whole, left, fresh):
        file.write_bytes(bytes(2 << 20))
    long_ago_s = time.time() - 2 * arrival.ABANDONED_S
    for file in (whole, left):
        os.utime(file, (long_ago_s, long_ago_s))
    notes: list[str] = []
    with arrival.watched(NAME, notes.append):
        assert (whole.exists(), left.exists(), fresh.exists()) == (True, False, True)
        with fresh.open("ab") as file:
            file.write(bytes(3 << 20))
        until_s = time.monotonic() + 10
        last = f"downloading {NAME}: 7 MiB are there"
        while last not in notes and time.monotonic() < until_s:
            time.sleep(0.01)
    assert notes[-1] == last


def test_a_full_disk_is_told_with_the_folder_that_needs_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_args: Any, **_options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pipelines.DiffusionPipeline, "from_pretrained", full)
    order = Load(1, "hub", NAME, None, "float32", "cpu", None, None, str(tmp_path))
    with pytest.raises(LoadError, match=rf"the disk is full while {NAME} is downloaded to .*MODEL_STORAGE_PATH"):
        pipelines.load(order, lambda _note: None)


@pytest.mark.slow
async def test_a_model_of_the_hub_is_brought_told_of_and_drawn_with(
    start: Any, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = embedded_folder(weights, "FluxPipeline")
    files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    files["scheduler/notes.txt"] = bytes(PIECES_BYTES)
    async with serving_models({NAME: files}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.base_url)
        monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
        hub.stop_after = 25_000_000
        bench = await start(pipelines=(KIND,), weights_dir=str(tmp_path))
        await bench.until(lambda: f"{DOWNLOADING} {NAME}: " in bench.generator.status().reason)
        assert not bench.generator.status().ready
        hub.go_on.set()
        await bench.ready()
        assert (await bench.draw("hub", steps=2)).model == NAME
