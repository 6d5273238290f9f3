"""Every sort of bad input: refused at the door and not charged, or failed with a structured error and refunded."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import asyncpg
import httpx
import pytest

from devstack.stack import Stack
from tests.support.app import insert, signed_in, until_terminal
from tests.support.worker import running_worker

GOOD = {"prompt": "a calm portrait"}
DISGUISED = "a n\u200bu\u200bd\u200be wоmаn"  # zero width spaces, Cyrillic о and а

# What a row asks -> code, the field that is named, and words of its remedy.
FAILING: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "an empty prompt": ({"prompt": ""}, "invalid_params", "prompt", "describe the picture"),
    "a prompt of spaces": ({"prompt": " \t\n "}, "invalid_params", "prompt", "describe the picture"),
    "a prompt of nothing visible": ({"prompt": "\u200b\u2060\u3164"}, "invalid_params", "prompt", "describe"),
    "a prompt of punctuation": ({"prompt": "...!?"}, "invalid_params", "prompt", "describe the picture"),
    "a long prompt": ({"prompt": "x" * 2001}, "invalid_params", "prompt", "at most 2000"),
    "a prompt of marks alone": ({"prompt": "\u0301" * 9000}, "invalid_params", "prompt", "at most 2000"),
    "a long negative prompt": ({**GOOD, "negative_prompt": "y" * 2001}, "invalid_params", "negative_prompt", "2000"),
    "a width between two": ({**GOOD, "width": 500}, "invalid_params", "width", "use 496 or 512"),
    "a negative width": ({**GOOD, "width": -16}, "invalid_params", "width", "64 to 2048"),
    "a height too small": ({**GOOD, "height": 48}, "invalid_params", "height", "64 to 2048"),
    "a height too large": ({**GOOD, "height": 2064}, "invalid_params", "height", "64 to 2048"),
    "the largest integer": ({**GOOD, "height": 2**31 - 1}, "invalid_params", "height", "64 to 2048"),
    "no steps": ({**GOOD, "num_inference_steps": 0}, "invalid_params", "num_inference_steps", "at least 1"),
    "many steps": ({**GOOD, "num_inference_steps": 101}, "invalid_params", "num_inference_steps", "at most 100"),
    "negative guidance": ({**GOOD, "guidance_scale": -0.1}, "invalid_params", "guidance_scale", "at least 0"),
    "much guidance": ({**GOOD, "guidance_scale": 21}, "invalid_params", "guidance_scale", "at most 20"),
    "guidance NaN": ({**GOOD, "guidance_scale": "NaN"}, "invalid_params", "guidance_scale", "finite number"),
    "guidance Infinity": ({**GOOD, "guidance_scale": "Infinity"}, "invalid_params", "guidance_scale", "finite number"),
    "a negative seed": ({**GOOD, "seed": -1}, "invalid_params", "seed", "at least 0"),
    "unsafe words": ({"prompt": "a nude woman"}, "content_rejected", "prompt", "something else"),
    "unsafe words in disguise": ({"prompt": DISGUISED}, "content_rejected", "prompt", "something else"),
    "unsafe by negation": ({**GOOD, "negative_prompt": "clothes"}, "content_rejected", "negative_prompt", "something"),
}

# What is sent -> HTTP status and the code of the structured answer.
REFUSED: dict[str, tuple[Any, int, str]] = {
    "no prompt": ({}, 400, "23502"),
    "a null prompt": ({"prompt": None}, 400, "23502"),
    "a huge prompt": ({"prompt": "x" * 10_001}, 400, "23514"),
    "a NUL": ({"prompt": "a\x00b"}, 400, "22P05"),
    "half a surrogate": (b'{"prompt": "\\ud800"}', 400, "22P02"),
    "a word for a number": ({**GOOD, "width": "wide"}, 400, "22P02"),
    "a fraction for a whole number": ({**GOOD, "width": 64.5}, 400, "22P02"),
    "a number beyond integer": ({**GOOD, "width": 2**31}, 400, "22003"),
    "a seed beyond bigint": ({**GOOD, "seed": 2**63}, 400, "22003"),
    "an object for a number": ({**GOOD, "seed": {"a": 1}}, 400, "22P02"),
    "an id that is a path": ({**GOOD, "id": "../../etc/passwd"}, 400, "22P02"),
    "a user id that is a path": ({**GOOD, "user_id": "../../etc/passwd"}, 400, "22P02"),
    "somebody else's user id": ({**GOOD, "user_id": "00000000-0000-4000-8000-000000000001"}, 403, "42501"),
    "a state of one's own": ({**GOOD, "status": "completed"}, 403, "42501"),
    "a column that is none": ({**GOOD, "path": "/etc/passwd"}, 400, "PGRST204"),
    "no JSON": (b"{prompt: x", 400, "PGRST102"),
    "a JSON text": (b'"a portrait"', 400, "PGRST102"),
}


async def inserted(stack: Stack, token: str, body: Any) -> httpx.Response:
    """Insert over REST as an app without a client library does."""
    headers = {"apikey": stack.keys.anon_key, "Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0)) as http:
        headers["Prefer"] = "return=representation"
        return await http.post(f"{stack.url}/rest/v1/headshot_sessions", headers=headers, content=content)


async def test_every_row_that_cannot_be_served_says_why_and_gives_the_credit_back(
    stack: Stack, connection: asyncpg.Connection, subtests: pytest.Subtests
) -> None:
    client = await signed_in(stack)
    session = await client.auth.get_session()
    assert session is not None
    owner, token = session.user.id, session.access_token
    await connection.execute("select public.grant_credits($1::uuid, 90, 'test', 'many tries')", owner)
    async with running_worker(stack) as worker:
        answers = {name: await inserted(stack, token, fields) for name, (fields, *_) in FAILING.items()}
        for name, (_, code, field, remedy) in FAILING.items():
            with subtests.test(name):
                assert answers[name].status_code == 201, answers[name].text
                row = await until_terminal(client, answers[name].json()[0]["id"])
                assert (row["status"], row["error_code"]) == ("failed", code)
                assert row["error_message"]
                details = row["error_details"]
                assert details["field"] == field
                assert remedy in details["remedy"]
                assert details["type"] in {"InvalidParams", "ContentRejected"}
                assert datetime.fromisoformat(details["timestamp"]).tzinfo is not None
                assert row["finished_at"] is not None
        assert worker.logged("generation_done") == [], "nothing of it reached the model"
        after = await until_terminal(client, await insert(client))
        assert after["status"] == "completed", "the worker lives"
        assert len(worker.logged("generation_done")) == 1
        lines = json.dumps(worker.lines, ensure_ascii=False)
        assert "nude" not in lines
        assert "xxxxxx" not in lines
    entries = dict(await connection.fetch("select entry, count(*) from listener.ledger group by entry"))
    assert entries["charge"] == len(FAILING) + 1
    assert entries["refund"] == len(FAILING)
    assert await connection.fetchval("select max(attempt) from listener.sessions") == 1, "nothing was tried twice"
    assert await connection.fetch("select * from listener.invariants") == []


@pytest.mark.slow
async def test_a_row_with_several_mistakes_is_told_all_of_them(stack: Stack) -> None:
    client = await signed_in(stack)
    async with running_worker(stack):
        row = await until_terminal(client, await insert(client, " ", width=500, seed=-1, guidance_scale=99))
    problems = row["error_details"]["fields"]
    assert [problem["field"] for problem in problems] == ["prompt", "width", "guidance_scale", "seed"]
    assert all(problem["message"] and problem["remedy"] and problem["rule"] for problem in problems)


async def test_what_no_row_can_hold_is_refused_at_the_door_and_not_charged(
    stack: Stack, connection: asyncpg.Connection, subtests: pytest.Subtests
) -> None:
    client = await signed_in(stack)
    session = await client.auth.get_session()
    assert session is not None
    for name, (body, status, code) in REFUSED.items():
        with subtests.test(name):
            answer = await inserted(stack, session.access_token, body)
            assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
            assert answer.json()["message"]
    assert await connection.fetchval("select count(*) from listener.sessions") == 0
    assert await connection.fetchval("select count(*) from listener.ledger where entry = 'charge'") == 0
