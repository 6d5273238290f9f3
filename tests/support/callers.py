"""A worker that answers every endpoint, and a credential of each kind: what callers of the whole API need."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from devstack.stack import Stack
from tests.support.contract import Contract
from tests.support.figure import Figure
from tests.support.generators import Grey, install
from tests.support.packs import Visitor, studio_of
from tests.support.picture_server import serving_picture
from tests.support.probing import url_of
from tests.support.stores import StoreCaller, Street, at_worker
from tests.support.worker import Worker, running_worker

API_KEY = "the-operators-own-key-of-these-tests"
WEBHOOK_SECRET = "a secret of the dashboard for these tests"


@dataclass
class Api:
    """The API of a whole worker, and who may call it."""

    worker: Worker = field(repr=False)
    url: str
    contract: Contract
    street: Street = field(repr=False)
    store: StoreCaller = field(repr=False)
    user: Visitor = field(repr=False)
    http: aiohttp.ClientSession = field(repr=False)
    picture: str
    grey: Grey = field(repr=False)

    async def shell(self, command: str, folder: Path, **variables: str) -> tuple[int, str]:
        """Run an example of the document in a shell that has the variables; the status and the text that came."""
        known = {"URL": self.url, "API_KEY": API_KEY, "WEBHOOK_SECRET": WEBHOOK_SECRET}
        known |= {"KEY": self.store.key, "TOKEN": self.user.token, "PICTURE": self.picture}
        return await run_example(command, folder, known | variables)

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """One request; the answer is as the document says."""
        async with self.http.request(method, path, **options) as answer:
            is_json = answer.content_type == "application/json"
            body = await answer.json() if is_json else await answer.text()
            self.contract.require(method, path, answer.status, answer.headers, body)
            return answer.status, body


async def run_example(command: str, folder: Path, variables: dict[str, str]) -> tuple[int, str]:
    """Run a call of curl; the status and the text that came."""
    command = command.replace("curl ", f"curl -sS -m 60 -o {folder}/answer -w '%{{http_code}}' ", 1)
    known = {"PATH": os.environ["PATH"], **variables}
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, env=known, cwd=folder, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return int(said), (folder / "answer").read_text()


@asynccontextmanager
async def open_api(stack: Stack, folder: Path, credits: int = 1000, **settings: str) -> AsyncIterator[Api]:
    """Start the worker, with a generator that draws at once."""
    grey = install(folder / "grey")
    async with AsyncExitStack() as opened:
        host = await opened.enter_async_context(serving_picture(Figure().png(), "/person.png"))
        environment = grey.settings | {
            "API_KEY": API_KEY,
            "LISTENER_WEBHOOK_HEADER_SECRET": WEBHOOK_SECRET,
            "LISTENER_FETCH_ALLOW_HOSTS": host,
            "LISTENER_CACHE_DIR": str(folder),
        }
        worker = await opened.enter_async_context(running_worker(stack, **(environment | settings)))
        url = url_of(worker)
        street = await opened.enter_async_context(at_worker(stack, url))
        studio = await opened.enter_async_context(studio_of(stack, url))
        http = await opened.enter_async_context(aiohttp.ClientSession(url))
        async with http.get("/openapi.json") as answer:
            contract = Contract(json.loads(await answer.text()))
        store = await street.store(credits=credits, per_minute=100_000)
        user = await studio.visitor()
        await street.operator.grant(user.id, credits, "test:callers", "test")
        picture = f"http://{host}/person.png"
        yield Api(worker, url, contract, street, store, user, http, picture, grey)
