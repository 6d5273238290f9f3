"""Model files: brought once, continued where a process ended, never taken for whole by half."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random

import psutil
import pytest
import pytest_asyncio

from handlers.weights.files import MODULE, ModelFiles, Patience
from handlers.weights.repository import BESIDE, PROOF, Repository
from listener.errors import ModelUnavailable
from tests.support.model_hub import TOKEN, Hub, serving_models

NAME = "tester/talking"
LARGE = Random(7).randbytes(700_000)
FILES = {"config.json": b'{"a": 1}', "deep/model.safetensors": LARGE, "README.md": b"read me", "old.bin": LARGE[:5]}
HUGE = Random(8).randbytes(24_000_000)  # the client writes pieces of 10 MiB
TALKING = Repository(NAME, "Talking", ("*.json", "*.safetensors"), size_bytes=700_000)
QUICK = Patience(first_delay_s=0.01, most_delay_s=0.02, lease_s=3, claim_s=30)


@pytest_asyncio.fixture
async def hub() -> AsyncIterator[Hub]:
    async with serving_models({NAME: dict(FILES)}) as served:
        yield served


def files_at(hub: Hub, root: Path, *wanted: Repository, token: str | None = None) -> ModelFiles:
    environment = {"HF_ENDPOINT": hub.base_url, "HF_HOME": str(root / "home"), "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    return ModelFiles(wanted or (TALKING,), root, token, patience=QUICK, environment=environment)


def ignore(_note: str) -> None: ...


def the_download() -> psutil.Process:
    """The child that brings files: other tests of this process may have children too."""
    [child] = [one for one in psutil.Process().children() if MODULE in one.cmdline()]
    return child


async def refusal(files: ModelFiles) -> str:
    with pytest.raises(ModelUnavailable) as refused:
        await files.ensure(ignore)
    return str(refused.value)


async def test_what_is_missing_is_brought_by_its_patterns_and_nothing_is_asked_once_it_is_there(
    hub: Hub, tmp_path: Path
) -> None:
    files = files_at(hub, tmp_path)
    assert files.missing() == (f"{NAME} (0.7 MiB) is not in {tmp_path / 'Talking'}",)
    assert not files.status().ready
    notes: list[str] = []
    await files.ensure(notes.append)
    folder = files.folder(TALKING)
    assert (folder / "deep/model.safetensors").read_bytes() == LARGE
    assert sorted(one.name for one in folder.iterdir()) == [BESIDE, "config.json", "deep"]
    assert notes[-1] == f"bringing {NAME}: 0.7 MiB of 0.7 MiB"
    assert files.status().ready
    asked = len(hub.asked)
    again = files_at(hub, tmp_path)
    assert again.missing() == ()
    await again.ensure(ignore)
    assert len(hub.asked) == asked


async def test_errors_of_the_hub_are_tried_three_times_and_then_told(hub: Hub, tmp_path: Path) -> None:
    hub.statuses = [500, 503, 500, 500, 503]
    files = files_at(hub, tmp_path)
    assert await refusal(files) == f"the hub answers 500 for {NAME}"
    assert files.status().reason.startswith(f"try 3 of 3: the hub answers 500 for {NAME}; {NAME} (0.7 MiB) is ")
    await files.ensure(ignore)
    assert files.status().ready


async def test_an_answer_that_is_cut_is_continued_where_it_ended(hub: Hub, tmp_path: Path) -> None:
    hub.repositories[NAME]["deep/model.safetensors"] = HUGE
    hub.cuts = [15_000_000]
    files = files_at(hub, tmp_path)
    await files.ensure(ignore)
    assert (files.folder(TALKING) / "deep/model.safetensors").read_bytes() == HUGE
    assert hub.ranges == [f"bytes={10 << 20}-"]


async def test_a_killed_download_is_never_taken_for_whole_and_continued_by_the_next_process(
    hub: Hub, tmp_path: Path
) -> None:
    hub.repositories[NAME]["deep/model.safetensors"] = HUGE
    hub.stop_after = 15_000_000
    async with asyncio.TaskGroup() as group:
        first = group.create_task(files_at(hub, tmp_path).ensure(ignore))
        await hub.stopped.wait()
        part = next((tmp_path / "Talking" / BESIDE / "parts").iterdir())
        await until(lambda: part.stat().st_size > 0)
        child = the_download()
        first.cancel()
    assert not psutil.pid_exists(child.pid)
    assert part.stat().st_size == 10 << 20
    files = files_at(hub, tmp_path)
    assert files.missing() == (f"{NAME} (0.7 MiB) is only partly in {tmp_path / 'Talking'}",)
    hub.stop_after = None
    hub.go_on.set()
    await files.ensure(ignore)
    assert files.missing() == ()
    assert hub.ranges == [f"bytes={10 << 20}-"]
    assert (files.folder(TALKING) / "deep/model.safetensors").read_bytes() == HUGE


async def test_two_workers_on_one_volume_download_once(hub: Hub, tmp_path: Path) -> None:
    hub.stop_after = 100_000
    notes: list[str] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(files_at(hub, tmp_path).ensure(ignore))
        await hub.stopped.wait()
        group.create_task(files_at(hub, tmp_path).ensure(notes.append))
        await until(lambda: any("another worker" in note for note in notes))
        hub.go_on.set()
    assert hub.sent_files() == ["model.safetensors"]
    assert files_at(hub, tmp_path).missing() == ()


async def test_a_worker_that_hangs_loses_its_claim_and_the_other_brings_all(hub: Hub, tmp_path: Path) -> None:
    hub.stop_after = 100_000
    hanging = files_at(hub, tmp_path)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(hanging.ensure(ignore))
        await hub.stopped.wait()
        child = the_download()
        os.kill(child.pid, signal.SIGSTOP)
        hub.stop_after = None
        hub.go_on.set()
        await files_at(hub, tmp_path).ensure(ignore)
        os.kill(child.pid, signal.SIGCONT)
        await first
    assert (hanging.folder(TALKING) / "deep/model.safetensors").read_bytes() == LARGE


async def test_a_damaged_file_is_thrown_away_and_brought_again(hub: Hub, tmp_path: Path) -> None:
    hub.damaged = 1
    files = files_at(hub, tmp_path)
    await files.ensure(ignore)
    assert (files.folder(TALKING) / "deep/model.safetensors").read_bytes() == LARGE
    assert len(hub.sent_files()) == 2


async def test_a_gated_repository_asks_for_a_token_and_opens_with_it(hub: Hub, tmp_path: Path) -> None:
    hub.gated.add(NAME)
    asked = len(hub.asked)
    words = f"{NAME} is gated and HF_TOKEN is not set: accept its terms at the hub, then set HF_TOKEN"
    assert await refusal(files_at(hub, tmp_path)) == words
    assert len(hub.asked) == asked + 1  # no second try: nothing would change
    assert "may not read it yet" in await refusal(files_at(hub, tmp_path, token="hf_of_somebody_else"))
    opened = files_at(hub, tmp_path, token=TOKEN)
    await opened.ensure(ignore)
    assert opened.status().ready


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Repository("tester/nothing", "N"), "the hub has no tester/nothing, or it is private: set HF_TOKEN"),
        (Repository(NAME, "N", revision="v9"), f"{NAME} has no revision 'v9'"),
        (Repository(NAME, "N", ("*.gguf",)), f"{NAME} has none of the files *.gguf"),
    ],
)
async def test_what_the_hub_does_not_have_is_said(hub: Hub, tmp_path: Path, wanted: Repository, words: str) -> None:
    assert await refusal(files_at(hub, tmp_path, wanted)) == words


async def test_a_disk_that_is_too_small_is_told_before_anything_is_brought(hub: Hub, tmp_path: Path) -> None:
    hub.announced["deep/model.safetensors"] = 1 << 50
    words = await refusal(files_at(hub, tmp_path))
    assert words.startswith(f"{NAME} needs 1048576.0 GiB more, and {tmp_path / 'Talking'} has ")
    assert words.endswith("GiB free: make room, or use a larger volume")
    assert hub.sent_files() == []


async def test_a_proof_is_believed_only_for_these_files_of_this_size(hub: Hub, tmp_path: Path) -> None:
    files = files_at(hub, tmp_path)
    await files.ensure(ignore)
    folder = files.folder(TALKING)
    (folder / "deep/model.safetensors").write_bytes(LARGE[:-1])
    assert files.missing() == (f"{NAME} (0.7 MiB) in {folder} lacks deep/model.safetensors",)
    await files.ensure(ignore)
    assert files.missing() == ()
    more = Repository(NAME, "Talking", ())
    assert files_at(hub, tmp_path, more).missing() == (
        f"{NAME} is only partly in {folder}: other files of it were wanted before",
    )
    proof = folder / BESIDE / PROOF
    proof.write_text(json.dumps({**json.loads(proof.read_text()), "files": {"../../etc/passwd": 1}}))
    assert "is only partly in" in files.missing()[0]


async def test_files_that_somebody_put_there_are_checked_and_kept(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "Talking"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/model.safetensors").write_bytes(LARGE)
    files = files_at(hub, tmp_path)
    await files.ensure(ignore)
    assert files.missing() == ()
    assert hub.sent_files() == []


async def test_a_name_that_leads_outside_is_refused(hub: Hub, tmp_path: Path) -> None:
    for folder in ("../elsewhere", "/etc", "", ".git"):
        with pytest.raises(ValueError, match="no folder inside"):
            Repository(NAME, folder)
    with pytest.raises(ValueError, match="no name of a repository"):
        Repository("../../api", "N")
    hub.repositories[NAME] = {"../outside.json": b"{}"}
    assert "names a file outside of its folder" in await refusal(files_at(hub, tmp_path))
    assert not (tmp_path / "outside.json").exists()


async def until(seen: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not seen():
            await asyncio.sleep(0.01)
