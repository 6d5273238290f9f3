"""Clips by a program that is not ours: what it is given, what becomes of what it makes, that nothing of it is left."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest
from structlog.testing import capture_logs

from handlers.infinitetalk.folder import MARK, run_folder
from listener.contract import IN_LINE
from listener.errors import (
    AttemptFailure,
    DiskFull,
    GenerationFailed,
    InputUnavailable,
    ModelUnavailable,
    NothingProduced,
    OutOfMemory,
    RuntimeDied,
    TimeLimit,
)
from tests.handlers.talking import COLOUR, Studio, picture, sound, until

SECRET = "CANARY-0123456789"
HOSTILE = "she says \"$(touch /tmp/x)\" && 'rm' `id`\n--save_file /etc/passwd\\ \u2028 写真; exit 1"


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path)


async def test_a_picture_and_its_sound_become_a_clip_with_both(studio: Studio) -> None:
    studio.build()
    made = await studio.clip(audio=sound(1.5))
    assert made.clip is not None
    assert (made.images, made.model, made.device, made.steps) == ((), "MeiGen-AI/InfiniteTalk", "cuda", 3)
    assert (made.notes, made.clip.seed, made.clip.fps) == ((), 7, 25)
    assert abs(made.clip.duration_s - 1.5) < 0.1
    with av.open(io.BytesIO(made.clip.mp4)) as film:
        assert [stream.type for stream in film.streams] == ["video", "audio"]
        shown = next(film.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(shown[: shown.shape[0] // 2].mean(axis=(0, 1)) - COLOUR).max() < 8
    assert (made.clip.width, made.clip.height) == (shown.shape[1], shown.shape[0])
    assert studio.steps == [IN_LINE, (0, 3), (1, 3), (2, 3), (3, 3)]
    studio.require_nothing_left()


async def test_the_program_is_asked_by_its_own_arguments_and_what_people_wrote_stays_one_value(studio: Studio) -> None:
    studio.build(steps=4)
    await studio.clip(prompt=HOSTILE, seeds=(2**40 + 5,), guidance_scale=2.5, references=(picture(kind="JPEG"),))
    (told,) = studio.told
    words = dict(zip(told["arguments"][::2], told["arguments"][1::2], strict=True))
    models = studio.root / "models"
    assert words["--ckpt_dir"] == str(models / "Wan2.1-I2V-14B-480P")
    assert words["--wav2vec_dir"] == str(models / "chinese-wav2vec2-base")
    assert words["--infinitetalk_dir"] == str(models / "InfiniteTalk" / "single" / "infinitetalk.safetensors")
    assert (words["--size"], words["--mode"], words["--sample_steps"]) == ("infinitetalk-720", "streaming", "4")
    assert (words["--base_seed"], words["--sample_text_guide_scale"]) == ("5", "2.5"), "numpy takes seeds below 2**32"
    assert told["input"]["prompt"] == HOSTILE
    assert Path(told["input"]["cond_video"]).suffix == ".jpg"
    assert list(told["input"]["cond_audio"]) == ["person1"]
    assert not [word for word in told["arguments"] if "touch" in word]


async def test_the_program_sees_its_device_alone_and_no_secret_and_no_network(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SUPABASE_SERVICE_ROLE_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "PYTHONPATH"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    studio.build(devices=("cuda:1",))
    made = await studio.clip()
    (told,) = studio.told
    assert made.device == "cuda:1"
    assert SECRET not in json.dumps(told)
    assert told["environment"]["CUDA_VISIBLE_DEVICES"] == "6"
    assert told["environment"]["HF_HUB_OFFLINE"] == "1"
    assert told["environment"]["TMPDIR"] == told["folder"], "what it leaves in temporary folders goes with ours"
    assert told["stdin"] == ""
    studio.build(devices=("cpu",))
    await studio.clip()
    assert studio.told[-1]["environment"]["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize("lasting_s", [0.1, 3.23, 3.3, 6.13])
async def test_a_clip_lasts_as_long_as_its_sound_also_where_the_program_refuses_short_ones(
    studio: Studio, lasting_s: float
) -> None:
    studio.build(steps=1)
    made = await studio.clip(audio=sound(lasting_s, 44100, 2))
    assert made.clip is not None
    assert 0 <= made.clip.duration_s - lasting_s < 0.05
    parts = {0.1: 1, 3.23: 1, 3.3: 2, 6.13: 3}[lasting_s]
    assert studio.steps == [IN_LINE, *((done, parts) for done in range(parts + 1))]


@pytest.mark.parametrize(
    ("word", "failure", "said", "details"),
    [
        ("crash", GenerationFailed, "ended with exit code 1, RuntimeError", {"error": "RuntimeError"}),
        ("sigkill", RuntimeDied, "killed by SIGKILL .* memory runs out", {"exit": "killed by SIGKILL (9)"}),
        ("sigsegv", RuntimeDied, "killed by SIGSEGV", {"exit": "killed by SIGSEGV (11)"}),
        ("full", DiskFull, "exit code 1, OSError", {"dependency": "disk"}),
        ("nothing", NothingProduced, "it wrote no file", {"reason": "no_file"}),
        ("empty", NothingProduced, "it wrote an empty file", {"reason": "empty_file"}),
        ("text", NothingProduced, "its file is no MP4", {"reason": "no_mp4"}),
        ("torn", NothingProduced, "cannot be read", {"reason": "unreadable"}),
    ],
)
async def test_however_it_ends_the_owner_is_told_in_words_and_nothing_is_left(
    studio: Studio, word: str, failure: type[AttemptFailure], said: str, details: dict[str, Any]
) -> None:
    studio.build(word, "grandchild")
    with capture_logs() as logs, pytest.raises(failure, match=said) as caught:
        await studio.clip(prompt="quokka marmalade")
    assert caught.value.details.items() >= details.items()
    told = f"{caught.value} {caught.value.details} {logs}"
    assert "quokka" not in told
    assert str(studio.root / "cache") not in told
    studio.require_nothing_left()
    assert len(studio.told) == 1, "it is not tried again"


async def test_a_failure_leaves_its_last_words_in_the_log_without_ours(studio: Studio) -> None:
    studio.build("garbage", "crash")
    with capture_logs() as logs, pytest.raises(GenerationFailed):
        await studio.clip(prompt="quokka marmalade")
    (line,) = [line for line in logs if line["event"] == "engine_failed"]
    assert "RuntimeError: *** *** in RUN/input.json" in line["tail"]
    assert line["printed_bytes"] > 4_000_000
    assert len(line["tail"]) <= 64 << 10


async def test_megabytes_of_garbage_harm_nothing(studio: Studio) -> None:
    studio.build("garbage", "bare")
    assert (await studio.clip()).clip
    assert studio.steps[-1] == (3, 3)


async def test_memory_that_runs_out_at_720p_is_tried_once_more_at_480p_and_noted(studio: Studio) -> None:
    studio.build("oom720", "grandchild")
    made = await studio.clip()
    assert made.notes == ("made at 480p instead of 720p for lack of memory",)
    sizes = [told["arguments"][told["arguments"].index("--size") + 1] for told in studio.told]
    assert sizes == ["infinitetalk-720", "infinitetalk-480"]
    studio.require_nothing_left()


@pytest.mark.parametrize(("width", "height", "runs"), [(1280, 720, 2), (960, 960, 2), (832, 480, 1), (480, 832, 1)])
async def test_memory_that_runs_out_at_480p_too_is_the_end(studio: Studio, width: int, height: int, runs: int) -> None:
    studio.build("oom")
    with pytest.raises(OutOfMemory, match="OutOfMemoryError"):
        await studio.clip(width=width, height=height)
    assert len(studio.told) == runs
    studio.require_nothing_left()


@pytest.mark.parametrize(("limit_s", "left_s"), [(0.8, None), (30.0, 0.8)])
async def test_a_program_that_does_not_end_is_ended_with_all_that_it_started(
    studio: Studio, limit_s: float, left_s: float | None
) -> None:
    studio.build("hang", "stubborn", "grandchild", limit_s=limit_s)
    began_s = time.monotonic()
    with pytest.raises(TimeLimit, match="InfiniteTalk took too long"):
        await studio.clip(time_left_s=left_s)
    assert 0.8 <= time.monotonic() - began_s < 10
    studio.require_nothing_left()


@pytest.mark.parametrize("times", [1, 2])
async def test_cancelled_it_is_gone_within_two_seconds_and_the_device_is_free(studio: Studio, times: int) -> None:
    studio.build("hang", "stubborn", "grandchild")
    making = asyncio.ensure_future(studio.clip())
    await until(lambda: studio.steps[-1:] == [(3, 3)])
    began_s = time.monotonic()
    for _ in range(times):
        making.cancel()
        await asyncio.sleep(0.1)
    with pytest.raises(asyncio.CancelledError):
        await making
    assert time.monotonic() - began_s < 2
    studio.require_nothing_left()
    assert studio.generator.status().details["infinitetalk"] == {
        "model": "MeiGen-AI/InfiniteTalk",
        "waiting": 0,
        "running": 0,
    }


async def test_cancelled_while_it_starts_it_ends_too(studio: Studio) -> None:
    """asyncio's own way to start a process waits for ever then."""
    studio.build("slow", devices=("cuda:0",))
    await studio.start()
    for turns in range(0, 24, 2):
        making = asyncio.ensure_future(studio.clip())
        for _ in range(turns):
            await asyncio.sleep(0.001 if turns < 12 else 0)
        making.cancel()
        async with asyncio.timeout(10):
            with pytest.raises(asyncio.CancelledError):
                await making
        studio.require_nothing_left()


async def test_a_warden_that_is_killed_leaves_nobody_either(studio: Studio) -> None:
    studio.build("hang", "stubborn", "grandchild")
    making = asyncio.ensure_future(studio.clip())
    await until(lambda: studio.steps[-1:] == [(3, 3)])
    program = psutil.Process(studio.told[0]["pid"])
    program.parent().kill()  # type: ignore[union-attr]
    with pytest.raises(RuntimeDied, match="killed by SIGKILL"):
        await making
    await until(lambda: not studio.alive())
    studio.require_nothing_left()


DAEMON = """
import asyncio, sys
from pathlib import Path
from tests.handlers.talking import Studio, until

async def main():
    studio = Studio(Path(sys.argv[1]))
    studio.build("hang", "stubborn", "grandchild")
    async with asyncio.TaskGroup() as group:
        group.create_task(studio.clip())
        await until(lambda: studio.steps[-1:] == [(3, 3)])
        print("it hangs", flush=True)

asyncio.run(main())
"""


async def test_a_killed_daemon_takes_the_program_along_and_the_next_one_removes_its_files(studio: Studio) -> None:
    root = Path(__file__).parents[2]
    arguments = (sys.executable, "-c", DAEMON, str(studio.root))
    daemon = await asyncio.create_subprocess_exec(*arguments, cwd=root, stdout=asyncio.subprocess.PIPE)
    assert daemon.stdout is not None
    assert await daemon.stdout.readline() == b"it hangs\n", "and prints no more: a closed pipe would end it anyway"
    daemon.send_signal(signal.SIGKILL)
    await daemon.wait()
    await until(lambda: not studio.alive(), within_s=5)
    (left,) = studio.folders
    assert (left / "sound.wav").exists()
    (somebodys := left.with_name("run-somebodys")).mkdir()
    with run_folder(left.parent) as held:
        await studio.build().start()
        assert studio.folders == sorted([held, somebodys]), "only what a dead worker marked"
    assert (left.parent / "run-somebodys").exists()
    assert not (somebodys / MARK).exists()


@pytest.mark.parametrize(("devices", "together"), [(("cuda:0",), False), (("cuda:0", "cuda:1"), True)])
async def test_a_device_makes_one_clip_at_a_time(studio: Studio, devices: tuple[str, ...], together: bool) -> None:
    studio.build("slow", devices=devices)
    await studio.start()
    made = await asyncio.gather(studio.clip(), studio.clip())
    began_s = max(told["began_s"] for told in studio.told)
    ended_s = min(map(float, Path(f"{studio.told_at}.ended").read_text().split()))
    assert (began_s < ended_s) is together
    assert {one.device for one in made} == set(devices)


async def test_who_waits_in_line_may_leave_it(studio: Studio) -> None:
    studio.build("hang", devices=("cuda:0",))
    running = asyncio.ensure_future(studio.clip())
    await until(lambda: studio.told)
    waiting = asyncio.ensure_future(studio.clip())
    await until(lambda: studio.generator.status().details["infinitetalk"]["waiting"] == 1)
    for one in (waiting, running):
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
    assert len(studio.told) == 1
    studio.require_nothing_left()


async def test_only_clips_are_made_of_sound_that_is_one(studio: Studio) -> None:
    studio.build()
    for lacking in ({"audio": None}, {"references": ()}):
        with pytest.raises(ModelUnavailable, match="clips alone"):
            await studio.clip(**lacking)
    for wrong in (b"", b"RIFF....", sound(0)):
        with pytest.raises(InputUnavailable):
            await studio.clip(audio=wrong)
    assert studio.told == []
