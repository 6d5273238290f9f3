"""`listener bench-model` measures the real runtime with the embedded weights, without any project."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.commands import Ended, listener

SMALL = ("bench-model", "--size", "64", "64", "--runs", "2")


async def bench(folder: Path, *more: str, **settings: str) -> Ended:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    local = {"LISTENER_HEADSHOT_MODEL": "embedded", "LISTENER_DEVICE": "cpu", "LISTENER_CACHE_DIR": str(folder)}
    return await listener(*SMALL, *more, folder=folder, within_s=110, **(kept | local | settings))


@pytest.mark.slow
async def test_the_table_compares_what_was_configured_and_asked_for_with_the_plain_model(tmp_path: Path) -> None:
    configured = json.dumps({"storage": "float8_e5m2"})
    ended = await bench(tmp_path, "--options", '{"attention": "flash"}', LISTENER_HEADSHOT_OPTIONS=configured)
    assert (ended.status, ended.complained) == (0, "")
    head, table, refused = ended.said.strip().split("\n\n")
    assert head == "embedded, 64 x 64, 1 image(s) a request, cpu"
    heads, plain, stored = (line.split("  ") for line in table.splitlines())
    assert heads[0] == "options"
    columns = [[cell.strip() for cell in line if cell.strip()] for line in (plain, stored)]
    assert [line[0] for line in columns] == ["plain", configured]
    assert [float(line[-2]) > 0 for line in columns] == [False, True], "rounded weights draw another picture"
    assert all(float(line[2]) > 0 and line[-1] == "4" for line in columns)
    assert refused.startswith('refused: {"attention": "flash"}: embedded: attention flash cannot be used')


@pytest.mark.slow
async def test_clips_are_measured_as_clips(tmp_path: Path) -> None:
    ended = await bench(tmp_path, "--kind", "avatar", LISTENER_AVATAR_MODEL="embedded")
    assert (ended.status, ended.complained) == (0, "")
    head, table = ended.said.strip().split("\n\n")
    assert head == "embedded, 64 x 64, a clip of 2 s a request, cpu"
    assert [cell.strip() for cell in table.splitlines()[1].split("  ") if cell.strip()][-2:] == ["-", "8"]


async def test_it_ends_with_1_when_nothing_could_be_measured_and_says_why(tmp_path: Path) -> None:
    ended = await bench(tmp_path, "--json", LISTENER_HEADSHOT_MODEL=str(tmp_path))
    assert ended.status == 1
    (line,) = ended.said.splitlines()
    assert "has no model_index.json" in json.loads(line)["refusal"]


@pytest.mark.parametrize(
    ("settings", "status", "words"),
    [
        ({"LISTENER_HEADSHOT_OPTIONS": "{"}, 78, "LISTENER_HEADSHOT_OPTIONS: must be JSON"),
        ({"LISTENER_HEADSHOT_OPTIONS": "[]"}, 78, "LISTENER_HEADSHOT_OPTIONS: Input should be a valid dictionary"),
        ({"LISTENER_DEVICE": "tpu"}, 78, "LISTENER_DEVICE: Input should be 'cuda', 'cpu' or 'auto'"),
    ],
)
async def test_a_wrong_setting_is_named(tmp_path: Path, settings: dict[str, str], status: int, words: str) -> None:
    ended = await bench(tmp_path, **settings)
    assert ended.status == status
    assert words in ended.complained
