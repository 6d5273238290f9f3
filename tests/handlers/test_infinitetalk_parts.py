"""What a program prints is read piece by piece, and a device that another generator has is borrowed from it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from handlers.infinitetalk.files import REPOSITORIES, WEIGHTS, ModelCare
from handlers.infinitetalk.output import LINE_BYTES_MAX, TAIL_BYTES, Output
from handlers.infinitetalk.own_devices import OwnDevices
from handlers.runtime.environment import engine_environment
from handlers.weights.files import ModelFiles
from listener.contract import IN_LINE, GenerationRequest, PipelineConfig
from listener.errors import ModelUnavailable
from tests.handlers.talking import Studio, picture, sound, until
from tests.support.model_hub import serving_models

BARS = (
    b"Loading checkpoint shards: 100%|####| 2/2 [00:01<00:00]\n"
    b"\r  0%|          | 0/2 [00:00<?, ?it/s]\r 50%|#####     | 1/2 [00:01<00:01]\r100%|##########| 2/2 [00:02<00:00]\n"
    b"diff_norm: 1/2 [\n"
    b"  0%|          | 0/9 [00:00<?, ?it/s]\r 50%|#####     | 5/9 [00:01<00:01]\n"
    b"\r  0%|          | 0/2 [00:00<?, ?it/s]\r 50%|#####     | 1/2 [00:01<00:01]\r100%|##########| 2/2 [00:02<00:00]\n"
    b"Saving video:  50%|##   | 1/2 [00:00<00:00]\n"
)


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_the_bars_of_steps_are_counted_however_they_are_cut(size: int) -> None:
    told: list[tuple[int, int]] = []
    output = Output(2, 2, lambda done, total: told.append((done, total)))
    for begin in range(0, len(BARS), size):
        output.feed(BARS[begin : begin + size])
    output.end()
    assert told == [(done, 4) for done in range(1, 5)]


def test_of_what_is_printed_only_the_end_is_kept() -> None:
    output = Output(1, 1, lambda *_: None)
    for _ in range(100):
        output.feed(b"x" * LINE_BYTES_MAX)
    output.feed(b"\nUnicode \xff\xf0\nlast words")
    output.end()
    assert output.size_bytes > 100 * LINE_BYTES_MAX
    assert len(output.tail) <= TAIL_BYTES
    assert output.tail.endswith("Unicode \ufffd\ufffd\nlast words")


@pytest.mark.parametrize(
    ("line", "memory", "room", "failure"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", True, False, "OutOfMemoryError"),
        ("torch.cuda.OutOfMemoryError: HIP out of memory", True, False, "OutOfMemoryError"),
        ("RuntimeError: CUDA error: out of memory", True, False, "RuntimeError"),
        ("RuntimeError: cuBLAS error: CUBLAS_STATUS_ALLOC_FAILED when calling", True, False, "RuntimeError"),
        ("MemoryError", True, False, "MemoryError"),
        ("OSError: [Errno 28] No space left on device: 'clip.mp4'", False, True, "OSError"),
        ("subprocess.CalledProcessError: Command 'ffmpeg' returned", False, False, "CalledProcessError"),
        ("the person says Error and goes on", False, False, ""),
    ],
)
def test_what_ran_out_is_read_from_its_words(line: str, memory: bool, room: bool, failure: str) -> None:
    output = Output(1, 1, lambda *_: None)
    output.feed(f"Traceback (most recent call last):\n  File 'x.py'\n{line}".encode())
    output.end()
    assert (output.lacked_memory, output.lacked_room, output.failure) == (memory, room, failure)


@pytest.mark.parametrize(
    ("ours", "device", "seen"),
    [(None, "cuda:1", "1"), ("4,6", "cuda:1", "6"), ("GPU-ab, GPU-cd", "cuda:0", "GPU-ab"), ("3", "cuda", "3")],
)
def test_a_device_is_named_as_the_driver_counts_it(
    monkeypatch: pytest.MonkeyPatch, ours: str | None, device: str, seen: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if ours is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ours)
    assert engine_environment(device, Path("/run"), Path("/cache"))["CUDA_VISIBLE_DEVICES"] == seen


async def test_a_program_that_is_not_there_makes_the_generator_unable(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    studio.build()
    await studio.start()
    assert studio.generator.status().ready
    for command in (("/nowhere/python", "x.py"), ("python3", "/nowhere/generate_infinitetalk.py")):
        engine = studio.engine(command=command)
        studio.build(engines={"infinitetalk": engine})
        await studio.start()
        assert "LISTENER_INFINITETALK_COMMAND" in studio.generator.status().reason
        with pytest.raises(ModelUnavailable):
            await studio.clip()
    (no_program := tmp_path / "program").write_bytes(b"\0")
    no_program.chmod(0o755)
    studio.build(engines={"infinitetalk": studio.engine(command=(str(no_program),))})
    with pytest.raises(ModelUnavailable, match="cannot be started"):
        await studio.clip()
    studio.require_nothing_left()


async def test_the_device_of_another_generator_goes_before_its_own(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    lender = OwnDevices(["cpu"])
    studio.build(devices=("cuda:7",)).lent_by(lender)
    async with lender.exclusive("somebody"):
        making = asyncio.ensure_future(studio.clip())
        await until(lambda: studio.steps)
        await asyncio.sleep(0)
        assert (studio.steps, studio.told) == ([IN_LINE], [])
    assert (await making).device == "cpu"
    studio.build(devices=("cuda:7",)).lent_by(None)
    assert (await studio.clip()).device == "cuda:7"


async def test_until_its_model_files_are_there_it_makes_nothing_and_names_them(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    studio.put_models()
    (weights := tmp_path / "models" / "InfiniteTalk" / "single" / "infinitetalk.safetensors").unlink()
    (tmp_path / "models" / "Wan2.1-I2V-14B-480P" / "xlm-roberta-large" / "some.json").unlink()
    generator = studio.build()
    await generator.start()
    lacking = f"{tmp_path}/models/Wan2.1-I2V-14B-480P/xlm-roberta-large/*; {weights}"
    assert generator.status().reason == f"model files are missing: {lacking}"
    with pytest.raises(ModelUnavailable, match="model files are missing"):
        await generator.generate(
            GenerationRequest("avatar", uuid4(), "p", (1,), references=(picture(),), audio=sound()), lambda *_: None
        )
    await generator.close()
    care, slept_s = ModelCare(tmp_path / "models", None, download=False), []

    async def sleep(duration_s: float) -> None:
        slept_s.append(duration_s)
        studio.put_models()

    assert not await care.look()
    await care.care(sleep)
    assert (weights.exists(), slept_s, care.obstacle) == (True, [30.0], "")


async def test_what_is_missing_is_brought_while_readiness_says_so(tmp_path: Path) -> None:
    repositories = {
        one.repo_id: {name.replace("*", "some.json"): name.encode() for name in (*one.files, "unasked.bin")}
        for one in REPOSITORIES
    }
    weights = repositories.pop(WEIGHTS.repo_id)
    async with serving_models(repositories) as hub:
        hub.revisions.add("refs/pr/1")
        reached = {"HF_ENDPOINT": hub.base_url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
        files = ModelFiles(REPOSITORIES, tmp_path / "models", environment=reached)
        care = ModelCare(tmp_path / "models", None, download=True, files=files)
        said: list[str] = []

        async def sleep(duration_s: float) -> None:
            said.append(f"{duration_s:g} s: {care.obstacle}")
            hub.repositories[WEIGHTS.repo_id] = weights

        assert not await care.look()
        assert care.obstacle.count("is not in") == 3
        await care.care(sleep)
    assert [words.partition(",")[0] for words in said] == [
        f"300 s: model files are missing: the hub has no {WEIGHTS.repo_id}"
    ]
    assert care.obstacle == ""
    assert care.models.weights.read_bytes() == b"single/infinitetalk.safetensors"
    assert not list((tmp_path / "models").rglob("unasked.bin"))
    assert await ModelCare(tmp_path / "models", None, download=False).look(), "by hand it would be enough too"


@pytest.mark.slow
async def test_a_device_with_models_on_it_is_lent_to_the_program_alone_and_comes_back(
    start: Any, tmp_path: Path
) -> None:
    bench = await start(pipelines=(PipelineConfig("klein", "embedded", device="cpu"),))
    await bench.ready()
    pid = bench.pid
    drawing = asyncio.ensure_future(
        bench.generator.generate(
            GenerationRequest("klein", uuid4(), "p", (1,), width=64, height=64, steps=20), bench.heard
        )
    )
    await bench.until(lambda: bench.steps)
    studio = Studio(tmp_path)
    studio.build("slow").lent_by(bench.generator)
    making = asyncio.ensure_future(studio.clip())
    await until(lambda: studio.told)
    assert drawing.done(), "who came before was served before"
    assert not os.path.exists(f"/proc/{pid}"), "nothing of ours is on the device"  # noqa: PTH110
    assert bench.generator.status().reason == "the device is lent to infinitetalk"
    made = await making
    assert (made.device, studio.steps[:2]) == ("cpu", [IN_LINE, (0, 3)])
    assert not studio.alive()
    await bench.ready()
