"""POST /api/characters, /api/generate and what follows: characters and their packs, for signed-in users of the app.

A thin view of rows, as the app's own client would write and read them: everything is asked in the user's name. Knows
the documents' bodies, which have no envelope; does not know how an image is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field

from listener.api import Caller, User, UserDesk
from listener.http.body import parsed_json, read_body, require_json
from listener.http.characters import Faces, form_of, read_character
from listener.http.guarded import guarded
from listener.http.openapi.operation import described
from listener.http.pack_answers import CANCEL, READ, create_operation, generate_operation
from listener.http.refusal import Refused
from listener.http.server import REQUEST_ID
from listener.http.store_refusals import id_taken
from listener.http.submissions import Submission, idempotency_key, session_id
from listener.http.users import Users
from listener.ports import ArtifactStore, Clock

CHARACTERS, JOBS, IMAGES = "characters", "generation_jobs", "character_images"
BUCKET = "characters"
CHARACTER_BYTES = 8 * 2**20
"""Room for a face as Base64; a larger picture comes by its URL, or is uploaded to Storage."""
JOB_BYTES = 16 * 1024
OPEN = frozenset({"queued", "processing"})
SHOWN_OF_A_JOB = ("character_id", "status", "progress", "image_count", "completed_count", "message")
TIMES = ("created_at", "started_at", "completed_at")
SHOWN_OF_AN_IMAGE = ("id", "position", "pose", "width", "height", "similarity", "similarity_state", "seed")


class JobForm(BaseModel):
    """The body of POST /api/generate."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    character_id: UUID
    image_count: int = Field(ge=5, le=10, strict=True)


class PacksApi:
    """The endpoints of characters and packs. `params` are the rules of the kind `pack`, where this worker has them.

    `elsewhere` holds the images where they do not lie in the project's own storage.
    """

    def __init__(
        self,
        users: Users,
        desk: UserDesk,
        faces: Faces,
        params: type[BaseModel] | None,
        clock: Clock,
        *,
        signed_url_s: int,
        elsewhere: ArtifactStore | None = None,
    ) -> None:
        self._users = users
        self._desk = desk
        self._elsewhere = elsewhere
        self._faces = faces
        self._params = params
        self._clock = clock
        self._signed_url_s = signed_url_s

    def routes(self) -> list[web.AbstractRouteDef]:
        """The routes to add to the application."""
        whose = self._users.of
        return [
            web.post("/api/characters", guarded(self.create, whose)),
            web.post("/api/generate", guarded(self.generate, whose)),
            web.get("/api/generate/{id}", guarded(self.read, whose)),
            web.post("/api/generate/{id}/cancel", guarded(self.cancel, whose)),
        ]

    @described(create_operation(CHARACTER_BYTES))
    async def create(self, request: web.Request, user: User) -> web.Response:
        """Save a character; nothing is generated or charged."""
        require_json(request, "A character")
        form, face = read_character(parsed_json(await read_body(request, CHARACTER_BYTES)), self._params)
        character = _id(request, user, CHARACTERS)
        given = {**form.model_dump(), "face_reference_path": None}
        if face is not None:
            given["face_reference_path"] = await self._faces.keep(user, character, face)
        row, status = await self._put(request, user, CHARACTERS, character, given)
        shown = {"character_id": row["id"], **{name: row[name] for name in (*given, "created_at")}}
        return web.json_response(shown, status=status)

    @described(generate_operation(JobForm, JOB_BYTES))
    async def generate(self, request: web.Request, user: User) -> web.Response:
        """Ask for a pack of a character: 5 to 10 images, one credit each."""
        require_json(request, "A job")
        form = form_of(JobForm, parsed_json(await read_body(request, JOB_BYTES)))
        row, status = await self._put(request, user, JOBS, _id(request, user, JOBS), form.model_dump(mode="json"))
        shown = {"job_id": row["id"], "status": row["status"], "queue": await self._queue(user, row)}
        return web.json_response(shown, status=status, headers={hdrs.LOCATION: f"/api/generate/{row['id']}"})

    @described(READ)
    async def read(self, request: web.Request, user: User) -> web.Response:
        """A job as it stands, with every image that is there."""
        row = await self._job(request, user)
        shown: dict[str, Any] = {"job_id": row["id"], **{name: row[name] for name in (*SHOWN_OF_A_JOB, *TIMES)}}
        shown |= {"images": await self._images(user, row), "queue": await self._queue(user, row), "error": None}
        if row["error_code"] is not None:
            details = row["error_details"] or {}
            shown["error"] = {"code": row["error_code"].upper(), "message": row["error_message"], "details": details}
        return web.json_response(shown)

    @described(CANCEL)
    async def cancel(self, request: web.Request, user: User) -> web.Response:
        """Cancel a waiting job at once, ask a running one's worker to stop: what is finished stays."""
        row = await self._job(request, user)
        outcome = await self._desk.cancel(user, UUID(row["id"]))
        return web.json_response({"cancelled": True, **outcome})

    async def _put(
        self, request: web.Request, user: User, table: str, row_id: UUID, given: Mapping[str, Any]
    ) -> tuple[dict[str, Any], int]:
        """Insert once: the same name with the same fields again answers the row that is there."""
        one = Submission({"id": str(row_id), **given}, given)
        if (new := await self._desk.insert(user, table, one.row, request[REQUEST_ID])) is not None:
            return new, 201
        stored = await self._desk.read(user, table, "id", str(row_id))
        if not stored:  # it was deleted
            raise id_taken()
        if not one.repeats(stored[0]):
            message = "This key was used for a request with other fields."
            raise Refused(422, "IDEMPOTENCY_KEY_REUSED", message)
        return stored[0], 200

    async def _job(self, request: web.Request, user: User) -> dict[str, Any]:
        unknown = Refused(404, "JOB_NOT_FOUND", "There is no such job.")
        try:
            job = str(UUID(request.match_info["id"]))
        except ValueError:
            raise unknown from None
        if not (rows := await self._desk.read(user, JOBS, "id", job)):
            raise unknown
        return rows[0]

    async def _queue(self, user: User, row: Mapping[str, Any]) -> dict[str, Any] | None:
        return await self._desk.queue(user, UUID(row["id"])) if row["status"] in OPEN else None

    async def _images(self, user: User, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        images = await self._desk.read(user, IMAGES, "job_id", row["id"])
        images.sort(key=lambda image: image["position"])
        ends = (self._clock.now() + timedelta(seconds=self._signed_url_s)).isoformat()
        paths = [path for image in images for path in (image["storage_path"], image["thumbnail_path"]) if path]
        urls = await self._urls(user, paths)
        return [
            {name: image[name] for name in SHOWN_OF_AN_IMAGE}
            | {"url": urls.get(image["storage_path"]), "thumbnail_url": urls.get(image["thumbnail_path"] or "")}
            | {"expires_at": ends}
            for image in images
        ]

    async def _urls(self, user: User, paths: Sequence[str]) -> Mapping[str, str | None]:
        """URLs that read them. Storage knows whose they are; elsewhere only what lies in his own folder is signed."""
        if self._elsewhere is None:
            return await self._desk.sign(user, BUCKET, paths, self._signed_url_s)
        own = [path for path in paths if path.startswith(f"{user.id}/") and ".." not in path]
        return {path: await self._elsewhere.sign(BUCKET, path, self._signed_url_s) for path in own}


def _id(request: web.Request, user: User, table: str) -> UUID:
    """The same row for the same Idempotency-Key of the same user, else a new one."""
    key = idempotency_key(request.headers.get("Idempotency-Key"), None)
    return uuid4() if key is None else session_id(Caller(user.id, "user_id"), f"{table}:{key}")
