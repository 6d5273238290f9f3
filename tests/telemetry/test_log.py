"""What never gets into a log line: secrets, signed URLs, and the words people wrote."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from listener.telemetry import log, redact

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2lnbmF0dXJlLWNhbmFyeQ"
CANARIES = {
    "a JWT": f"connecting with {JWT}",
    "a secret key": "key sb_secret_CANARYCANARYCANARY refused",
    "a signed URL": f"GET https://x.supabase.co/storage/v1/object/sign/a/b.png?token={JWT}&x=1",
    "a key in a URL": "wss://x.supabase.co/realtime/v1/websocket?apikey=CANARY123&vsn=1.0.0",
    "a bearer": "Authorization: Bearer CANARYCANARY1234",
    "a password in a DSN": "postgresql://postgres:CANARY@127.0.0.1/db",
    "a hub token": "401 for hf_CANARYCANARYCANARYCANARY",
    "an OpenAI key": "sk-proj-CANARYCANARYCANARYCANARY",
    "a webhook secret": "whsec_CANARYCANARYCANARYCANARY",
    "an API key": "lsk_CANARYCANARYCANARYCANARY",
}


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    text = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    log.configure("INFO", text)
    yield text
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("text", CANARIES.values(), ids=CANARIES)
def test_a_secret_is_taken_out_wherever_it_stands(text: str, stream: io.StringIO) -> None:
    logger = log.get("test")
    logger.info("said", error=text, nested={"list": [text]}, **{text: 1})
    try:
        raise RuntimeError(text)
    except RuntimeError as error:
        logger.error("raised", exc_info=error)
    logging.getLogger("some.library").warning("library says %s", text)
    written = stream.getvalue()
    assert len(lines(stream)) == 3
    assert "CANARY" not in written
    assert JWT not in written
    assert "c2lnbmF0dXJlLWNhbmFyeQ" not in written


def test_a_secret_of_this_process_is_taken_out_whatever_its_shape(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redact, "_secrets", set())
    redact.hide_secrets(["plainwords", ""])
    log.get("test").info("said", error="the key is plainwords!")
    assert lines(stream)[0]["error"] == "the key is [redacted]!"


@pytest.mark.parametrize(
    "key", ["prompt", "negative_prompt", "apikey", "service_role_key", "Authorization", "url", "hf_token"]
)
def test_a_key_that_names_a_secret_hides_its_value(key: str, stream: io.StringIO) -> None:
    log.get("test").info("said", **{key: "anything", "outer": {key: {"deep": "anything"}}})
    assert "anything" not in stream.getvalue()


def test_figures_are_left_alone(stream: io.StringIO) -> None:
    log.get("test").info("said", prompt_tokens=12, size_bytes=345, ok=True, nothing=None)
    line = lines(stream)[0]
    assert (line["prompt_tokens"], line["size_bytes"], line["ok"], line["nothing"]) == (12, 345, True, None)


def test_the_words_of_a_session_stay_out_while_it_runs_tracebacks_included(stream: io.StringIO) -> None:
    row_id = "d23f441e-fcf3-4fe4-bfb8-8740ab120d4b"
    colours = {"colours": ["ultramarine"]}
    params = {"id": row_id, "prompt": "two cats in a gondola", "outfit": colours, "width": 512}
    with redact.hiding_texts(params):
        try:
            raise ValueError("cannot draw two cats in a gondola in ultramarine at 512")
        except ValueError as error:
            log.get("test").error("raised", exc_info=error, row_id=row_id)
    written = stream.getvalue()
    assert "gondola" not in written
    assert "ultramarine" not in written
    assert "cannot draw" in written
    assert row_id in written
    assert "512" in written


def test_every_line_is_json_with_time_level_and_the_bound_fields(stream: io.StringIO) -> None:
    with log.bound(worker="w1"):
        log.get("claim").info("claimed", n=1)
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["part"], line["worker"], line["n"]) == (
        "claimed",
        "info",
        "claim",
        "w1",
        1,
    )
    assert line["timestamp"].endswith("Z")


def test_the_level_holds_and_the_libraries_that_print_urls_are_quiet(stream: io.StringIO) -> None:
    log.get("test").info("kept")
    logging.getLogger("httpx").info("HTTP Request: POST https://x?apikey=1")
    logging.getLogger("websockets.client").debug("> GET /realtime/v1/websocket?apikey=1")
    logging.getLogger("realtime._async.client").error("Unrecognized message format {'prompt': 'x'}")
    log.configure("ERROR", stream)
    log.get("test").warning("dropped")
    assert [line["event"] for line in lines(stream)] == ["kept"]
    log.configure("DEBUG", stream)
    assert not logging.getLogger("websockets").isEnabledFor(logging.ERROR)
    assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)
