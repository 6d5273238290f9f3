"""Characters and packs over real sockets, on a real database, for two users who never meet."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from devstack.stack import Stack
from listener.adapters.destinations import Policy
from listener.adapters.outbound import open_outbound
from listener.adapters.s3 import open_s3
from listener.adapters.s3_place import S3Place
from listener.engine.clock import SystemClock
from listener.http.packs import BUCKET
from listener.http.server import serving
from listener.partners import open_partners
from listener.settings import load_settings
from tests.sql import packs
from tests.sql.project import Project
from tests.support.figure import Figure
from tests.support.packs import CHARACTER, CONFIG, Studio, Visitor, studio_of, studio_on
from tests.support.picture_server import serving_picture
from tests.support.relay import open_relay
from tests.support.s3 import KEY_ID, SECRET, Door


@pytest.fixture
async def studio(stack: Stack) -> AsyncIterator[Studio]:
    async with studio_on(stack) as opened:
        yield opened


async def test_a_character_is_saved_once_and_its_pack_is_paid_once(studio: Studio, project: Project) -> None:
    ada = await studio.visitor()
    saved = await ada.create(key="ada")
    assert (saved.status, saved.body["config"], saved.body["style"]) == (201, CONFIG, CHARACTER["style"])
    assert (await ada.create(key="ada")).body == saved.body
    assert (await ada.create({**CHARACTER, "name": "Eve"}, key="ada")).code == "IDEMPOTENCY_KEY_REUSED"
    order = {"character_id": saved.body["character_id"], "image_count": 5}
    at_once = await asyncio.gather(*(ada.generate(order, key="pack") for _ in range(4)))
    assert sorted(one.status for one in at_once) == [200, 200, 200, 201]
    (job,) = {one.body["job_id"] for one in at_once}
    assert at_once[0].headers["Location"] == f"/api/generate/{job}"
    assert (at_once[0].body["status"], at_once[0].body["queue"]["position"]) == ("queued", 1)
    assert (await ada.generate({**order, "image_count": 6}, key="pack")).code == "IDEMPOTENCY_KEY_REUSED"
    assert await ada.credits() == 5
    assert (await ada.generate({**order, "image_count": 6})).status == 402
    told = await ada.generate(order, key="again")
    assert (told.status, await ada.credits()) == (201, 0)
    await project.value("delete from public.generation_jobs where id = $1 returning 1", UUID(job))
    assert (await ada.generate(order, key="pack")).code == "SESSION_ID_USED"
    assert await ada.credits() == 5, "deleted, and so paid back; no other was made"
    assert await project.rows("select * from listener.invariants") == []


async def test_a_job_shows_its_images_as_they_come_and_nobody_else_sees_anything(
    studio: Studio, project: Project, stack: Stack
) -> None:
    ada, eve = await studio.visitor(), await studio.visitor()
    job = await ada.pack()
    waiting = (await ada.ask("GET", f"/api/generate/{job}")).body
    assert (waiting["status"], waiting["progress"], waiting["images"]) == ("queued", 0, [])
    held = await packs.take(project)
    await show(project, held, ada, stack, 1, similarity=0.91, similarity_state="measured")
    await show(project, held, ada, stack, 0, similarity_state="reference")
    read = (await ada.ask("GET", f"/api/generate/{job}")).body
    assert (read["status"], read["completed_count"], read["image_count"]) == ("processing", 2, 5)
    assert [(one["position"], one["similarity_state"]) for one in read["images"]] == [(0, "reference"), (1, "measured")]
    assert read["images"][1]["similarity"] == pytest.approx(0.91)
    assert read["queue"]["position"] == 0
    async with aiohttp.ClientSession() as anybody:
        for name in ("url", "thumbnail_url"):
            async with anybody.get(read["images"][0][name]) as answer:
                assert (answer.status, await answer.read()) == (200, b"0" + name[:1].encode())
    for method, path in (("GET", f"/api/generate/{job}"), ("POST", f"/api/generate/{job}/cancel")):
        foreign = await eve.ask(method, path)
        assert (foreign.status, foreign.code) == (404, "JOB_NOT_FOUND")
    stolen = await eve.generate({"character_id": read["character_id"], "image_count": 5})
    assert (stolen.status, stolen.code, await eve.credits()) == (404, "CHARACTER_NOT_FOUND", 10)
    mine = (await eve.create(key="k")).body["character_id"], (await ada.create(key="k")).body["character_id"]
    assert len(set(mine)) == 2, "one user's keys are not another's"


async def test_images_that_lie_on_s3_are_shown_with_urls_of_it_and_nobody_elses_is_signed(
    stack: Stack, project: Project, door: Door
) -> None:
    place = S3Place(door.url, door.bucket, KEY_ID, SECRET, buckets=(BUCKET,))
    settings = load_settings({"SUPABASE_URL": stack.url, "SUPABASE_SERVICE_ROLE_KEY": stack.keys.service_role_key})
    async with (
        open_s3(place, 1, stack.url) as store,
        open_outbound(Policy()) as outbound,
        open_partners(settings, {}, SystemClock(), store) as partners,
        serving("127.0.0.1", 0, partners.routes(outbound)) as port,
        studio_of(stack, f"http://127.0.0.1:{port}") as studio,
    ):
        ada = await studio.visitor()
        job = await ada.pack()
        held = await packs.take(project)
        for position, owner in enumerate((ada.id, uuid4())):
            image = packs.image(held, position)
            image |= {"path": f"{owner}/c/{position}.png", "thumbnail_path": f"{owner}/c/{position}.webp"}
            await store.put(BUCKET, image["path"], b"an image", "image/png")
            assert await project.outcomes("add_artifacts", held.worker, image) == [("applied", None)]
        hers, foreign = (await ada.ask("GET", f"/api/generate/{job}")).body["images"]
        async with aiohttp.ClientSession() as anybody, anybody.get(hers["url"]) as answer:
            assert (answer.status, await answer.read()) == (200, b"an image")
        assert hers["thumbnail_url"].startswith(f"{door.url}/{door.bucket}/{BUCKET}/")
        assert (foreign["url"], foreign["thumbnail_url"]) == (None, None)


async def show(project: Project, held: Any, user: Visitor, stack: Stack, position: int, **facts: Any) -> None:
    """An image as a worker saves it, with its objects."""
    folder = f"{user.id}/c/{held.row}"
    image = packs.image(held, position, **facts)
    image |= {"path": f"{folder}/{position}.png", "thumbnail_path": f"{folder}/{position}.webp"}
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {stack.keys.service_role_key}"}) as http:
        for path, data, kind in ((image["path"], b"u", "png"), (image["thumbnail_path"], b"t", "webp")):
            body, headers = str(position).encode() + data, {"Content-Type": f"image/{kind}"}
            url = f"{stack.url}/storage/v1/object/{BUCKET}/{path}"
            async with http.post(url, data=body, headers=headers) as answer:
                assert answer.status == 200
    assert await project.outcomes("add_artifacts", held.worker, image) == [("applied", None)]


async def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_is_asked_to_stop(
    studio: Studio, project: Project
) -> None:
    ada = await studio.visitor()
    job = await ada.pack()
    cancelled = (await ada.ask("POST", f"/api/generate/{job}/cancel")).body
    assert (cancelled["cancelled"], cancelled["outcome"], await ada.credits()) == (True, "cancelled", 10)
    assert (await ada.ask("POST", f"/api/generate/{job}/cancel")).body["outcome"] == "already"
    shown = (await ada.ask("GET", f"/api/generate/{job}")).body
    assert (shown["status"], shown["queue"]) == ("cancelled", None)
    running = await ada.pack()
    await packs.take(project)
    asked = (await ada.ask("POST", f"/api/generate/{running}/cancel")).body
    assert (asked["cancelled"], asked["outcome"]) == (True, "requested")
    assert await ada.credits() == 5, "what comes back is known when the worker stopped"


BAD_CHARACTERS: dict[str, tuple[Any, str]] = {
    "no config": ({"name": "x"}, "config"),
    "a list": ([], "row"),
    "a child": ({"config": {"age_range": [12, 14]}}, "config.age_range"),
    "an age from the end": ({"config": {"age_range": [40, 30]}}, "config.age_range"),
    "a prompt for a hair color": ({"config": {**CONFIG, "hair_color": "red) CANARY (nude:2"}}, "config.hair_color"),
    "a field that is none": ({"config": {**CONFIG, "CANARY": 1}}, "config.CANARY"),
    "a strength of two": ({**CHARACTER, "style": {"style_strength": 2}}, "style.style_strength"),
    "somebody else": ({**CHARACTER, "user_id": str(uuid4())}, "user_id"),
    "a number for a face": ({**CHARACTER, "style": {"face_reference": 7}}, "style.face_reference"),
    "no picture": ({**CHARACTER, "style": {"face_reference": "Q0FOQVJZ"}}, "style.face_reference"),
    "neither": ({**CHARACTER, "style": {"face_reference": "CANARY!"}}, "style.face_reference"),
    "another's upload": ({**CHARACTER, "style": {"face_reference": f"{uuid4()}/a.png"}}, "style.face_reference"),
}


async def test_what_cannot_be_a_character_is_refused_by_name_and_not_repeated(studio: Studio, project: Project) -> None:
    ada = await studio.visitor()
    for name, (body, field) in BAD_CHARACTERS.items():
        refused = await ada.create(body)
        assert (refused.status, refused.code) == (422, "INVALID_PARAMS"), name
        (problem,) = refused.body["error"]["details"]["fields"]
        assert problem["field"] == field, name
        assert problem["remedy"], name
        assert "CANARY" not in str(refused.body).replace("config.CANARY", ""), name
    assert await project.value("select count(*) from public.characters") == 0
    character = (await ada.create()).body["character_id"]
    for body in (
        {"character_id": character, "image_count": 4},
        {"character_id": character, "image_count": 11},
        {"character_id": character, "image_count": "5"},
        {"character_id": "x", "image_count": 5},
        {"character_id": character, "image_count": 5, "status": "completed"},
        {"character_id": character},
    ):
        assert (await ada.generate(body)).code == "INVALID_PARAMS"
    unknown = await ada.generate({"character_id": str(uuid4()), "image_count": 5})
    assert (unknown.status, unknown.code) == (404, "CHARACTER_NOT_FOUND")
    assert (await ada.ask("GET", "/api/generate/x")).code == "JOB_NOT_FOUND"
    assert await ada.credits() == 10


async def test_a_face_comes_as_base64_as_a_url_or_as_an_upload_and_lies_in_its_users_folder(stack: Stack) -> None:
    picture = Figure().png()
    text = base64.b64encode(picture).decode()
    async with serving_picture(picture, "/face.png") as host, studio_on(stack, allow=frozenset({host})) as studio:
        ada = await studio.visitor()
        own = f"{ada.id}/mine.png"
        await ada.client.storage.from_("uploads").upload(own, picture, {"content-type": "image/png"})
        for given in (text, f"data:image/png;base64,{text}", f"http://{host}/face.png", own):
            style = {"style_strength": 0.5, "face_reference": given}
            saved = await ada.create({"config": CONFIG, "style": style}, key=given[:40])
            assert saved.status == 201, saved.body
            assert saved.body["style"] == {"style_strength": 0.5}
            path = saved.body["face_reference_path"]
            assert path.split("/")[0] == str(ada.id)
            assert await ada.client.storage.from_("uploads").download(path) == picture
        again = await ada.create({"config": CONFIG, "style": style}, key=own[:40])
        assert (again.status, again.body) == (200, saved.body)
        for inside in ("http://127.0.0.1:1/a.png", "https://localhost/a.png"):
            refused = await ada.create({"config": CONFIG, "style": {"face_reference": inside}})
            assert (refused.status, refused.code) == (422, "INPUT_UNAVAILABLE")
            assert refused.body["error"]["details"]["field"] == "style.face_reference"


async def test_only_a_signed_in_user_comes_in(studio: Studio, stack: Stack) -> None:
    ada = await studio.visitor()
    body = {"character_id": str(uuid4()), "image_count": 5}
    claims = {"sub": str(ada.id), "aud": "authenticated", "role": "authenticated"}
    refused = {
        "": "TOKEN_MISSING",
        "Basic eDp5": "TOKEN_MISSING",
        "Bearer lsk_" + "A" * 43: "TOKEN_INVALID",
        f"Bearer {stack.keys.anon_key}": "TOKEN_INVALID",
        f"Bearer {stack.keys.service_role_key}": "TOKEN_INVALID",
        f"Bearer {stack.keys.secret_key}": "TOKEN_INVALID",
        f"Bearer {stack.keys.mint_for_user(claims, -60)}": "TOKEN_EXPIRED",
    }
    paths = (("POST", "/api/characters"), ("POST", "/api/generate"), ("GET", f"/api/generate/{uuid4()}"))
    for authorization, code in refused.items():
        for method, path in paths:
            answer = await ada.ask(method, path, {"Authorization": authorization}, json=body)
            assert (answer.status, answer.code, answer.headers["WWW-Authenticate"]) == (401, code, "Bearer")


async def test_a_project_that_is_away_is_503_with_the_time_to_come_again(stack: Stack) -> None:
    async with open_relay(stack.url) as relay, studio_on(stack, relay.url) as studio:
        ada = await studio.visitor()
        assert (await ada.create()).status == 201
        relay.refusing = True
        relay.cut()
        away = await ada.create()
        assert (away.status, away.code, away.headers["Retry-After"]) == (503, "TEMPORARILY_UNAVAILABLE", "2")
        relay.refusing = False
        assert (await ada.create()).status == 201
        assert isinstance(ada.id, UUID)
