"""Who hears the private topic of an owner, what a message holds, what is sent again: supabase-py against the stack."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from supabase import AsyncClient, AsyncClientOptions, acreate_client

from devstack.stack import Stack
from tests.sql.project import Held, Project, connect

TABLE = "public.headshot_sessions"
HEARD_WITHIN_S = 20.0
PROMPT = "a secret face"


class User:
    """A signed-in user and the topic that he listens to."""

    def __init__(self, client: AsyncClient, user_id: UUID) -> None:
        self.client = client
        self.id = user_id
        self.messages: asyncio.Queue[Any] = asyncio.Queue()

    async def join(self, owner: UUID, **replay: int) -> str:
        """Join an owner's topic: SUBSCRIBED, or what it was refused with."""
        answered: asyncio.Queue[str] = asyncio.Queue()
        broadcast: dict[str, Any] = {"ack": False, "self": False} | ({"replay": replay} if replay else {})
        config = {"broadcast": broadcast, "presence": {"key": "", "enabled": False}, "private": True}
        channel = self.client.channel(f"owner:{owner}", {"config": config})  # type: ignore[typeddict-item]
        channel.on_broadcast("session", self.messages.put_nowait)
        await channel.subscribe(lambda state, _: answered.put_nowait(state.value))
        async with asyncio.timeout(HEARD_WITHIN_S):
            return await answered.get()

    async def heard(self, count: int) -> list[Any]:
        """The next messages."""
        async with asyncio.timeout(HEARD_WITHIN_S):
            return [await self.messages.get() for _ in range(count)]


@pytest.fixture
async def books(stack: Stack, database_url: str) -> AsyncIterator[Project]:
    """The stack's database."""
    opened = Project(await connect(database_url))
    yield opened
    await opened.connection.close()


@pytest.fixture
async def users(stack: Stack) -> AsyncIterator[list[User]]:
    """Two strangers to each other."""
    async with AsyncExitStack() as opened:
        yield [await signed_in(stack, opened) for _ in range(2)]


async def signed_in(stack: Stack, opened: AsyncExitStack) -> User:
    http = await opened.enter_async_context(httpx.AsyncClient())
    options = AsyncClientOptions(httpx_client=http, auto_refresh_token=False)
    client = await acreate_client(stack.url, stack.keys.anon_key, options)
    opened.push_async_callback(client.remove_all_channels)
    answer = await client.auth.sign_in_anonymously()
    assert answer.session
    assert answer.user
    await client.realtime.set_auth(answer.session.access_token)
    return User(client, UUID(answer.user.id))


async def switch_on(books: Project) -> None:
    await books.connection.execute(f"select listener.set_broadcasts('{TABLE}', true)")


async def complete_one(books: Project, user: UUID) -> None:
    """Take a session of the user from its insert to its end, with one progress between."""
    await books.insert(user, prompt=PROMPT)
    worker = await books.worker()
    (row,) = await books.claim(worker)
    held = Held(worker, row["session"], row["attempt"], row["row_id"])
    await books.outcomes("report_progress", worker, held.item(done=4, total=10, note="step 4"))
    assert await books.settle("complete_sessions", held, result={"seed": 7}) == ("applied", None)


def states(messages: list[Any]) -> list[tuple[str, int]]:
    return [(m["payload"]["row"]["status"], m["payload"]["row"]["progress"]) for m in messages]


STATES = [("queued", 0), ("processing", 0), ("processing", 40), ("completed", 100)]


async def test_an_owner_hears_every_state_and_what_he_missed(books: Project, users: list[User]) -> None:
    owner, _ = users
    await switch_on(books)
    assert await owner.join(owner.id) == "SUBSCRIBED"
    await complete_one(books, owner.id)
    messages = await owner.heard(4)
    assert states(messages) == STATES
    assert PROMPT not in str(messages)

    await owner.client.remove_all_channels()
    await complete_one(books, owner.id)
    first_ms = await books.value(
        "select floor(extract(epoch from min(inserted_at)) * 1000)::bigint from realtime.messages"
    )
    assert await owner.join(owner.id, since=first_ms, limit=4) == "SUBSCRIBED"
    replayed = await owner.heard(4)
    assert states(replayed) == STATES
    ids = {message["payload"]["row"]["id"] for message in replayed}
    assert len(ids) == 1
    assert ids != {message["payload"]["row"]["id"] for message in messages}


async def test_only_the_owner_and_a_stores_members_may_join(books: Project, users: list[User]) -> None:
    owner, stranger = users
    store = uuid4()
    assert await owner.join(owner.id) == "CHANNEL_ERROR", "no table broadcasts yet"
    await owner.client.remove_all_channels()
    await switch_on(books)
    await books.connection.execute("insert into public.stores (id, name) values ($1, 'a store')", store)
    await books.connection.execute(
        "insert into public.store_members (store_id, user_id) values ($1, $2)", store, owner.id
    )
    assert [await owner.join(owner.id), await owner.join(store)] == ["SUBSCRIBED", "SUBSCRIBED"]
    assert [await stranger.join(owner.id), await stranger.join(store)] == ["CHANNEL_ERROR", "CHANNEL_ERROR"]


async def test_a_table_is_silent_until_it_is_switched_on(books: Project, users: list[User]) -> None:
    await complete_one(books, users[0].id)
    assert await books.value("select count(*) from realtime.messages") == 0


async def test_a_realtime_that_takes_no_message_costs_nothing(books: Project, users: list[User]) -> None:
    await switch_on(books)
    days = await books.rows(
        "select inhrelid::regclass::text as day from pg_inherits where inhparent = 'realtime.messages'::regclass"
    )
    assert days
    for row in days:
        await books.connection.execute(f"drop table {row['day']}")
    await complete_one(books, users[0].id)
    await books.connection.execute("drop function realtime.send(jsonb, text, text, boolean)")
    await complete_one(books, users[0].id)
    assert await books.value(f"select count(*) from {TABLE} where status = 'completed'") == 2
