"""Words of people stay out in every spelling; names that lines are found by stay in; secrets of all shapes go."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from typing import Any
from urllib.parse import quote

import pytest

from listener.telemetry import redact
from listener.telemetry.redact import HIDDEN, clean_secrets, clean_text, hide_secrets, hiding_texts

PROMPT = 'Two  quokkas\nin a "Gürtel" on the gondola, シマウマの絵'


def cleaned(**line: Any) -> dict[str, Any]:
    return dict(redact.redact(None, "", line))


@pytest.mark.parametrize(
    "said",
    [
        PROMPT,
        " ".join(PROMPT.split()),
        repr(PROMPT),
        ascii(PROMPT),
        json.dumps(PROMPT),
        quote(PROMPT),
        quote(PROMPT, safe=""),
        PROMPT.lower(),
        PROMPT.upper(),
        "truncated: ['quokkas in a', 'gondola']",
        "input_value='Two  quokkas\\nin...gondola, シマ'",
        "bad token シマウマ here",
        "KeyError: 'GONDOLA'",
    ],
)
def test_no_spelling_of_a_prompt_comes_out(said: str) -> None:
    with hiding_texts({"prompt": PROMPT}):
        told = json.dumps(cleaned(error=f"refused: {said} (503)"), ensure_ascii=False).casefold()
    assert "refused" in told
    assert "503" in told
    for word in ("quokka", "gondola", "gürtel", "g\\\\xfcrtel", "g\\\\u00fcrtel", "g%c3%bcrtel", "シマ"):
        assert word not in told


def test_the_names_that_a_line_is_found_by_stay_whatever_the_prompt_says() -> None:
    names = {"event": "attempt_settled", "kind": "headshot", "part": "claim", "code": "time_limit", "level": "error"}
    with hiding_texts({"prompt": "attempt settled headshot claim time_limit error retry"}):
        assert cleaned(**names, verdict="Retry") == names | {"verdict": "Retry"}
        assert (
            cleaned(event="headshot claim retry said the library")["event"]
            == f"{HIDDEN} {HIDDEN} {HIDDEN} said the library"
        )


def test_the_frames_of_a_traceback_stay_readable() -> None:
    trace = 'Traceback:\n  File "/app/handlers/portrait.py", line 7, in draw\n    draw(portrait)\nValueError: portrait'
    with hiding_texts({"prompt": "portrait of handlers"}):
        told = clean_text(trace)
    assert 'File "/app/handlers/portrait.py", line 7, in draw' in told
    assert "ValueError: portrait" not in told


async def test_a_line_of_another_task_hides_whole_prompts_of_those_that_run() -> None:
    inside, leave = asyncio.Event(), asyncio.Event()

    async def attempt() -> None:
        with hiding_texts({"prompt": "a quokka in a gondola"}):
            inside.set()
            await leave.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(attempt())
        await inside.wait()
        assert clean_text("claim said: a quokka in a gondola") == f"claim said: {HIDDEN}"
        leave.set()
    assert clean_text("a quokka in a gondola") == "a quokka in a gondola"


def test_a_url_among_the_params_hides_itself_and_not_every_https() -> None:
    with hiding_texts({"image_urls": ["https://files.example/storage/me.png?token=1"]}):
        told = clean_text(
            "GET https://files.example/storage/me.png?token=1 failed; storage at https://a.example answers"
        )
    assert "me.png" not in told
    assert "storage at https://a.example answers" in told


@pytest.mark.parametrize(
    "secret",
    [
        "https://x/a?X-Amz-Credential=CANARY%2F20260101&X-Amz-Signature=CANARY",
        "https://x/a?sig=CANARY&sv=1",
        "redirect=https%3A%2F%2Fx%2Fa%3Ftoken%3DCANARY",
        "{'apikey': 'CANARY', 'Authorization': 'CANARY', 'x-api-key': 'CANARY', \"x-webhook-secret\": \"CANARY\"}",
        "key 11111111-2222-3333-4444-555555555555:0123456789abcdef0123456789abcdef",
        "rpa_CANARYCANARYCANARYCANARY",
        "r8_CANARYCANARYCANARYCANARY",
        "AKIACANARYCANARYCANA",
        "AIzaCANARYCANARYCANARYCANARYCANARYCANA",
        "ghp_CANARYCANARYCANARYCANARY",
        "password=CANARY",
        "Basic CANARYCANARY=",
    ],
)
def test_a_secret_of_any_shape_goes(secret: str) -> None:
    told = clean_secrets(f"before {secret} after")
    assert "CANARY" not in told
    assert "0123456789abcdef" not in told
    assert told.startswith("before ")


def test_a_known_secret_goes_in_every_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_secrets", set())
    secret = 'plain "words" +/ü'
    hide_secrets([secret])
    for spelling in (secret, json.dumps(secret), quote(secret), quote(secret, safe=""), repr(secret)):
        assert "words" not in clean_secrets(f"it is {spelling}!"), spelling


@pytest.mark.parametrize("key", ["params", "record", "old_record"])
def test_a_row_that_is_logged_whole_shows_nothing(key: str) -> None:
    assert cleaned(**{key: {"prompt": "x", "name": "y"}}) == {key: HIDDEN}


def test_a_file_in_letters_costs_no_time_and_shows_neither_beginning_nor_end() -> None:
    reference = base64.b64encode(random.Random(7).randbytes(10_000_000)).decode()
    began = time.process_time()
    with hiding_texts({"face_reference": reference, "prompt": "a quokka in a gondola"}):
        told = clean_text(f"input_value='{reference[:100]}...{reference[-60:]}' and a quokka in a gondola")
    assert time.process_time() - began < 2.0
    assert reference[:40] not in told
    assert reference[-40:] not in told
    assert "quokka" not in told
