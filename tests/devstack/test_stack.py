"""Promises of the stack as a whole: it starts alone, says where it is, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from devstack.gateway import VENDOR
from devstack.stack import open_stack

DEADLINE_S = 30.0
TOLD = {
    "url", "anon_key", "service_role_key", "publishable_key", "secret_key", "jwt_secret", "db_url", "admin_key",
    "page_url",
}  # fmt: skip
REPOSITORY = Path(__file__).parents[2]


def _start() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "devstack", "--json"]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def _told(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    told: dict[str, Any] = json.loads(process.stdout.readline())
    return told


async def _data_folder(dsn: str) -> Path:
    connection = await asyncpg.connect(dsn)
    try:
        return Path(await connection.fetchval("show data_directory"))
    finally:
        await connection.close()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "not within the deadline"
        time.sleep(0.02)


@pytest.mark.parametrize("order", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_it_runs_alone_and_is_gone_when_it_is_told_to_go(order: signal.Signals) -> None:
    with _start() as process:
        told = _told(process)
        assert set(told) == TOLD
        headers = {"apikey": told["service_role_key"]}
        async with httpx.AsyncClient(base_url=told["url"], headers=headers) as client:
            assert (await client.get("/rest/v1/headshot_sessions")).json() == []
            bucket = (await client.get("/storage/v1/bucket/headshots")).json()
            uploaded = await client.post(
                "/storage/v1/object/headshots/a.png", content=b"x", headers={"Content-Type": "image/png"}
            )
            assert (bucket["public"], uploaded.status_code) == (False, 200)
        folder = (await _data_folder(told["db_url"])).parent
        assert len(list((folder / "objects").iterdir())) == 1
        process.send_signal(order)
        assert process.wait(DEADLINE_S) == (-signal.SIGKILL if order == signal.SIGKILL else 0)
    _until(lambda: not folder.exists())


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (["--port", "TAKEN"], {}, "address already in use"),
        (["--port", "70000"], {}, "70000 is no port"),
        ([], {"LISTENER_STACK_DIR": "/nowhere"}, "LISTENER_STACK_DIR"),
        ([], {"LISTENER_PG_BIN": "/nowhere"}, "LISTENER_PG_BIN=/nowhere"),
    ],
)
def test_what_keeps_it_from_starting_is_said_in_one_line(
    arguments: list[str], settings: dict[str, str], words: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = [argument.replace("TAKEN", str(taken.getsockname()[1])) for argument in arguments]
        command = [sys.executable, "-m", "devstack", *given]
        ended = subprocess.run(
            command, cwd=REPOSITORY, env=os.environ | settings, capture_output=True, text=True, timeout=60, check=False
        )
    assert ended.returncode in (1, 2)
    *usage, line = ended.stderr.splitlines()
    assert words in line
    assert [said for said in usage if not said.startswith("usage:")] == []


async def test_two_stacks_may_serve_one_database(database_url: str) -> None:
    async with open_stack(database_url) as one, open_stack(database_url, keys=one.keys) as other:
        assert one.url != other.url
        headers = {"apikey": one.keys.service_role_key}
        async with httpx.AsyncClient(headers=headers) as client:
            for stack in (one, other):
                assert (await client.get(f"{stack.url}/rest/v1/headshot_sessions")).status_code == 200


@pytest.mark.skipif(not VENDOR.is_dir(), reason="the page's client is fetched by npm ci")
async def test_the_page_is_served_and_nothing_beside_it(database_url: str) -> None:
    async with open_stack(database_url, page=True) as stack, httpx.AsyncClient(base_url=stack.url) as client:
        page = await client.get("/page/")
        assert page.headers["Content-Type"].startswith("text/html")
        assert (await client.get("/page/config.json")).json() == {"url": stack.url, "anon_key": stack.keys.anon_key}
        script = await client.get("/page/vendor/supabase.js")
        assert "createClient" in script.text
        for path in ("/page/../gateway.py", "/page/%2e%2e/gateway.py", "/page/..%2fgateway.py", "/page//etc/passwd"):
            answer = await client.get(path)
            assert answer.status_code in (403, 404), path
            assert "def " not in answer.text
