"""OpenAI's moderation by its official client, against a server that speaks its wire: judged, refused, or away."""

from __future__ import annotations

import io
import logging
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from listener.errors import ConfigError, ContentRejected, ModerationDown
from listener.moderation import InTurn, build_moderator
from listener.moderation.hosted import HostedConfig, HostedModerator
from listener.settings import load_settings
from listener.telemetry import log
from tests.moderation.openai_server import (
    ModerationServer,
    answering,
    failing,
    leading_to,
    moderation_server,
    mute,
    torn,
)

KEY = "sk-proj-CANARYCANARYCANARYCANARY"
PROMPT = "a quokka wearing a crown"


@pytest.fixture
async def server() -> AsyncIterator[ModerationServer]:
    async with moderation_server() as running:
        yield running


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    log.configure("DEBUG", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


async def judge(server: ModerationServer, texts: dict[str, str] | None = None, **fields: Any) -> None:
    values = {"model": "omni-moderation-latest", "timeout_s": 5.0, "max_retries": 0, "base_url": server.base_url}
    moderator = HostedModerator(HostedConfig(key=KEY, **(values | fields)), log.get("moderation"))
    try:
        await moderator.judge(texts or {"prompt": PROMPT})
    finally:
        await moderator.close()


async def test_what_is_not_flagged_passes_and_is_asked_as_the_wire_wants_it(server: ModerationServer) -> None:
    await judge(server)
    assert server.requests == [{"model": "omni-moderation-latest", "input": [PROMPT]}]
    assert server.keys == [f"Bearer {KEY}"]


async def test_what_is_flagged_is_refused_with_field_and_categories(server: ModerationServer) -> None:
    server.flagged = {"crown": {"violence/graphic", "sexual/minors"}}
    with pytest.raises(ContentRejected) as refused:
        await judge(server, {"outfit": "a hat", "prompt": PROMPT})
    assert refused.value.details == {
        "field": "prompt",
        "rule": "openai",
        "categories": ["sexual/minors", "violence/graphic"],
    }
    assert "quokka" not in str(refused.value)


async def test_a_category_that_the_operator_lets_pass_refuses_nobody(server: ModerationServer) -> None:
    server.flagged = {"crown": {"violence"}}
    await judge(server, ignored=frozenset({"violence"}))
    server.flagged = {"crown": {"violence", "hate"}}
    with pytest.raises(ContentRejected) as refused:
        await judge(server, ignored=frozenset({"violence"}))
    assert refused.value.details["categories"] == ["hate"]


async def test_a_negative_prompt_says_what_is_not_wanted_and_is_not_asked_about(server: ModerationServer) -> None:
    await judge(server, {"negative_prompt": "blood"})
    assert server.requests == []


AWAY = {
    "401": (failing(401, "invalid_api_key"), 401),
    "403": (failing(403), 403),
    "400": (failing(400), 400),
    "429": (failing(429, "rate_limit_exceeded"), 429),
    "500": (failing(500), 500),
    "503": (failing(503), 503),
    "mute": (mute, None),
    "reset": (torn, None),
    "not JSON": (answering("<html>busy</html>", content_type="text/html"), None),
    "broken JSON": (answering("{", content_type="application/json"), None),
    "no results": (answering({"id": "x", "model": "y", "results": []}), None),
    "other shape": (answering({"hello": "world"}), None),
    "null flagged": (answering({"id": "x", "model": "y", "results": [{"flagged": None}]}), None),
}


@pytest.mark.parametrize(("answer", "status"), AWAY.values(), ids=AWAY)
async def test_when_nobody_judged_closed_fails_the_attempt(
    server: ModerationServer, written: io.StringIO, answer: Any, status: int | None
) -> None:
    server.always = answer
    with pytest.raises(ModerationDown) as down:
        await judge(server, timeout_s=0.5 if answer is mute else 5.0)
    assert down.value.details == {"dependency": "moderation", "status": status}
    told = f"{down.value} {down.value.details} {written.getvalue()}"
    assert "moderation_down" in told
    assert "CANARY" not in told
    assert "quokka" not in told
    assert "HTTP Request" not in told, "the client's own lines show where and what it asks"


@pytest.mark.parametrize(("answer", "status"), AWAY.values(), ids=AWAY)
async def test_when_nobody_judged_open_lets_it_pass_and_says_so(
    server: ModerationServer, written: io.StringIO, answer: Any, status: int | None
) -> None:
    server.always = answer
    await judge(server, lets_pass_when_down=True, timeout_s=0.5 if answer is mute else 5.0)
    assert '"let_pass": true' in written.getvalue()
    assert f'"status": {status or "null"}' in written.getvalue()


async def test_open_still_refuses_what_is_flagged(server: ModerationServer) -> None:
    server.flagged = {"crown": {"hate"}}
    with pytest.raises(ContentRejected):
        await judge(server, lets_pass_when_down=True)


async def test_a_passing_trouble_is_tried_again_as_often_as_the_setting_says(server: ModerationServer) -> None:
    server.scripted = [failing(503, **{"retry-after-ms": "1"}), failing(429, **{"retry-after-ms": "1"})]
    await judge(server, max_retries=2)
    assert len(server.requests) == 3


async def test_a_busy_moderation_says_when_to_come_again(server: ModerationServer) -> None:
    server.always = failing(429, **{"retry-after": "17"})
    with pytest.raises(ModerationDown) as down:
        await judge(server)
    assert down.value.retry_after_s == 17


async def test_all_tries_together_end_in_time(server: ModerationServer) -> None:
    server.always = failing(503, **{"retry-after": "30"})
    began = time.monotonic()
    with pytest.raises(ModerationDown):
        await judge(server, max_retries=5, timeout_s=0.5)
    assert time.monotonic() - began < 5
    assert len(server.requests) == 1


async def test_a_redirect_does_not_carry_the_prompt_elsewhere(server: ModerationServer) -> None:
    async with moderation_server() as elsewhere:
        server.always = leading_to(f"{elsewhere.base_url}/moderations")
        with pytest.raises(ModerationDown):
            await judge(server)
        assert elsewhere.requests == []


async def test_the_settings_build_the_file_first_and_openai_behind_it(
    server: ModerationServer, complete: pytest.MonkeyPatch
) -> None:
    complete.setenv("LISTENER_MODERATION", "openai")
    complete.setenv("OPENAI_API_KEY", KEY)
    complete.setenv("OPENAI_BASE_URL", server.base_url)
    moderator = build_moderator(load_settings())
    assert isinstance(moderator, InTurn)
    with pytest.raises(ContentRejected) as refused:
        await moderator.judge({"prompt": "a nude quokka"})
    assert refused.value.details["rule"] == "sexual_content"
    assert server.requests == [], "the file costs no call"
    server.flagged = {"crown": {"hate"}}
    with pytest.raises(ContentRejected):
        await moderator.judge({"prompt": PROMPT})
    await moderator.close()


async def test_off_judges_nothing_and_rules_are_the_default(complete: pytest.MonkeyPatch) -> None:
    default = build_moderator(load_settings())
    assert default is not None
    with pytest.raises(ContentRejected):
        await default.judge({"prompt": "a nude quokka"})
    complete.setenv("LISTENER_MODERATION", "off")
    assert build_moderator(load_settings()) is None


def test_openai_without_a_key_is_a_wrong_configuration(complete: pytest.MonkeyPatch) -> None:
    complete.setenv("LISTENER_MODERATION", "openai")
    with pytest.raises(ConfigError, match="LISTENER_MODERATION=openai needs OPENAI_API_KEY"):
        load_settings()


def test_openai_without_its_client_says_what_to_install(complete: pytest.MonkeyPatch) -> None:
    complete.setenv("LISTENER_MODERATION", "openai")
    complete.setenv("OPENAI_API_KEY", KEY)
    complete.delitem(sys.modules, "listener.moderation.hosted", raising=False)
    complete.setitem(sys.modules, "openai", None)
    with pytest.raises(ConfigError, match=r"pip install 'listener\[openai\]'"):
        build_moderator(load_settings())
