"""Reads a worker process's HTTP endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import asyncpg
from prometheus_client.parser import text_string_to_metric_families

from tests.support.worker import Worker

POLL_S = 0.1


def url_of(worker: Worker) -> str:
    """Where a started worker answers."""
    return f"http://127.0.0.1:{worker.logged('worker_started')[0]['port']}"


async def read(worker: Worker, path: str) -> tuple[int, Any]:
    """Status and JSON body."""
    async with aiohttp.ClientSession() as session, session.get(f"{url_of(worker)}{path}") as answer:
        return answer.status, await answer.json()


async def until(worker: Worker, path: str, seen: Callable[[int, Any], bool], within_s: float = 30.0) -> Any:
    """Read until it is as wanted; the body."""
    async with asyncio.timeout(within_s):
        while True:
            status, body = await read(worker, path)
            if seen(status, body):
                return body
            await asyncio.sleep(POLL_S)


async def until_said(connection: asyncpg.Connection[Any], state: str, within_s: float = 30.0) -> None:
    """Wait until the newest worker tells the project so."""
    async with asyncio.timeout(within_s):
        while await connection.fetchval("select state from listener.workers order by started_at desc limit 1") != state:
            await asyncio.sleep(POLL_S)


async def sample(worker: Worker, name: str, **labels: str) -> float | None:
    """One value of /metrics."""
    async with aiohttp.ClientSession() as session, session.get(f"{url_of(worker)}/metrics") as answer:
        text = await answer.text()
    for family in text_string_to_metric_families(text):
        for found in family.samples:
            if found.name == name and labels.items() <= found.labels.items():
                return float(found.value)
    return None
