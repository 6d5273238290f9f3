"""Orders of avatars over real sockets, on a real database and storage: paid once, nothing left behind when refused."""

from __future__ import annotations

import asyncio
import gzip
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import pytest
from PIL import Image

from devstack.stack import Stack
from handlers.avatar.handler import AvatarHandler
from listener.http.avatar_forms import AUDIO_BYTES, IMAGE_BYTES, READER
from tests.support.avatars import Stage, form, order, sound, stage_on
from tests.support.photographs import person

TABLES = {"store_id": "store_avatar_sessions", "user_id": "avatar_sessions"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "forms"
    made.mkdir()
    return made


@pytest.fixture
async def stage(stack: Stack, folder: Path) -> AsyncIterator[Stage]:
    async with stage_on(stack, folder, origins=("https://app.example",)) as opened:
        yield opened


@pytest.mark.parametrize("owner", TABLES)
async def test_a_form_becomes_a_session_paid_once_however_often_it_is_sent(
    stage: Stage, connection: asyncpg.Connection[Any], owner: str
) -> None:
    guest = await (stage.store() if owner == "store_id" else stage.visitor())
    data = {"prompt": "a woman singing", "resolution": "480p", "seed": "7"}
    first = await order(guest, form(**data), "k1")
    assert first.status == 201, first.body
    session = first.data["id"]
    assert first.headers["Location"] == f"/status/{session}"
    assert (first.data["job_id"], first.data["status"], first.data["progress"]) == (session, "pending", 0)
    assert (first.data["resolution"], first.data["seed"], first.data["queue"]["position"]) == ("480p", 7, 1)
    assert (first.data["estimated_completion"], first.data["queue"]["reason"]) == (None, "no_worker")
    at_once = await asyncio.gather(*(order(guest, form(**data), "k1") for _ in range(4)))
    assert {(one.status, one.data["id"]) for one in at_once} == {(200, session)}
    new = await asyncio.gather(*(order(guest, form(), "k2") for _ in range(4)))
    assert sorted(one.status for one in new) == [200, 200, 200, 201]
    for other in (form(prompt="a man"), form(audio=sound(2)), form(image=person(128)), form(seed="8")):
        refused = await order(guest, other, "k2")
        assert (refused.status, refused.code) == (422, "IDEMPOTENCY_KEY_REUSED")
    rows = await connection.fetch(f"select * from public.{TABLES[owner]} order by created_at")
    assert [row[owner] for row in rows] == [guest.id, guest.id]
    assert (rows[0]["prompt"], rows[1]["prompt"], rows[1]["resolution"]) == ("a woman singing", None, "720p")
    named = [row[name] for row in rows for name in ("image_url", "audio_url")]
    assert sorted(await stage.objects(guest)) == sorted(named), "the files of each session, and no others"
    bucket = stage.street.client.storage.from_("uploads")
    assert [await bucket.download(path) for path in named[:2]] == [person(), sound()]
    assert await stage.credits(guest) == 8
    assert await connection.fetch("select * from listener.invariants") == []
    assert stage.files() == []


async def test_nobody_sees_or_repeats_anothers_session(stage: Stage) -> None:
    shop, rival, ada, eve = await stage.store(), await stage.store(), await stage.visitor(), await stage.visitor()
    for owner, others in ((shop, (rival, ada)), (ada, (eve, shop))):
        session = (await order(owner, key="k")).data["id"]
        assert (await owner.ask("GET", f"/status/{session.upper()}")).data["id"] == session
        for other in others:
            for path in (f"/status/{session}", f"/result/{session}", "/status/nobody", f"/result/{uuid4()}"):
                answer = await other.ask("GET", path)
                assert (answer.status, answer.code) == (404, "SESSION_NOT_FOUND")
    sessions = {(await order(guest, key="k")).data["id"] for guest in (shop, rival, ada, eve)}
    assert len(sessions) == 4, "a key is its caller's own"


async def test_the_key_of_a_session_that_was_deleted_makes_no_other(
    stage: Stage, connection: asyncpg.Connection[Any]
) -> None:
    for guest, owner in ((await stage.store(), "store_id"), (await stage.visitor(), "user_id")):
        made = await order(guest, key="k")
        await connection.execute(f"delete from public.{TABLES[owner]} where id = $1", UUID(made.data["id"]))
        again = await order(guest, key="k")
        assert (again.status, again.code) == (409, "SESSION_ID_USED")
        assert await stage.credits(guest) == 10, "deleted, and so paid back; the other was never paid"
        assert len(await stage.objects(guest)) == 2, "the files of the first; what no row names is removed later"


GIF, WEBP = b"GIF89a" + bytes(50), b"RIFF\0\0\0\0WEBPVP8 " + bytes(50)
BAD_FILES = {
    "gif": ("image", GIF),
    "webp": ("image", WEBP),
    "empty": ("image", b""),
    "wav": ("image", sound()),
    "unknown": ("image", b"hello"),
    "flac": ("audio", b"fLaC" + bytes(50)),
    "ogg": ("audio", b"OggS" + bytes(50)),
    "m4a": ("audio", b"\0\0\0\x20ftypM4A " + bytes(50)),
    "aac": ("audio", b"\xff\xf1" + bytes(50)),
    "jpeg": ("audio", person()),
}


async def test_a_file_of_another_format_is_told_what_it_is_and_what_is_taken(stage: Stage) -> None:
    store = await stage.store()
    supported = {"image": ["jpeg", "jpg", "png"], "audio": ["mp3", "wav"]}
    for received, (field, data) in BAD_FILES.items():
        refused = await order(store, form(**{field: data}))  # type: ignore[arg-type]
        assert (refused.status, refused.code) == (400, f"INVALID_{field.upper()}_FORMAT"), received
        assert refused.body["error"]["details"] == {
            "field": field,
            "received_format": received,
            "supported_formats": supported[field],
        }
    nothing = await order(store, form(audio=b""))
    assert nothing.body["error"]["details"]["received_format"] == "empty"
    for head in (b"ID3\x04" + bytes(50), b"\xff\xfb\x90\x64" + bytes(50)):
        assert (await order(store, form(audio=head))).status == 201, "an MP3, with its title or without"
    assert (await stage.credits(store), len(await stage.objects(store)), stage.files()) == (8, 4, [])


def _parts(*fields: tuple[str, bytes]) -> aiohttp.FormData:
    made = aiohttp.FormData()
    for name, data in fields:
        made.add_field(name, data, filename="x")
    return made


FACE, VOICE = ("image", person()), ("audio", sound())
BAD_FIELDS: dict[str, tuple[tuple[tuple[str, bytes], ...], str, str]] = {
    "without a picture": ((VOICE,), "image", "missing"),
    "without a sound": ((FACE, ("prompt", b"hello")), "audio", "missing"),
    "two pictures": ((FACE, FACE, VOICE), "image", "duplicate"),
    "two prompts": ((("prompt", b"a"), ("prompt", b"b"), FACE, VOICE), "prompt", "duplicate"),
    "another field": ((FACE, VOICE, ("voice", b"deep")), "voice", "extra_forbidden"),
    "a field that is no name": ((FACE, VOICE, ("<script>", b"deep")), "?", "extra_forbidden"),
    "a long prompt": ((FACE, VOICE, ("prompt", b"a" * 2001)), "prompt", "string_too_long"),
    "an endless prompt": ((FACE, VOICE, ("prompt", b"a" * 9000)), "prompt", "too_long"),
    "no text": ((FACE, VOICE, ("prompt", b"\xff\xfe")), "prompt", "string_type"),
    "a resolution of its own": ((FACE, VOICE, ("resolution", b"4k")), "resolution", "literal_error"),
    "a seed that is none": ((FACE, VOICE, ("seed", b"seven")), "seed", "int_parsing"),
    "a negative seed": ((FACE, VOICE, ("seed", b"-1")), "seed", "greater_than_equal"),
    "a seed beyond all": ((FACE, VOICE, ("seed", b"9223372036854775808")), "seed", "less_than_equal"),
}


def _unusable() -> dict[str, tuple[aiohttp.FormData, str, str]]:
    png = io.BytesIO()
    Image.new("RGB", (300, 300)).save(png, "PNG")
    return {
        "a picture that breaks off": (form(image=png.getvalue()[:200]), "image", "INVALID_IMAGE"),
        "a picture that only begins as one": (form(image=b"\xff\xd8\xff" + bytes(500)), "image", "INVALID_IMAGE"),
        "no sound at all": (form(audio=sound(0)), "audio", "INVALID_AUDIO"),
        "more than five minutes": (form(audio=sound(301, 8000)), "audio", "INVALID_AUDIO"),
        "a sound that only begins as one": (form(audio=b"ID3\x04" + bytes(5000)), "audio", "INVALID_AUDIO"),
    }


async def test_files_are_decoded_before_they_are_paid_for_where_avatars_are_served(stack: Stack, folder: Path) -> None:
    handler = AvatarHandler()
    async with stage_on(stack, folder, handlers={"avatar": handler}) as stage:
        ada = await stage.visitor()
        for name, (given, field, code) in _unusable().items():
            refused = await order(ada, given)
            assert (refused.status, refused.code) in {(400, code), (400, f"{code}_FORMAT")}, (name, refused.body)
            details = refused.body["error"]["details"]
            assert (details["field"], bool(details["problem"]), bool(details["remedy"])) == (field, True, True), name
        assert (await stage.credits(ada), await stage.objects(ada), stage.files()) == (10, [], [])
        short = await order(ada, form(audio=sound(0.5)))
        assert (short.status, len(short.data["warnings"])) == (201, 1), short.body
        assert (await order(ada)).data["warnings"] == []


async def test_a_form_with_a_field_that_cannot_be_used_is_told_which(stage: Stage) -> None:
    ada = await stage.visitor()
    for name, (fields, field, rule) in BAD_FIELDS.items():
        refused = await order(ada, _parts(*fields))
        assert (refused.status, refused.code) == (422, "INVALID_PARAMS"), name
        (told,) = refused.body["error"]["details"]["fields"]
        assert (told["field"], told["rule"]) == (field, rule), name
    nul = await order(ada, form(prompt="a\0b"))
    assert (nul.status, nul.code) == (422, "INVALID_PARAMS")
    bad_key = await ada.ask("POST", "/generate", {"Idempotency-Key": "ä"}, data=form())
    assert (bad_key.status, bad_key.code) == (400, "IDEMPOTENCY_KEY_INVALID")
    assert (await stage.credits(ada), await stage.objects(ada), stage.files()) == (10, [], [])


CUT = "multipart/form-data; boundary=cut"
PART = b'--cut\r\nContent-Disposition: form-data; name="image"\r\n'
BAD_BODIES: dict[str, tuple[int, str, dict[str, str], bytes]] = {
    "JSON": (415, "UNSUPPORTED_MEDIA_TYPE", {"Content-Type": "application/json"}, b"{}"),
    "another multipart": (415, "UNSUPPORTED_MEDIA_TYPE", {"Content-Type": "multipart/mixed; boundary=cut"}, b"--cut--"),
    "encoded": (415, "UNSUPPORTED_MEDIA_TYPE", {"Content-Type": CUT, "Content-Encoding": "gzip"}, gzip.compress(b"-")),
    "no boundary": (400, "MALFORMED_FORM", {"Content-Type": "multipart/form-data"}, b"--cut--"),
    "another boundary": (400, "MALFORMED_FORM", {"Content-Type": CUT}, b"--uncut\r\n\r\n--uncut--\r\n"),
    "no parts": (422, "INVALID_PARAMS", {"Content-Type": CUT}, b"--cut--\r\n"),
    "nothing": (400, "MALFORMED_FORM", {"Content-Type": CUT}, b""),
    "no end": (
        400,
        "MALFORMED_FORM",
        {"Content-Type": CUT},
        PART + b"\r\n" + person(),
    ),
    "nested": (
        400,
        "MALFORMED_FORM",
        {"Content-Type": CUT},
        b"--cut\r\nContent-Type: multipart/mixed; boundary=in\r\n\r\n--in--\r\n--cut--\r\n",
    ),
    "Base64": (
        400,
        "MALFORMED_FORM",
        {"Content-Type": CUT},
        PART + b"Content-Transfer-Encoding: base64\r\n\r\naaaa\r\n--cut--\r\n",
    ),
    "endless headers": (400, "MALFORMED_FORM", {"Content-Type": CUT}, b"--cut\r\n" + b"a: b\r\n" * 200 + b"\r\n"),
}


async def test_what_is_no_form_is_refused_and_leaves_nothing(stage: Stage) -> None:
    store = await stage.store()
    for name, (status, code, headers, body) in BAD_BODIES.items():
        answer = await store.ask("POST", "/generate", headers, data=io.BytesIO(body))
        assert (answer.status, answer.code) == (status, code), name
    assert (await stage.credits(store), await stage.objects(store), stage.files()) == (10, [], [])


async def test_who_has_no_credential_is_told_401_before_his_form_is_read(stage: Stage, stack: Stack) -> None:
    ada = await stage.visitor()
    claims = {"sub": str(ada.id), "aud": "authenticated", "role": "authenticated"}
    strangers = {
        "": "API_KEY_MISSING",
        "Basic eDp5": "API_KEY_MISSING",
        "Bearer nonsense": "API_KEY_INVALID",
        "Bearer lsk_" + "A" * 43: "API_KEY_INVALID",
        "Bearer a.b.c": "TOKEN_INVALID",
        f"Bearer {stack.keys.service_role_key}": "TOKEN_INVALID",
        f"Bearer {stack.keys.mint_for_user(claims, -60)}": "TOKEN_EXPIRED",
    }
    for authorization, code in strangers.items():
        for method, path in (("POST", "/generate"), ("GET", f"/status/{uuid4()}"), ("GET", f"/result/{uuid4()}")):
            answer = await ada.ask(method, path, {"Authorization": authorization})
            assert (answer.status, answer.code, answer.headers["WWW-Authenticate"]) == (401, code, "Bearer")
    nobody = replace(ada, token="a.b.c")
    async with stage.wire(nobody, 2**26, "Expect: 100-continue") as wire:
        assert await wire.status() == 401, "and not 100: nothing of the form was asked for"


async def test_a_form_that_is_too_large_is_refused_before_a_byte_of_it_is_read(stage: Stage) -> None:
    store = await stage.store()
    async with stage.wire(store, READER.limit_bytes + 1) as wire:
        assert await wire.status() == 413
    async with stage.wire(store, READER.limit_bytes + 1, "Expect: 100-continue") as wire:
        assert await wire.status() == 413
    async with stage.wire(store, READER.limit_bytes, "Expect: 100-continue") as wire:
        assert await wire.status() == 100


@pytest.mark.parametrize(("field", "limit_bytes"), [("image", IMAGE_BYTES), ("audio", AUDIO_BYTES)])
async def test_a_file_that_is_too_large_is_refused_while_it_comes(stage: Stage, field: str, limit_bytes: int) -> None:
    store, sent = await stage.store(), 0
    head = {"image": person(), "audio": sound()}[field]

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield head
        while True:
            sent += 2**20
            yield bytes(2**20)

    refused = await order(store, form(**{field: endless()}))  # type: ignore[arg-type]
    assert (refused.status, refused.code) == (413, "PAYLOAD_TOO_LARGE")
    assert refused.body["error"]["details"] == {"field": field, "limit_bytes": limit_bytes}
    assert sent < limit_bytes + 16 * 2**20, "what is under way when the answer comes"
    assert (await stage.credits(store), await stage.objects(store), stage.files()) == (10, [], [])


async def test_who_cannot_pay_or_comes_too_often_leaves_no_file_behind(
    stage: Stage, connection: asyncpg.Connection[Any]
) -> None:
    for guest in (await stage.store(), await stage.visitor()):
        await connection.execute("update listener.plans set inserts_per_minute = 1 where plan = 'free'")
        assert (await order(guest)).status == 201
        limited = await order(guest)
        assert (limited.status, limited.code) == (429, "RATE_LIMITED")
        assert 0 < int(limited.headers["Retry-After"]) <= 60
        await connection.execute("update listener.plans set inserts_per_minute = 100 where plan = 'free'")
        await connection.execute("update listener.accounts set balance = 0 where owner = $1", guest.id)
        poor = await order(guest, key="again")
        assert (poor.status, poor.code) == (402, "CREDITS_INSUFFICIENT")
        assert len(await stage.objects(guest)) == 2, "the first one's"
        await stage.street.operator.grant(guest.id, 1, f"more:{guest.id}", "test")
        assert (await order(guest, key="again")).status == 201
    assert stage.files() == []


async def test_a_key_has_its_requests_per_minute_also_for_forms(stage: Stage) -> None:
    store = await stage.store(per_minute=2)
    first, second, third = [await order(store) for _ in range(3)]
    assert [one.headers["RateLimit-Remaining"] for one in (first, second, third)] == ["1", "0", "0"]
    assert (first.headers["RateLimit-Limit"], third.status, third.code) == ("2", 429, "RATE_LIMITED")
    assert int(third.headers["Retry-After"]) > 0


async def test_pages_of_the_allow_list_may_send_a_form_and_read_the_answer(stage: Stage) -> None:
    ada = await stage.visitor()
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }
    async with stage.street.http.options("/generate", headers={"Origin": "https://app.example"} | asked) as answer:
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, "https://app.example")
        assert {"Authorization", "Content-Type", "Idempotency-Key"} <= set(
            answer.headers["Access-Control-Allow-Headers"].split(", ")
        )
    async with stage.street.http.options("/generate", headers={"Origin": "https://evil.example"} | asked) as answer:
        assert "Access-Control-Allow-Origin" not in answer.headers
    made = await ada.ask("POST", "/generate", {"Origin": "https://app.example"}, data=form())
    assert made.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert {"Location", "Retry-After"} <= set(made.headers["Access-Control-Expose-Headers"].split(", "))
