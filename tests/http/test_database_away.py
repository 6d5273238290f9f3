"""A read while the database's API refuses or says nothing: asked for a few times, and the caller hears of it soon."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from devstack.faults import HttpFault
from devstack.stack import Stack
from listener.adapters import supabase_clients, tries
from tests.support.avatars import stage_on
from tests.support.packs import studio_on
from tests.support.stores import street_on

AWAY = (503, "TEMPORARILY_UNAVAILABLE", "2")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supabase_clients, "CALLS", httpx.Timeout(2.0))
    monkeypatch.setattr(tries, "BEGUN_WITHIN_S", 1.5)


def refusing(table: str) -> HttpFault:
    return HttpFault("status", path=f"/rest/v1/{table}", method="GET", status=503, times=None)


async def test_a_stores_read_is_tried_as_often_as_we_say_and_no_more(stack: Stack) -> None:
    async with street_on(stack) as street:
        store = await street.store()
        session = f"/api/sessions/{(await store.submit()).data['id']}"
        fault = stack.faults.hurt(refusing("store_generation_sessions"))
        away = await store.get(session)
        assert (away.status, away.code, away.headers["Retry-After"]) == AWAY
        assert fault.hits == tries.TRIES
        stack.faults.heal()
        assert (await store.get(session)).status == 200


async def test_a_list_of_which_a_part_cannot_be_read_is_no_shorter_list(stack: Stack, tmp_path: Path) -> None:
    async with stage_on(stack, tmp_path) as stage:
        for guest, table in (
            (await stage.store(), "store_avatar_sessions"),
            (await stage.visitor(), "avatar_sessions"),
        ):
            fault = stack.faults.hurt(refusing(table))
            away = await guest.ask("GET", "/api/sessions")
            assert (away.status, away.code, away.headers["Retry-After"]) == AWAY
            assert fault.hits == tries.TRIES
            stack.faults.heal()
            assert (await guest.ask("GET", "/api/sessions")).status == 200
        stack.faults.hurt(HttpFault("hang", path="/rest/v1/avatar_sessions", times=None))
        mute = await guest.ask("GET", "/api/sessions")
        assert (mute.status, mute.code, mute.headers["Retry-After"]) == AWAY


async def test_a_call_that_kept_its_caller_waiting_is_not_made_again(stack: Stack) -> None:
    async with street_on(stack) as street:
        store = await street.store()
        mute = stack.faults.hurt(HttpFault("hang", path="/rest/v1/rpc/owner_credits", times=None))
        away = await store.get("/api/credits")
        assert (away.status, away.code, away.headers["Retry-After"]) == AWAY
        assert mute.hits == 1


async def test_a_users_read_is_tried_as_often_as_we_say_and_no_more(stack: Stack) -> None:
    async with studio_on(stack) as studio:
        ada = await studio.visitor()
        job = await ada.pack()
        fault = stack.faults.hurt(refusing("generation_jobs"))
        away = await ada.ask("GET", f"/api/generate/{job}")
        assert (away.status, away.code, away.headers["Retry-After"]) == AWAY
        assert fault.hits == tries.TRIES
