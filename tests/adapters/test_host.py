"""The figures of this machine: the container's limit counts, and a disk that hangs holds nobody."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from listener.adapters.host import read_figures
from listener.engine.clock import SystemClock

ROOT = Path(__file__).parents[2]
GIB = 2**30


def cgroup_v2(folder: Path, limit: str, used: int, inactive: int) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {inactive}\n")
    return folder


def test_without_a_container_s_limit_the_host_s_memory_counts(tmp_path: Path) -> None:
    for folder in (tmp_path, cgroup_v2(tmp_path, "max", GIB, 0)):
        figures = read_figures({}, SystemClock(), folder)
        assert figures.memory_total_bytes == psutil.virtual_memory().total
        assert 0 < figures.memory_available_bytes <= figures.memory_total_bytes


def test_a_container_s_limit_counts_with_what_its_cache_would_give_back(tmp_path: Path) -> None:
    figures = read_figures({}, SystemClock(), cgroup_v2(tmp_path, str(64 * 2**20), 60 * 2**20, 10 * 2**20))
    assert (figures.memory_total_bytes, figures.memory_available_bytes) == (64 * 2**20, 14 * 2**20)


def test_the_older_cgroups_are_read_too(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()
    (memory / "memory.limit_in_bytes").write_text(str(64 * 2**20))
    (memory / "memory.usage_in_bytes").write_text(str(70 * 2**20))
    (memory / "memory.stat").write_text("total_inactive_file 0\n")
    assert read_figures({}, SystemClock(), tmp_path).memory_available_bytes == 0


def test_a_folder_that_is_not_there_yet_is_measured_where_it_will_be(tmp_path: Path) -> None:
    figures = read_figures({"cache": tmp_path / "not" / "yet"}, SystemClock(), tmp_path)
    assert figures.disks["cache"].total_bytes == psutil.disk_usage(str(tmp_path)).total
    assert figures.process_bytes > 0


@pytest.mark.parametrize("hangs", [True, False])
def test_a_reading_that_never_ends_holds_neither_the_loop_nor_the_end_of_the_process(hangs: bool) -> None:
    code = f"""
import asyncio, threading
from listener.adapters import host
from listener.engine.clock import SystemClock

entered = threading.Event()
class Hanging:
    def absolute(self): return self
    parents = ()
    def __fspath__(self):
        entered.set()
        {"threading.Event().wait()" if hangs else ""}
        return "/"

async def main():
    reader = host.HostReader({{"nfs": Hanging()}}, SystemClock())
    reader.start()
    while not entered.is_set():
        await asyncio.sleep(0.01)
    reader.stop()

asyncio.run(main())
print("ended")
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("ended\n", "", 0)
