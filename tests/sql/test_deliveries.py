"""What partners are told: once for each session that finishes, by one worker at a time, again until it is heard."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.sql.conftest import Opener
from tests.sql.project import Project, Row, until_blocked
from tests.sql.tryon import Store, ask, open_store, order, take

NOW = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)
URL = "https://partner.example/hooks"
SECRET = "whsec_" + "A" * 32
DELAYS_S = (5, 30, 120, 600, 1800, 7200, 18000, 36000, 50400)


async def hook(project: Project, store: Store | UUID, url: str = URL, **more: Any) -> Row:
    owner = store.id if isinstance(store, Store) else store
    answer: Row = await project.answer("set_partner_webhook", p_store=owner, p_url=url, **more)
    return answer


@pytest.fixture
async def store(project: Project) -> Store:
    """A store that hears of its sessions."""
    opened = await open_store(project)
    await hook(project, opened, p_secrets=[SECRET])
    return opened


async def finish(project: Project, store: Store, count: int = 1) -> None:
    """Complete new sessions of a store."""
    await order(project, store, count)
    held = await take(project, count)
    ended = await project.outcomes("complete_sessions", held[0].worker, *(one.item(result={}) for one in held))
    assert ended == [("applied", None)] * count


async def claim(project: Project, limit: int = 10) -> list[Row]:
    return await project.rpc("claim_deliveries", p_worker=uuid4(), p_limit=limit)


async def settle(project: Project, delivery: Row, outcome: str, **more: Any) -> Row:
    item = {"delivery": str(delivery["delivery"]), "attempt": delivery["attempt"], "outcome": outcome, **more}
    (answer,) = await project.rpc("settle_deliveries", p_items=[item])
    return answer


async def log(project: Project) -> list[Row]:
    return await project.rows(
        "select event, status, attempt, failures, last_status, last_error from listener.deliveries order by created_at"
    )


async def test_each_end_of_a_stores_session_is_told_once(project: Project, store: Store) -> None:
    await order(project, store, 4)
    held = await take(project, 2)
    for _ in range(2):
        await project.settle("complete_sessions", held[0], result={"seed": 7})
        await project.settle("fail_sessions", held[1], code="content_rejected", message="Not this picture.")
    rows = await project.rows("select id from public.store_generation_sessions where status = 'queued' order by id")
    await project.answer("cancel_owner_session", p_owner=store.id, p_row_id=rows[0]["id"])
    async with project.acting("service_role") as connection:
        await connection.execute("delete from public.store_generation_sessions where id = $1", rows[1]["id"])
    told = [row["event"] for row in await log(project)]
    assert sorted(told) == ["session.cancelled", "session.cancelled", "session.completed", "session.failed"]


async def test_the_database_itself_tells_of_what_it_fails(project: Project, store: Store) -> None:
    await project.set_clock(NOW)
    await order(project, store)
    await take(project)
    for _ in range(2):
        await project.set_clock(
            datetime.fromisoformat(str(await project.value("select listener.clock()"))) + timedelta(hours=1)
        )
        await project.answer("sweep_sessions")
        await take(project)
    assert [row["event"] for row in await log(project)] == ["session.failed"]


async def test_users_and_stores_without_a_webhook_are_told_nothing(project: Project, owner: UUID) -> None:
    quiet, left = await open_store(project), await open_store(project)
    await hook(project, left)
    await hook(project, left, p_active=False)
    await ask(project, owner)
    await order(project, quiet)
    await order(project, left)
    for held in await take(project, 3):
        await project.settle("complete_sessions", held, result={})
    assert await log(project) == []


async def test_a_settlement_that_is_rolled_back_tells_nothing(project: Project, store: Store) -> None:
    await order(project, store)
    (held,) = await take(project)
    transaction = project.connection.transaction()
    await transaction.start()
    await project.settle("complete_sessions", held, result={})
    assert len(await log(project)) == 1
    await transaction.rollback()
    assert await log(project) == []


async def test_the_message_says_what_the_row_says_and_what_the_partner_asked_for(
    project: Project, store: Store
) -> None:
    (row,) = await order(project, store, task_id="task-1", request_id="req-1")
    (held,) = await take(project)
    await project.settle("complete_sessions", held, result={"seed": 7})
    (delivery,) = await claim(project)
    assert (delivery["url"], delivery["secrets"], delivery["store"]) == (URL, [SECRET], store.id)
    payload = delivery["payload"]
    assert payload["type"] == "session.completed"
    assert datetime.fromisoformat(payload["timestamp"]) == (await project.session(held))["finished_at"]
    said = {name: value for name, value in payload["data"].items() if not name.endswith("_at")}
    assert said == {
        "session_id": str(row),
        "store_id": str(store.id),
        "kind": "tryon",
        "task_id": "task-1",
        "request_id": "req-1",
        "status": "completed",
        "result": {"seed": 7, "artifacts": []},
        "error_code": None,
        "error_message": None,
    }


async def test_two_workers_never_hold_one_delivery(project: Project, store: Store, another: Opener) -> None:
    await finish(project, store, 8)
    projects = [await another() for _ in range(4)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(claim(one, 3)) for one in projects]
    taken = [row["delivery"] for task in tasks for row in task.result()]
    assert len(taken) == len(set(taken)) == 8


async def test_what_a_lost_worker_held_is_taken_again_and_its_late_word_counts_nothing(
    project: Project, store: Store
) -> None:
    await project.set_clock(NOW)
    await finish(project, store)
    (lost,) = await claim(project)
    await project.set_clock(NOW + timedelta(seconds=59))
    assert await claim(project) == []
    await project.set_clock(NOW + timedelta(seconds=60))
    (again,) = await claim(project)
    assert (again["delivery"], again["attempt"]) == (lost["delivery"], 2), "the id is the message's"
    assert (await settle(project, lost, "gone"))["outcome"] == "refused"
    assert (await settle(project, again, "delivered", status=204))["outcome"] == "applied"
    assert (await settle(project, again, "retry"))["outcome"] == "already"
    assert [(row["status"], row["failures"], row["last_status"]) for row in await log(project)] == [
        ("delivered", 1, 204)
    ]


async def test_a_failure_is_tried_ten_times_over_a_day_with_growing_pauses_and_then_no_more(
    project: Project, store: Store
) -> None:
    await project.set_clock(NOW)
    await finish(project, store)
    now = NOW
    for n, delay_s in enumerate(DELAYS_S, 1):
        (delivery,) = await claim(project)
        assert delivery["attempt"] == n
        answer = await settle(project, delivery, "retry", status=503, error="answered 503")
        assert (answer["outcome"], answer["status"]) == ("applied", "waiting")
        waits_s = (answer["next_at"] - now).total_seconds()
        assert 0.8 * delay_s <= waits_s <= 1.2 * delay_s
        now = answer["next_at"] - timedelta(milliseconds=1)
        await project.set_clock(now)
        assert await claim(project) == []
        now = answer["next_at"]
        await project.set_clock(now)
    (delivery,) = await claim(project)
    assert (await settle(project, delivery, "retry", status=503))["status"] == "dead"
    await project.set_clock(now + timedelta(days=2))
    assert await claim(project) == []
    assert [(row["status"], row["attempt"], row["failures"]) for row in await log(project)] == [("dead", 10, 10)]


async def test_a_worker_that_is_always_lost_does_not_send_for_ever(project: Project, store: Store) -> None:
    await project.set_clock(NOW)
    await finish(project, store)
    for n in range(10):
        await project.set_clock(NOW + timedelta(minutes=n))
        assert len(await claim(project)) == 1
    await project.set_clock(NOW + timedelta(hours=1))
    assert await claim(project) == []
    assert [(row["status"], row["last_error"]) for row in await log(project)] == [
        ("dead", "The worker was lost while sending.")
    ]


async def test_the_pauses_differ_by_chance(project: Project) -> None:
    found = await project.rows("select distinct listener.delivery_delay(1) as delay from generate_series(1, 50)")
    assert len(found) > 25


async def test_a_partner_who_asks_for_a_pause_gets_it_up_to_a_day(project: Project, store: Store) -> None:
    await project.set_clock(NOW)
    await finish(project, store, 2)
    first, second = await claim(project)
    asked = await settle(project, first, "retry", status=429, retry_after_s=3600)
    assert asked["next_at"] == NOW + timedelta(hours=1)
    assert (await settle(project, second, "retry", retry_after_s=1e12))["next_at"] == NOW + timedelta(days=1)


async def test_a_refusal_is_final_and_a_release_costs_nothing(project: Project, store: Store) -> None:
    await project.set_clock(NOW)
    await finish(project, store, 2)
    first, second = await claim(project)
    assert (await settle(project, first, "refused", error="the address is not public"))["status"] == "dead"
    assert (await settle(project, second, "released"))["status"] == "waiting"
    (again,) = await claim(project)
    assert (again["delivery"], again["attempt"]) == (second["delivery"], 2)
    assert sorted(row["failures"] for row in await log(project)) == [0, 1]


async def test_gone_switches_the_address_off_but_not_one_that_came_since(project: Project, store: Store) -> None:
    await project.set_clock(NOW)
    await finish(project, store, 2)
    first, second = await claim(project)
    await project.set_clock(NOW + timedelta(seconds=1))
    await hook(project, store, "https://partner.example/new")
    await settle(project, first, "gone", status=410)
    assert await project.value("select active from listener.partner_webhooks")
    await settle(project, second, "released")
    (again,) = await claim(project)
    assert again["url"] == "https://partner.example/new"
    await settle(project, again, "gone", status=410)
    assert not await project.value("select active from listener.partner_webhooks")


async def test_what_waits_for_an_inactive_webhook_is_dead(project: Project, store: Store) -> None:
    await finish(project, store)
    await hook(project, store, p_active=False)
    assert await claim(project) == []
    assert [(row["status"], row["last_error"]) for row in await log(project)] == [
        ("dead", "The webhook is not active.")
    ]


async def test_one_partner_who_does_not_answer_holds_nobody_up(project: Project, store: Store) -> None:
    await project.grant(store.id, 20)
    await finish(project, store, 20)
    other = await open_store(project)
    await hook(project, other)
    await finish(project, other)
    claimed = await claim(project, 100)
    stores = [row["store"] for row in claimed]
    assert (stores.count(store.id), stores.count(other.id)) == (8, 1)
    assert await claim(project) == []


async def test_a_session_that_finishes_while_its_webhook_is_set_is_told(project: Project, another: Opener) -> None:
    store = await open_store(project)
    await order(project, store)
    (held,) = await take(project)
    setting, watcher = await another(), await another()
    transaction = setting.connection.transaction()
    await transaction.start()
    await hook(setting, store)
    async with asyncio.TaskGroup() as group:
        settled = group.create_task(project.settle("complete_sessions", held, result={}))
        await until_blocked(watcher.connection, project.connection)
        await transaction.commit()
    assert settled.result() == ("applied", None)
    assert [row["event"] for row in await log(project)] == ["session.completed"]


async def test_a_thousand_sessions_settled_at_once_are_told_once_each(project: Project, store: Store) -> None:
    await project.grant(store.id, 2000)
    await order(project, store, 1000)
    held = await take(project, 1000)
    await project.outcomes("complete_sessions", held[0].worker, *(one.item(result={}) for one in held))
    assert await project.value("select count(distinct session) from listener.deliveries") == 1000


async def test_the_log_is_kept_for_thirty_days_after_the_end_and_open_ones_keep_their_session(
    project: Project, store: Store
) -> None:
    await project.set_clock(NOW)
    await project.connection.execute("update listener.kinds set keep_days = 1 where kind = 'tryon'")
    await finish(project, store, 2)
    (first, _) = await claim(project)
    await settle(project, first, "delivered", status=200)
    await project.set_clock(NOW + timedelta(days=29))
    await project.answer("sweep_sessions")
    assert len(await log(project)) == 2
    assert await project.value("select count(*) from listener.sessions") == 1
    await project.set_clock(NOW + timedelta(days=31))
    await project.answer("sweep_sessions")
    assert [row["status"] for row in await log(project)] == ["sending"]


async def test_a_secret_is_made_once_kept_and_replaced_beside_the_old_one(project: Project) -> None:
    store = await open_store(project)
    made = (await hook(project, store))["secret"]
    assert (await hook(project, store, "https://partner.example/moved"))["secret"] is None
    assert await project.value("select secrets from listener.partner_webhooks") == [made]
    await hook(project, store, p_secrets=[SECRET, made])
    assert await project.value("select secrets from listener.partner_webhooks") == [SECRET, made]


async def test_a_rotated_secret_stands_before_the_last_one_and_the_report_never_shows_either(
    project: Project, store: Store
) -> None:
    await finish(project, store)
    newest = await project.answer("rotate_partner_secret", p_store=store.id)
    assert await project.value("select secrets from listener.partner_webhooks") == [newest, SECRET]
    report = await project.answer("partner_report", p_store=store.id)
    assert (report["webhook"]["url"], report["webhook"]["secrets"]) == (URL, 2)
    assert [told["status"] for told in report["deliveries"]] == ["waiting"]
    assert SECRET not in str(report)
    assert newest not in str(report)
    assert await project.answer("rotate_partner_secret", p_store=uuid4()) is None


async def test_an_address_or_secret_that_cannot_be_meant_is_refused(project: Project) -> None:
    store = await open_store(project)
    for wrong in (
        {"p_url": "ftp://partner.example"},
        {"p_url": "https://user:secret@partner.example"},
        {"p_url": "https://partner.example/" + "x" * 2048},
        {"p_secrets": []},
        {"p_secrets": [SECRET] * 4},
        {"p_secrets": ["secret"]},
        {"p_secrets": [SECRET, "short"]},
        {"p_secrets": [SECRET, None]},
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            await project.answer("set_partner_webhook", **{"p_store": store.id, "p_url": URL, **wrong})


async def test_an_outcome_that_does_not_exist_is_refused(project: Project, store: Store) -> None:
    await finish(project, store)
    (delivery,) = await claim(project)
    for outcome in ("fine", None, 5):
        with pytest.raises(asyncpg.InvalidParameterValueError):
            await settle(project, delivery, outcome)  # type: ignore[arg-type]


async def test_no_user_may_touch_deliveries(project: Project) -> None:
    for call in (
        "claim_deliveries(gen_random_uuid(), 1)",
        "settle_deliveries('[]')",
        "set_partner_webhook(gen_random_uuid(), 'https://x')",
    ):
        for role in ("anon", "authenticated"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with project.acting(role, uuid4()) as connection:
                    await connection.fetch(f"select * from public.{call}")


async def test_a_claim_waits_for_nobody_who_settles(project: Project, store: Store, another: Opener) -> None:
    await project.set_clock(NOW)
    await finish(project, store)
    (delivery,) = await claim(project)
    settling = await another()
    await settling.set_clock(NOW + timedelta(minutes=2))
    transaction = settling.connection.transaction()
    await transaction.start()
    assert (await settle(settling, delivery, "delivered", status=200))["outcome"] == "applied"
    await project.set_clock(NOW + timedelta(minutes=2))
    async with asyncio.timeout(10):
        assert await claim(project) == []
    await transaction.commit()
    assert [row["status"] for row in await log(project)] == ["delivered"]
