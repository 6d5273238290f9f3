"""An operator's commands against a real project: money once, numbers that add up, words for what went wrong."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from devstack.stack import Stack
from tests.support.app import insert, signed_in
from tests.support.commands import listener
from tests.support.target import Target


async def test_a_grant_is_given_once_and_says_so(project: Target) -> None:
    owner = str(uuid4())
    key = f"invoice-{owner}"
    grant = ("grant", owner, "20", "--key", key, "--reason", "bought 20 credits")
    first = await listener(*grant, place=project)
    assert (first.status, first.said) == (0, "applied: balance 30\n")
    again = await listener(*grant, place=project)
    assert (again.status, again.said) == (0, "already: balance 30\n")
    other = await listener("grant", owner, "21", "--key", key, "--reason", "x", place=project)
    assert other.status == 1
    assert other.complained == f"refused: the key {key} was used for another owner or amount\n"


@pytest.mark.parametrize("arguments", [("nobody", "5"), (str(uuid4()), "0"), (str(uuid4()), "1000001")])
async def test_what_cannot_be_a_grant_is_not_even_sent(arguments: tuple[str, ...]) -> None:
    ended = await listener("grant", *arguments, "--key", "k", "--reason", "r")
    assert ended.status == 2
    assert "Traceback" not in ended.complained


async def test_a_ledger_reads_like_a_statement(project: Target) -> None:
    client = await signed_in(project)
    session = await client.auth.get_session()
    assert session is not None
    owner = session.user.id
    await insert(client)
    await listener("grant", owner, "5", "--key", f"gift-{owner}", "--reason", "for your patience", place=project)
    shown = await listener("ledger", owner, place=project)
    assert shown.status == 0
    heads, *lines = shown.said.splitlines()
    assert heads.split()[:4] == ["at", "entry", "amount", "balance"]
    assert [line.split()[2:5] for line in lines] == [["grant", "10", "10"], ["charge", "-1", "9"], ["grant", "5", "14"]]
    assert f"gift-{owner}" in lines[-1]
    assert lines[-1].endswith("for your patience")
    newest = await listener("ledger", owner, "--limit", "1", place=project)
    assert [line.split() for line in newest.said.splitlines()[1:]] == [lines[-1].split()]


async def test_an_owner_without_an_account_is_no_error(project: Target) -> None:
    shown = await listener("ledger", str(uuid4()), place=project)
    assert (shown.status, shown.said.startswith("no account yet")) == (0, True)


async def test_status_shows_the_queue_and_that_nobody_serves_it(stack: Stack) -> None:
    await insert(await signed_in(stack))
    shown = await listener("status", place=stack)
    assert shown.status == 0
    assert "no worker is alive" in shown.said
    (headshot,) = [line for line in shown.said.splitlines() if line.startswith("headshot")]
    assert headshot.split()[:4] == ["headshot", "1", "0", "0"]
    assert shown.said.rstrip().endswith("nobody serves headshot: 1 wait")
    told = json.loads((await listener("status", "--json", place=stack)).said)
    assert [kind["queued"] for kind in told["kinds"] if kind["kind"] == "headshot"] == [1]


async def test_the_public_key_is_refused_in_words_without_being_shown(project: Target) -> None:
    ended = await listener("ledger", str(uuid4()), place=project, SUPABASE_SERVICE_ROLE_KEY=project.anon_key)
    assert ended.status == 1
    assert ended.complained.startswith(f"{project.url} refused")
    assert "42501" in ended.complained
    assert project.anon_key not in ended.complained + ended.said


async def test_a_project_that_is_away_ends_with_69(project: Target) -> None:
    ended = await listener("status", place=project, SUPABASE_URL="http://127.0.0.1:1")
    assert ended.status == 69
    assert "http://127.0.0.1:1 does not answer" in ended.complained
    assert "Traceback" not in ended.complained


async def test_what_failed_is_counted_and_found_again_by_its_request_id(
    stack: Stack, connection: asyncpg.Connection[Any]
) -> None:
    nothing = await listener("failures", place=stack)
    assert (nothing.status, nothing.said) == (0, "nothing failed within the last 24 h\n")
    client = await signed_in(stack)
    row_id = await insert(client)
    await connection.execute(
        "update listener.sessions set status = 'failed', error_code = 'time_limit', error_message = 'too slow', "
        """error_details = '{"type": "TimeLimit", "remedy": "ask for less"}', finished_at = now(), attempt = 2"""
    )
    request_id = await connection.fetchval("select request_id from listener.sessions")
    shown = await listener("failures", "--details", place=stack)
    assert shown.status == 0
    counts, newest, details = shown.said.rstrip().split("\n\n")
    assert counts.splitlines()[1].split()[:3] == ["headshot", "time_limit", "1"]
    words = newest.splitlines()[1].split()
    assert words[2:7] == ["headshot", "time_limit", "2", request_id, row_id]
    assert newest.endswith("too slow")
    assert details == f'{request_id}: {{"type": "TimeLimit", "remedy": "ask for less"}}'
    told = json.loads((await listener("failures", "--json", place=stack)).said)
    assert told["failures"][0]["request_id"] == request_id
    levels = next(part for part in (await listener("status", place=stack)).said.split("\n\n") if "last 24 h" in part)
    assert levels.splitlines()[1].split()[:4] == ["headshot", "0", "1", "0.0"]


async def test_costs_are_shown_by_day_and_kind_and_by_owner_when_asked(
    project: Target, connection: asyncpg.Connection[Any]
) -> None:
    empty = await listener("costs", place=project)
    assert (empty.status, empty.said) == (0, "no session ended within 7 days\n")
    owner = uuid4()
    await connection.execute("insert into listener.accounts (owner) values ($1)", owner)
    await connection.execute(
        "insert into listener.pruned_costs (day, kind, owner, sessions, device_s, cost_usd) values "
        "((now() at time zone 'utc')::date, 'avatar', $1, 2, 12.34, 0.05), "
        "((now() at time zone 'utc')::date, 'headshot', $1, 1, null, null)",
        owner,
    )
    shown = await listener("costs", "--days", "1", place=project)
    heads, avatar, headshot, _, total = shown.said.splitlines()
    assert heads.split() == ["day", "kind", "sessions", "device", "s", "usd"]
    assert (avatar.split()[1:], headshot.split()[1:]) == (
        ["avatar", "2", "12.3", "0.0500"],
        ["headshot", "1", "-", "-"],
    )
    assert total == "together 0.0500 usd, as far as known"
    assert str(owner) in (await listener("costs", "--by-owner", place=project)).said
    rows = json.loads((await listener("costs", "--json", place=project)).said)
    assert [(row["kind"], row["owner"], row["device_s"]) for row in rows] == [
        ("avatar", None, 12.34),
        ("headshot", None, None),
    ]
