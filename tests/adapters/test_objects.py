"""Artifacts in the embedded Storage: written under their type, read by a signed URL, refused with a reason."""

from __future__ import annotations

from uuid import uuid4

import httpx
import pytest

from listener.adapters.objects import SupabaseArtifactStore
from listener.adapters.supabase_clients import Clients, open_clients
from listener.contract import Fetched
from listener.engine.inputs import AUDIO, PICTURES
from listener.errors import InputUnavailable, StoreRejected, StoreUnavailable
from listener.ports import Accepted
from tests.support.target import Target

PNG = b"\x89PNG\r\n\x1a\n" + bytes(300_000)


@pytest.fixture
def objects(clients: Clients) -> SupabaseArtifactStore:
    return SupabaseArtifactStore(clients)


async def test_an_object_is_read_by_its_signed_url_and_by_no_other(
    objects: SupabaseArtifactStore, project: Target
) -> None:
    path = f"{uuid4()}/{uuid4()}.png"
    await objects.put("headshots", path, PNG, "image/png")
    url = await objects.sign("headshots", path, 3600)
    assert url.startswith(f"{project.url}/storage/v1/object/sign/headshots/")
    async with httpx.AsyncClient() as stranger:
        answer = await stranger.get(url)
        assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/png", PNG)
        assert (await stranger.get(url.split("?")[0])).status_code >= 400
        assert (await stranger.get(url[:-3] + "abc")).status_code >= 400


async def test_the_same_path_again_replaces_the_object(objects: SupabaseArtifactStore) -> None:
    path = f"{uuid4()}/x.png"
    await objects.put("headshots", path, b"first", "image/png")
    await objects.put("headshots", path, b"second", "image/png")
    async with httpx.AsyncClient() as stranger:
        assert (await stranger.get(await objects.sign("headshots", path, 60))).content == b"second"


async def test_a_missing_bucket_is_rejected_and_shown_until_something_works(objects: SupabaseArtifactStore) -> None:
    with pytest.raises(StoreRejected, match="Bucket not found"):
        await objects.put("nowhere", "x.png", PNG, "image/png")
    assert "nowhere" in str(objects.last_error)
    await objects.put("headshots", f"{uuid4()}/x.png", PNG, "image/png")
    assert objects.last_error is None


async def test_a_path_that_climbs_is_refused_before_any_request(objects: SupabaseArtifactStore) -> None:
    with pytest.raises(StoreRejected, match="ValueError"):
        await objects.put("headshots", "../other/x.png", b"", "image/png")


async def test_an_upload_is_read_back_with_its_type(objects: SupabaseArtifactStore) -> None:
    path = f"{uuid4()}/me (1) @2x.png"
    await objects.put("uploads", path, PNG, "image/png")
    assert await objects.get("uploads", path, PICTURES) == Fetched(PNG, "image/png")
    assert objects.last_error is None


async def test_a_voice_is_read_back_as_sound_and_never_as_a_picture(objects: SupabaseArtifactStore) -> None:
    path = f"{uuid4()}/voice.wav"
    await objects.put("uploads", path, b"RIFF", "audio/wav")
    assert await objects.get("uploads", path, AUDIO) == Fetched(b"RIFF", "audio/wav")
    await objects.put("uploads", f"{path}.png", PNG, "image/png")
    with pytest.raises(InputUnavailable, match="is not of a type"):
        await objects.get("uploads", f"{path}.png", AUDIO)


async def test_an_upload_that_cannot_be_used_says_why(objects: SupabaseArtifactStore) -> None:
    folder = str(uuid4())
    await objects.put("uploads", f"{folder}/large.png", PNG, "image/png")
    await objects.put("uploads", f"{folder}/voice.wav", b"RIFF", "audio/wav")
    await objects.put("uploads", f"{folder}/empty.png", b"", "image/png")
    small = Accepted(len(PNG) - 1, PICTURES.content_types)
    for name, problem in [
        ("missing.png", "is not there"),
        ("large.png", "is larger than"),
        ("voice.wav", "is not of a type"),
        ("empty.png", "is empty"),
    ]:
        with pytest.raises(InputUnavailable) as refused:
            await objects.get("uploads", f"{folder}/{name}", small)
        assert refused.value.details["problem"].startswith(problem)
        assert refused.value.details["remedy"]
    assert objects.last_error is None, "nothing of it is the storage's fault"


async def test_what_is_no_fault_of_an_upload_is_not_blamed_on_it(objects: SupabaseArtifactStore) -> None:
    with pytest.raises(StoreRejected, match="Bucket not found"):
        await objects.get("nowhere", f"{uuid4()}/a.png", PICTURES)
    async with open_clients("http://127.0.0.1:1", "key", 1) as nowhere:
        with pytest.raises(StoreUnavailable, match="ConnectError"):
            await SupabaseArtifactStore(nowhere).get("uploads", "a/x.png", PICTURES)


async def test_every_upload_has_a_connection_of_its_own(objects: SupabaseArtifactStore, clients: Clients) -> None:
    """A refused upload can hang the next request on its connection, so none is kept."""
    sent: list[str] = []

    async def look(request: httpx.Request) -> None:
        sent.append(request.headers["connection"])

    uploads = clients.uploads.options.httpx_client
    assert uploads is not None
    uploads.event_hooks["request"] = [look]
    await objects.put("headshots", f"{uuid4()}/x.png", PNG, "image/png")
    assert sent == ["close"]


async def test_a_storage_that_is_not_there_may_be_asked_again() -> None:
    async with open_clients("http://127.0.0.1:1", "key", 1) as nowhere:
        with pytest.raises(StoreUnavailable, match="ConnectError"):
            await SupabaseArtifactStore(nowhere).put("headshots", "a/x.png", b"", "image/png")


async def test_objects_are_removed_together_and_one_that_is_not_there_is_no_error(
    objects: SupabaseArtifactStore,
) -> None:
    folder = str(uuid4())
    gone, kept = f"{folder}/a b (1).png", f"{folder}/kept.png"
    for path in (gone, kept):
        await objects.put("uploads", path, PNG, "image/png")
    await objects.remove("uploads", [gone, f"{folder}/never.png"])
    await objects.remove("uploads", [])
    with pytest.raises(InputUnavailable):
        await objects.get("uploads", gone, PICTURES)
    assert (await objects.get("uploads", kept, PICTURES)).data == PNG
