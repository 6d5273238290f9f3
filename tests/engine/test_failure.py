"""What an exception becomes, and what the row shows of it: fixed words, the remedy, bounded details, no secret."""

from __future__ import annotations

import errno
from datetime import UTC, datetime
from typing import Any

import pytest

from listener import errors
from listener.engine.failure import DEPTH_MAX, ITEMS_MAX, TEXT_CHARS_MAX, ending_of, failure_of
from listener.engine.verdict import RULES
from listener.telemetry import redact
from tests.engine.engine_support import Bench

AT = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_row_gets_fixed_words_type_remedy_and_time_and_never_the_foreign_text() -> None:
    failure = failure_of(errors.InputUnavailable("http://10.0.0.1/ said no"), AT)
    assert failure.code == "input_unavailable"
    assert failure.message == errors.InputUnavailable.public_message
    assert failure.details == {
        "type": "InputUnavailable",
        "timestamp": AT.isoformat(),
        "remedy": errors.InputUnavailable.remedy,
    }


def test_details_of_the_raiser_stand_beside_but_cannot_pose_as_type_or_time() -> None:
    given = {"field": "image_urls.0", "remedy": "give a PNG", "type": "x", "timestamp": "y"}
    details = failure_of(errors.InputUnavailable(details=given), AT).details
    assert (details["field"], details["remedy"]) == ("image_urls.0", "give a PNG")
    assert (details["type"], details["timestamp"]) == ("InputUnavailable", AT.isoformat())


def test_a_secret_in_the_details_does_not_reach_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_secrets", set())
    redact.hide_secrets(["plain-CANARY"])
    signed = "https://x.supabase.co/storage/v1/object/sign/a?token=eyJhbGciOi.eyJyb2xlIjo.CANARY"
    given: dict[str, Any] = {"url": signed, "list": [{"key": "sk-proj-CANARYCANARYCANARY"}], "plain-CANARY": 1}
    assert "CANARY" not in str(failure_of(errors.ProviderRefused(details=given), AT).details)


def test_details_are_json_and_bounded_whatever_a_handler_puts_there() -> None:
    deep: dict[str, Any] = {}
    inner = deep
    for _ in range(50):
        inner["d"] = {}
        inner = inner["d"]
    given = {
        "long": "x" * 100_000,
        "many": list(range(1000)),
        "deep": deep,
        "odd": {1: float("nan"), "nul": "a\x00b", "half": "\ud800", "object": object(), "bytes": b"x" * 10_000},
    }
    details = failure_of(errors.GenerationFailed(details=given), AT).details
    assert len(details["long"]) == TEXT_CHARS_MAX
    assert len(details["many"]) == ITEMS_MAX
    assert str(details["deep"]).count("'d'") <= DEPTH_MAX
    assert (details["odd"]["1"], details["odd"]["nul"], details["odd"]["half"]) == (None, "ab", "?")
    assert len(details["odd"]["bytes"]) <= TEXT_CHARS_MAX


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (MemoryError(), "out_of_memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
        (OSError(errno.ECONNRESET, "reset"), "generation_failed"),
        (errors.StoreUnavailable("503"), "storage_down"),
        (errors.StoreRejected("42501"), "storage_refused"),
        (errors.ConfigError("no key"), "generation_failed"),
        (TimeoutError(), "generation_failed"),
        (KeyError("x"), "generation_failed"),
        (errors.ProviderBusy(), "provider_busy"),
        (ExceptionGroup("two", [KeyError("x"), errors.ContentRejected()]), "content_rejected"),
        (ExceptionGroup("nested", [ExceptionGroup("in", [errors.OutOfMemory()]), KeyError()]), "out_of_memory"),
        (ExceptionGroup("mixed", [errors.OutOfMemory(), errors.LeaseLost()]), "lease_lost"),
        (ExceptionGroup("unknown", [KeyError("x"), ValueError("y")]), "generation_failed"),
    ],
    ids=repr,
)
def test_every_exception_has_a_place_in_the_taxonomy(raised: Exception, code: str) -> None:
    assert ending_of(raised).code == code


SECRET = "sk-proj-CANARYCANARYCANARYCANARY"
SIGNED = "https://x.supabase.co/storage/v1/object/sign/b/p.png?token=eyJhbGciOi.eyJ1cmwiOiJi.CANARYsignature"
WORDS = "zebraquokka in a gondola"
CLASSES = [kind for kind in RULES if issubclass(kind, errors.AttemptFailure)]


@pytest.mark.parametrize("kind", [*CLASSES, RuntimeError, MemoryError, errors.StoreRejected, errors.StoreUnavailable])
async def test_whatever_a_handler_raises_lets_no_canary_into_the_row_or_the_log(
    kind: type[Exception], bench: Bench, logged: Any
) -> None:
    said = f"{WORDS.upper()} refused by {SIGNED} with {SECRET}"

    async def raises(*_: Any) -> None:
        try:
            raise ValueError(said, {"prompt": WORDS, "Authorization": f"Bearer {SECRET}"})
        except ValueError as cause:
            if issubclass(kind, errors.ListenerError):
                raise kind(said, details={"url": SIGNED, "said": said, "why": [{"key": SECRET}]}) from cause
            raise kind(said) from cause

    row, _ = await bench.attempt(raises, params={"prompt": WORDS})
    told = f"{row.failure} {logged()}"
    assert row.failure is not None
    assert "attempt_settled" in told
    assert "CANARY" not in told
    assert "quokka" not in str(logged()).casefold()
