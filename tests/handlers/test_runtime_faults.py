"""What the runtime promises when a child dies, hangs, cannot load or is closed. Real processes, really killed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from structlog.testing import capture_logs

from handlers.runtime.loaded import LoadError
from handlers.runtime.pipelines import resolve_device
from listener.contract import PipelineConfig
from listener.errors import ModelUnavailable, RuntimeDied

KLEIN = (PipelineConfig("klein", "embedded", device="cpu"),)
LONG = {"steps": 100, "width": 384, "height": 384}


async def drawing_for_a_while(bench: Any) -> asyncio.Task[Any]:
    """Begin a long run and wait until it takes steps."""
    bench.steps.clear()
    drawing = asyncio.ensure_future(bench.draw(**LONG))
    await bench.until(lambda: len(bench.steps) >= 2 or drawing.done())
    assert not drawing.done()
    return drawing


async def test_a_killed_child_fails_its_run_in_words_and_the_next_run_works(start: Any) -> None:
    bench = await start(pipelines=KLEIN)
    await bench.ready()
    before = await bench.draw()
    first = bench.pid
    drawing = await drawing_for_a_while(bench)
    waiting = asyncio.ensure_future(bench.draw())
    await asyncio.sleep(0)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(RuntimeDied) as died:
        await drawing
    assert died.value.details["exit"] == "killed by SIGKILL (9)"
    assert "when the host's memory runs out" in died.value.details["cause"]
    assert (await waiting).images == before.images, "who only waited is served by the next child"
    assert bench.pid != first
    assert bench.generator.status().details["restarts"] == 1
    assert bench.generator.status().details["last_exit"] == "killed by SIGKILL (9)"
    with capture_logs() as logs:
        os.kill(bench.pid, signal.SIGSEGV)
        await bench.until(lambda: bench.generator.status().details["restarts"] == 2)
    ended = next(line for line in logs if line["event"] == "runtime_ended")
    assert ended["exit"] == "killed by SIGSEGV (11)", "nobody had to ask for it to be noticed"


async def test_a_child_that_takes_no_step_is_killed_and_replaced(start: Any) -> None:
    bench = await start(pipelines=KLEIN, step_timeout_s=3)
    await bench.ready()
    first = bench.pid
    drawing = await drawing_for_a_while(bench)
    os.kill(first, signal.SIGSTOP)
    with pytest.raises(RuntimeDied) as died:
        await drawing
    assert died.value.details == {"exit": "killed by SIGKILL (9)", "cause": "no step for 3 s"}
    await bench.until(lambda: bench.generator.status().details["restarts"] == 1)
    assert not psutil.pid_exists(first)


async def test_a_model_that_does_not_load_is_told_and_tried_again_while_others_work(
    start: Any, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    folder = tmp_path / "model"
    flux = PipelineConfig("flux", "embedded", "FluxPipeline", device="cpu")
    own = PipelineConfig("own", str(folder), device="cpu")
    odd = PipelineConfig("odd", "embedded", "NoSuchPipeline", device="cpu")
    hub = PipelineConfig("hub", "somebody/some-model", device="cpu")
    alone = await start(pipelines=(flux, own, odd, hub))
    await alone.until(lambda: "hub" in alone.generator.status().missing)
    assert "has no pipeline class 'NoSuchPipeline'" in alone.generator.status().reason
    assert "Connection refused" in alone.generator.status().reason
    assert f"the folder {folder} does not exist" in alone.generator.status().reason
    assert set(alone.generator.status().missing) == {"own", "odd", "hub"}
    assert alone.generator.status().ready, "flux can be made"
    with pytest.raises(ModelUnavailable, match="does not exist"):
        await alone.draw("own")
    assert await alone.draw("flux")
    pid = alone.pid
    shutil.copytree(next((weights / "embedded").glob("FluxPipeline-*")), folder)
    await alone.until(lambda: "own: the folder" not in alone.generator.status().reason)
    assert (await alone.draw("own")).pipeline_class == "FluxPipeline"
    assert alone.pid == pid, "a missing folder is no reason to lose what is loaded"


async def test_without_cuda_the_reason_is_clear_and_nothing_spins(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    bench = await start(pipelines=(PipelineConfig("headshot", "embedded", device="cuda"),))
    await bench.until(lambda: "next try in 1 s" in bench.generator.status().reason)
    status = bench.generator.status()
    assert not status.ready
    assert "CUDA is not available" in status.reason
    assert "LISTENER_DEVICE=cpu" in status.reason
    assert status.details["pid"] is None, "nothing runs while it waits"
    with pytest.raises(ModelUnavailable, match="LISTENER_DEVICE=cpu"):
        await bench.draw("headshot")


BROKEN = """
import os, pathlib
flag = pathlib.Path(os.environ["TMPDIR"]) / "broken"
from handlers.runtime import generation

def to_pictures(drawn, whole=generation.to_pictures):
    if flag.exists():
        flag.unlink()
        raise RuntimeError("CUDA error: an illegal memory access was encountered\\nSearch for it")
    return whole(drawn)

generation.to_pictures = to_pictures
"""


@pytest.mark.slow
async def test_a_child_whose_device_breaks_ends_itself_and_says_why_and_the_next_one_works(
    start: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    bench = await start(pipelines=KLEIN)
    await bench.ready()
    before = await bench.draw()
    (tmp_path / "broken").touch()
    with pytest.raises(RuntimeDied) as died:
        await bench.draw()
    assert died.value.details == {
        "exit": "ended itself after a fatal device error (exit code 70)",
        "cause": "fatal device error: RuntimeError: CUDA error: an illegal memory access was encountered",
    }
    assert (await bench.draw()).images == before.images
    assert bench.generator.status().details["restarts_by"] == {"fatal_device": 1}


def test_a_device_that_is_not_there_is_refused_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [resolve_device(name) for name in ("auto", "cuda", "cuda:1")] == ["cuda", "cuda", "cuda:1"]
    with pytest.raises(LoadError, match=r"there is no cuda:2: 2 GPU\(s\) can be seen"):
        resolve_device("cuda:2")


async def test_without_the_generation_libraries_the_reason_names_what_to_install(
    start: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}")
    bench = await start(pipelines=KLEIN)
    await bench.until(lambda: "install the extra `gpu`" in bench.generator.status().reason)


@pytest.mark.gpu
@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="needs a CUDA device")
async def test_on_a_gpu_the_device_is_named_and_its_memory_comes_back(start: Any) -> None:
    bench = await start(pipelines=(PipelineConfig("klein", "embedded", device="cuda"),))
    await bench.ready()
    assert bench.generator.status().details["pipelines"]["klein"]["dtype"] == "bfloat16"
    await bench.draw()
    before = bench.generator.status().details["memory"]["device_allocated_mib"]
    for seed in range(20):
        made = await bench.draw(seed=seed)
    assert made.device == "cuda"
    assert bench.generator.status().details["memory"]["device_allocated_mib"] == before


async def test_a_load_that_takes_too_long_is_ended(start: Any) -> None:
    bench = await start(pipelines=KLEIN, load_timeout_s=0.2)
    await bench.until(lambda: "not loaded within 0.2 s" in bench.generator.status().reason)
    assert not bench.generator.status().ready


async def test_two_workers_that_start_at_once_share_one_set_of_weights(start: Any, tmp_path: Path) -> None:
    pair = [await start(pipelines=KLEIN, cache_dir=str(tmp_path)) for _ in range(2)]
    for bench in pair:
        await bench.ready()
    first, second = [await bench.draw() for bench in pair]
    assert first.images == second.images
    assert len(list((tmp_path / "embedded").iterdir())) == 1, "no unfinished folder is left"


async def test_memory_stays_flat_over_many_generations(start: Any) -> None:
    bench = await start(pipelines=(PipelineConfig("flux", "embedded", "FluxPipeline", device="cpu"),))
    await bench.ready()
    child = psutil.Process(bench.pid)
    sizes = []
    for seed in range(70):
        await bench.draw("flux", seed=seed, steps=4)
        sizes.append(child.memory_info().rss)
    # The C library takes and returns the top of its heap: single sizes swing by 5 %. What leaks raises the floor.
    assert min(sizes[40:]) < min(sizes[10:40]) * 1.01


async def test_closing_leaves_no_process_and_fails_who_waits(start: Any) -> None:
    bench = await start(pipelines=KLEIN)
    await bench.ready()
    pid = bench.pid
    drawing = await drawing_for_a_while(bench)
    await bench.generator.close()
    with pytest.raises(ModelUnavailable, match="closed"):
        await drawing
    assert not psutil.pid_exists(pid)
    assert bench.generator.status().reason == "the generator is closed"


DAEMON = """
import asyncio, json, sys, uuid
from handlers.runtime.host import LocalGenerator
from listener.contract import GenerationRequest, GeneratorConfig, PipelineConfig

async def main():
    pipelines = (PipelineConfig("klein", "embedded", device="cpu"),)
    generator = LocalGenerator(GeneratorConfig(pipelines, sys.argv[1], standby=True))
    await generator.start()
    def tell(done, total):
        if spare := generator.status().details["standby"]:
            print(json.dumps([generator.status().details["pid"], spare["pid"]]), flush=True)
    request = GenerationRequest("klein", uuid.uuid4(), "a portrait", (1,), width=512, height=512, steps=100)
    await generator.generate(request, tell)

asyncio.run(main())
"""


async def test_a_killed_daemon_leaves_no_child(weights: Path) -> None:
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DAEMON, str(weights), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert daemon.stdout is not None
    async with asyncio.timeout(60):
        while not (line := await daemon.stdout.readline()).startswith(b"["):
            assert line
    children = [psutil.Process(pid) for pid in json.loads(line)]
    daemon.kill()
    await daemon.wait()
    psutil.wait_procs(children, timeout=3)
    assert not [one for one in children if one.is_running() and one.status() != psutil.STATUS_ZOMBIE], "nor a spare"
