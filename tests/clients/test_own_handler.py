"""examples/own-handler, installed as pip would install it: found by name, and driven by rows of its own table."""

from __future__ import annotations

import asyncio
import io
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
from PIL import Image
from supabase import AsyncClient

from devstack.stack import Stack
from tests.support.app import TERMINAL, signed_in
from tests.support.commands import listener
from tests.support.worker import ROOT, Worker, running_worker

EXAMPLE = ROOT / "examples" / "own-handler"
PAGE = ROOT / "docs" / "write-a-handler.md"
LINES_MAX = 20


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PYTHONPATH with the example's wheel unpacked into a folder: what pip does with a wheel of pure Python."""
    folder = tmp_path_factory.mktemp("own-handler")
    built = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "wheels")]
    subprocess.run(built, cwd=EXAMPLE, check=True, capture_output=True, timeout=60)
    [wheel] = (folder / "wheels").glob("own_handler-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return os.pathsep.join((str(ROOT), str(folder / "site")))


@pytest.fixture
async def worker(stack: Stack, connection: asyncpg.Connection, installed: str) -> AsyncIterator[Worker]:
    """A worker of both kinds, on a project with the example's table."""
    await connection.execute((EXAMPLE / "table.sql").read_text())
    async with running_worker(stack, PYTHONPATH=installed, LISTENER_KINDS="headshot,postcard") as running:
        yield running


async def ordered(client: AsyncClient, place: str) -> dict[str, Any]:
    """Insert a postcard and wait for its end."""
    inserted = await client.table("postcards").insert({"place": place}).execute()
    async with asyncio.timeout(60):
        while True:
            found = await client.table("postcards").select("*").eq("id", inserted.data[0]["id"]).single().execute()
            if found.data["status"] in TERMINAL:
                row: dict[str, Any] = found.data
                return row
            await asyncio.sleep(0.05)


async def test_a_row_of_the_apps_own_table_becomes_what_the_own_handler_makes(stack: Stack, worker: Worker) -> None:
    client = await signed_in(stack)
    row = await ordered(client, "Marstal")
    assert (row["status"], row["progress"], row["error_code"]) == ("completed", 100, None)
    [artifact] = row["result"]["artifacts"]
    assert artifact["path"] == row["result"]["image_path"] == f"{row['user_id']}/{row['id']}.jpg"
    async with httpx.AsyncClient() as http:
        answer = await http.get(row["result"]["image_url"])
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (192, 128))
    balance = await client.rpc("credit_balance").execute()
    assert balance.data == 9
    assert worker.logged("worker_ready")[0]["kinds"] == ["headshot", "postcard"]


async def test_what_its_params_refuse_fails_by_name_and_is_refunded(stack: Stack, worker: Worker) -> None:
    client = await signed_in(stack)
    row = await ordered(client, "x" * 201)
    assert (row["status"], row["error_code"]) == ("failed", "invalid_params")
    assert row["error_details"]["fields"][0]["field"] == "place"
    assert (await client.rpc("credit_balance").execute()).data == 10
    assert "x" * 201 not in str(worker.lines)


async def test_without_the_package_the_kind_is_refused_at_start(stack: Stack) -> None:
    ended = await listener("run", place=stack, LISTENER_KINDS="headshot,postcard")
    assert ended.status == 78
    assert "'postcard', which is not installed" in ended.complained


def test_the_class_is_twenty_lines_and_the_page_shows_the_example_as_it_is() -> None:
    text = (EXAMPLE / "postcard.py").read_text()
    body = text[text.index("class PostcardParams") : text.index("def encode")]
    assert len([line for line in body.splitlines() if line.strip()]) <= LINES_MAX
    blocks = re.findall(r"```(?:python|sql|toml)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for name in ("postcard.py", "table.sql", "pyproject.toml"):
        assert (EXAMPLE / name).read_text() in blocks, f"{name} differs from the page"
