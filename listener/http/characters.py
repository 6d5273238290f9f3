"""From a request's JSON to a character: its fields, the kind's own rules for them, and the face that it should have.

Knows the shape of the request and where pictures come from; the rules for config and style are the handler's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from listener.api import User, UserDesk
from listener.contract import Fetched
from listener.engine.inputs import PICTURES
from listener.engine.own_objects import require_own_object
from listener.engine.validation import problems_of
from listener.errors import InputUnavailable, InputUnreachable, Unusable
from listener.http.endpoints import refusal_of_failure
from listener.http.refusal import Refused
from listener.http.submissions import invalid_params
from listener.ports import Fetcher

FACE = "face_reference"
FIELD = f"style.{FACE}"
SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
_URL = re.compile(r"https?:", re.IGNORECASE)
_DATA_URL = re.compile(r"data:image/[a-z]{3,4};base64,")
_OWN_PATH = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}/")
_DIGEST_CHARS = 16

Form = TypeVar("Form", bound=BaseModel)


class CharacterForm(BaseModel):
    """The body of POST /api/characters."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    name: str = Field("", max_length=200)
    config: dict[str, Any] = Field(repr=False)
    style: dict[str, Any] = Field(default_factory=dict, repr=False)


def read_character(body: object, params: type[BaseModel] | None) -> tuple[CharacterForm, str | None]:
    """The checked form, and the face reference as it was given.

    `params` are the rules of the kind, and of its handler alone: what they say of `character` holds here, and what they
    say of a job that nobody asked for yet does not. Without them, on a worker that serves no packs, the table's own
    constraints hold, and the handler checks the rest before anything is generated.
    Raises: Refused (422).
    """
    form = form_of(CharacterForm, body)
    face = form.style.pop(FACE, None)
    if face is not None and not isinstance(face, str):
        raise _face_refused("string_type", "is not a text", "give a URL, a path or Base64")
    if params is not None:
        _check(params, form)
    return form, face


def form_of(form: type[Form], body: object) -> Form:
    """Read a body. Raises: Refused (422)."""
    try:
        return form.model_validate(body)
    except ValidationError as error:
        raise invalid_params(problems_of(error)) from None


class Faces:
    """Brings a face reference into its user's folder of the bucket `uploads`, whichever way it was given."""

    def __init__(self, fetcher: Fetcher, desk: UserDesk) -> None:
        self._fetcher = fetcher
        self._desk = desk

    async def keep(self, user: User, character: UUID, given: str) -> str:
        """The path of the picture. The picture stays what it was, whatever becomes of its address.

        Raises: Refused (422, 502); StoreError.
        """
        try:
            if _OWN_PATH.match(given):
                return require_own_object(given, user.id)
            picture = await self._fetcher.fetch(given, PICTURES) if _URL.match(given) else _decoded(given)
        except Unusable as error:
            raise _face_refused("value_error", error.problem, error.remedy) from None
        except (InputUnavailable, InputUnreachable) as error:
            error.details = {"field": FIELD} | error.details
            raise refusal_of_failure(error) from None
        digest = hashlib.sha256(picture.data).hexdigest()[:_DIGEST_CHARS]
        path = f"{user.id}/{character}-{digest}.{SUFFIXES[picture.content_type]}"
        await self._desk.upload(user, path, picture.data, picture.content_type)
        return path


def _check(params: type[BaseModel], form: CharacterForm) -> None:
    snapshot = {"id": UUID(int=0), "config": form.config, "style": form.style}
    try:
        params.model_validate({"character": snapshot})
    except ValidationError as error:
        told = [problem for problem in problems_of(error) if problem["field"].startswith("character.")]
        if told:
            raise invalid_params([one | {"field": one["field"].removeprefix("character.")} for one in told]) from None


def _face_refused(rule: str, message: str, remedy: str) -> Refused:
    return invalid_params([{"field": FIELD, "rule": rule, "message": message, "remedy": remedy}])


def _decoded(given: str) -> Fetched:
    """A picture as Base64, with or without the head of a data URL. Raises: Unusable."""
    text = _DATA_URL.sub("", given[:64], count=1) + given[64:]
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unusable("is neither a URL, a path of your own nor Base64", "give one of them") from None
    kind = _kind(data)
    if kind is None or len(data) > PICTURES.size_max_bytes:
        limit_mib = PICTURES.size_max_bytes // 2**20
        raise Unusable("is no picture that can be used", f"give a PNG, JPEG or WebP of at most {limit_mib} MiB")
    return Fetched(data, kind)


def _kind(data: bytes) -> str | None:
    """What its first bytes say; whether it can be decoded, the worker finds out in a process of its own."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None
