"""A worker's calls as they went over the wire, kept as a record, and such a record played again.

`python -m tests.support.worker_contract` prints the record of the worker in this checkout. It is written once for each
schema version, beside tests/adapters/test_worker_contract.py, and never changed: that worker may still be running.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
from supabase import AsyncClient, AsyncClientOptions

from devstack.stack import Stack, open_stack
from listener.adapters.rpc import RpcSessionStore
from listener.contract import SavedArtifact
from listener.ports import Attempt, Failure, Registration

Call = dict[str, Any]
SESSIONS = 6
LATER = datetime(2040, 1, 1, tzinfo=UTC)


@dataclass
class Names:
    """What is different in each run has a name in the record."""

    known: dict[str, str] = field(default_factory=dict)

    def learn(self, call: Call) -> None:
        """Name the sessions of a claim's answer."""
        if call["function"] == "claim_sessions":
            for number, row in enumerate(call["answer"]):
                self.known[row["session"]] = f"$session{number}"

    def hide(self, text: str) -> str:
        """Values become names."""
        for value, name in self.known.items():
            text = text.replace(value, name)
        return text

    def show(self, text: str) -> str:
        """Names become values."""
        for value, name in self.known.items():
            text = text.replace(name, value)
        return text


async def insert_sessions(database_url: str) -> None:
    """The rows that the recorded calls are about, one owner each, in order."""
    connection = await asyncpg.connect(database_url)
    try:
        for number in range(SESSIONS):
            await connection.execute(
                "insert into public.headshot_sessions (id, user_id, prompt) values ($1, $1, 'a face')",
                UUID(int=number + 1),
            )
    finally:
        await connection.close()


async def recorded(stack: Stack) -> list[Call]:
    """Let the worker of this checkout make each of its calls once, and keep what went over the wire."""
    calls: list[Call] = []

    async def keep(response: httpx.Response) -> None:
        await response.aread()
        function = response.request.url.path.rpartition("/")[2]
        calls.append(
            {"function": function, "body": json.loads(response.request.content), "answer": json.loads(response.text)}
        )

    async with httpx.AsyncClient(event_hooks={"response": [keep]}) as http:
        options = AsyncClientOptions(httpx_client=http, auto_refresh_token=False)
        worker, claim = uuid4(), uuid4()
        store = RpcSessionStore(AsyncClient(stack.url, stack.keys.service_role_key, options), worker)
        await insert_sessions(stack.database_url)
        await _every_call(store, worker, claim)
    names = Names({str(worker): "$worker", str(claim): "$claim"})
    for call in calls:
        names.learn(call)
    kept: list[Call] = json.loads(names.hide(json.dumps(calls)))
    return kept


async def _every_call(store: RpcSessionStore, worker: UUID, claim: UUID) -> None:
    await store.register(Registration(worker, "gpu-1", ("headshot",), SESSIONS, "0.1.0", 30.0, {"device": "cuda"}))
    await store.heartbeat([], [claim])
    claimed = await store.claim(claim, ["headshot"], SESSIONS)
    attempts = [Attempt(session.id, session.attempt) for session in claimed]
    failure = Failure("generation_failed", "The generation failed on our side.", {"type": "GenerationFailed"})
    path = f"{claimed[0].path_prefix}.png"
    saved = SavedArtifact("image.png", "headshots", path, "https://x/signed", LATER, 9, "image/png", 64, 64)
    await store.report_progress(attempts[0], 2, 4, "generating")
    await store.add_artifact(attempts[0], saved)
    await store.complete(attempts[0], {"seed": 7})
    await store.fail(attempts[1], failure)
    await store.cancel(attempts[2])
    await store.retry(attempts[3], failure, 5.0)
    await store.release(attempts[4])
    await store.heartbeat([attempts[5], Attempt(uuid4(), 1)], [], "claiming")
    await store.requested_cancels()
    await store.sweep()


async def played(stack: Stack, record: list[Call]) -> list[Call]:
    """Make the recorded calls on a fresh project; the same calls with the answers of today."""
    names = Names({str(uuid4()): "$worker", str(uuid4()): "$claim"})
    calls: list[Call] = []
    key = stack.keys.service_role_key
    headers = {"apikey": key, "Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    await insert_sessions(stack.database_url)
    async with httpx.AsyncClient(base_url=f"{stack.url}/rest/v1/rpc/", headers=headers) as http:
        for call in record:
            answer = await http.post(call["function"], content=names.show(json.dumps(call["body"])))
            assert answer.status_code == httpx.codes.OK, f"{call['function']}: {answer.text}"
            names.learn({"function": call["function"], "answer": answer.json()})
            calls.append({**call, "answer": json.loads(names.hide(answer.text))})
    return calls


def misfits(then: Any, now: Any, place: str, exact: Callable[[str], bool]) -> list[str]:
    """Where an answer of today lacks what it held then, or holds it as something else; what was added is none."""
    if isinstance(then, Mapping):
        if not isinstance(now, Mapping):
            return [f"{place}: no object any more"]
        missing = [f"{place}.{name} is missing" for name in then if name not in now]
        return missing + [
            misfit
            for name in then
            if name in now
            for misfit in misfits(then[name], now[name], f"{place}.{name}", exact)
        ]
    if isinstance(then, list):
        if not isinstance(now, list) or len(now) != len(then):
            return [f"{place}: {then!r} became {now!r}"]
        return [
            misfit
            for number, pair in enumerate(zip(then, now, strict=True))
            for misfit in misfits(*pair, f"{place}[{number}]", exact)
        ]
    if exact(place.rpartition(".")[2]) and then != now:
        return [f"{place}: {then!r} became {now!r}"]
    return [] if _sort_of(then) == _sort_of(now) else [f"{place}: {then!r} became {now!r}"]


def _sort_of(value: Any) -> str:
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


async def _print() -> None:
    async with open_stack() as stack:
        sys.stdout.write(json.dumps(await recorded(stack), indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(_print())
