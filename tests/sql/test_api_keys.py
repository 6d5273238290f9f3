"""API keys of stores: made, counted, limited, revoked; the database never holds a key itself."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.conftest import Opener
from tests.sql.project import Project, Row, until_blocked
from tests.sql.tryon import open_store

NOW = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)


def hashed(key: str) -> str:
    return sha256(key.encode()).hexdigest()


async def make(project: Project, store: UUID, key: str = "sk_one", **changes: Any) -> Row:
    arguments = {"p_store": store, "p_name": "shop", "p_hash": hashed(key), "p_prefix": "sk_on", "p_per_minute": 3}
    answer: Row = await project.answer("create_api_key", **{**arguments, **changes})
    return answer


async def use(project: Project, key: str = "sk_one") -> Row:
    answer: Row = await project.answer("authenticate_api_key", p_hash=hashed(key))
    return answer


async def test_a_key_names_its_store_and_no_other(project: Project) -> None:
    stores = [await open_store(project), await open_store(project)]
    made = [await make(project, store.id, f"sk_{n}") for n, store in enumerate(stores)]
    for n, store in enumerate(stores):
        answer = await use(project, f"sk_{n}")
        assert (answer["outcome"], answer["store"], answer["key"]) == ("accepted", str(store.id), made[n]["key"])
        listed = await project.rpc("list_api_keys", p_store=store.id)
        assert [str(row["key"]) for row in listed] == [made[n]["key"]]


async def test_who_is_not_known_or_revoked_gets_no_store(project: Project) -> None:
    store = await open_store(project)
    key = (await make(project, store.id))["key"]
    assert await use(project, "sk_guessed") == {"outcome": "unknown"}
    assert await project.answer("revoke_api_key", p_key=key) == {"outcome": "applied"}
    assert await project.answer("revoke_api_key", p_key=key) == {"outcome": "already"}
    assert await project.answer("revoke_api_key", p_key=uuid4()) == {"outcome": "unknown"}
    assert await use(project) == {"outcome": "revoked", "key": key}


async def test_a_key_is_limited_by_the_minute_and_free_again_after_it(project: Project) -> None:
    await make(project, (await open_store(project)).id)
    await project.set_clock(NOW)
    answers = [await use(project) for _ in range(4)]
    assert [answer["outcome"] for answer in answers] == ["accepted"] * 3 + ["limited"]
    assert [answer["remaining"] for answer in answers] == [2, 1, 0, 0]
    assert [answer["retry_after_s"] for answer in answers] == [None, None, None, 65]
    await project.set_clock(NOW + timedelta(seconds=64.9))
    assert (await use(project))["outcome"] == "limited"
    await project.set_clock(NOW + timedelta(seconds=65))
    assert (await use(project))["remaining"] == 2


async def test_no_window_of_sixty_seconds_holds_more_than_the_limit(project: Project) -> None:
    await make(project, (await open_store(project)).id, p_per_minute=5)
    accepted_s = []
    for at_s in range(0, 240, 7):
        for _ in range(2):
            await project.set_clock(NOW + timedelta(seconds=at_s))
            if (await use(project))["outcome"] == "accepted":
                accepted_s.append(at_s)
    assert max(sum(0 <= other - at < 60 for other in accepted_s) for at in accepted_s) == 5
    assert len(accepted_s) >= 15, "and it is free again in between"


async def test_requests_at_the_same_moment_cannot_slip_through_together(project: Project, another: Opener) -> None:
    await make(project, (await open_store(project)).id, p_per_minute=1)
    first, watcher = await another(), await another()
    transaction = first.connection.transaction()
    await transaction.start()
    assert (await use(first))["outcome"] == "accepted"
    async with asyncio.TaskGroup() as group:
        second = group.create_task(use(project))
        await until_blocked(watcher.connection, project.connection)
        await transaction.commit()
    assert second.result()["outcome"] == "limited"


async def test_use_is_counted_by_key_and_day_and_what_was_refused_apart(project: Project) -> None:
    store = await open_store(project)
    await make(project, store.id)
    for day in range(2):
        await project.set_clock(NOW + timedelta(days=day))
        for _ in range(5):
            await use(project)
    days = await project.rows("select day::text, requests, refused from listener.api_key_days order by day")
    assert days == [{"day": f"2030-01-0{day}", "requests": 3, "refused": 2} for day in (1, 2)]
    (listed,) = await project.rpc("list_api_keys", p_store=store.id)
    assert (listed["requests_today"], listed["refused_today"]) == (3, 2)
    assert listed["last_used_at"] == NOW + timedelta(days=1)
    assert "hash" not in listed


async def test_old_counts_do_not_pile_up(project: Project) -> None:
    await make(project, (await open_store(project)).id)
    for minute in range(4):
        await project.set_clock(NOW + timedelta(minutes=2 * minute))
        await use(project)
    assert await project.value("select count(*) from listener.api_key_windows") == 1
    await project.set_clock(NOW + timedelta(days=402))
    await project.answer("sweep_sessions")
    assert await project.value("select count(*) from listener.api_key_days") == 0


async def test_what_is_no_hash_name_or_limit_is_refused(project: Project) -> None:
    store = await open_store(project)
    for wrong in (
        {"p_hash": "sk_one"},
        {"p_hash": hashed("x").upper()},
        {"p_name": ""},
        {"p_prefix": "a b"},
        {"p_per_minute": 0},
        {"p_per_minute": 100001},
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            await make(project, store.id, **wrong)


async def test_a_key_needs_a_store_and_a_hash_of_its_own(project: Project) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await make(project, uuid4())
    store = await open_store(project)
    await make(project, store.id)
    with pytest.raises(asyncpg.UniqueViolationError):
        await make(project, store.id)


async def test_no_user_may_touch_keys(project: Project) -> None:
    for call in (
        "create_api_key(gen_random_uuid(), 'a', repeat('a', 64), 'p', 1)",
        "authenticate_api_key(repeat('a', 64))",
        "list_api_keys(gen_random_uuid())",
        "revoke_api_key(gen_random_uuid())",
    ):
        for role in ("anon", "authenticated"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with project.acting(role, uuid4()) as connection:
                    await connection.fetch(f"select * from public.{call}")


async def test_the_use_of_each_key_is_listed_by_day_and_of_one_store_alone(project: Project) -> None:
    stores = [await open_store(project), await open_store(project)]
    keys = [f"sk_{store.id}" for store in stores]
    for store, key in zip(stores, keys, strict=True):
        await make(project, store.id, key)
    for day, requests in ((0, 1), (2, 4)):
        await project.set_clock(NOW + timedelta(days=day))
        for _ in range(requests):
            await use(project, keys[0])
    used = await project.rpc("api_key_usage", p_store=stores[0].id, p_days=3)
    shown = [(str(row["day"]), row["name"], row["requests"], row["refused"]) for row in used]
    assert shown == [("2030-01-03", "shop", 3, 1), ("2030-01-01", "shop", 1, 0)]
    assert len(await project.rpc("api_key_usage", p_store=stores[0].id, p_days=2)) == 1
    assert await project.rpc("api_key_usage", p_store=stores[1].id) == []
