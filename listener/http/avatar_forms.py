"""The avatars' endpoints as they are described, and the form that one of them takes: fields, limits, formats.

Knows words and limits; does nothing with them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from listener.http.avatar_answers import AvatarAnswer, AvatarForm, ClipAnswer
from listener.http.forms import FORM, FileField, FormReader
from listener.http.openapi.operation import IDEMPOTENCY_KEY, Described, Gives, Parameter, Takes, Who
from listener.http.signatures import IMAGES, SOUNDS

GROUP = "Avatars"
MIB = 2**20
IMAGE_BYTES, AUDIO_BYTES = 10 * MIB, 50 * MIB
TEXT_BYTES = {"prompt": 8 * 1024, "resolution": 16, "seed": 32}
READER = FormReader(
    (
        FileField("image", IMAGE_BYTES, IMAGES, "INVALID_IMAGE_FORMAT", "Image must be PNG or JPEG format"),
        FileField("audio", AUDIO_BYTES, SOUNDS, "INVALID_AUDIO_FORMAT", "Audio must be WAV or MP3 format"),
    ),
    TEXT_BYTES,
)

ANYBODY = (Who.STORE, Who.USER)
ID = Parameter("id", "The session's id.", schema={"type": "string", "format": "uuid"}, example="$AVATAR")
FILES = {"image": "@portrait.png", "audio": "@speech.wav", "prompt": "a woman singing"}
SHOWN: dict[str, Any] = {
    "id": "$AVATAR",
    "job_id": "$AVATAR",
    "status": "pending",
    "progress": 0,
    "message": None,
    "resolution": "720p",
    "seed": None,
    "created_at": "2026-11-20T17:53:31.960933Z",
    "started_at": None,
    "finished_at": None,
    "estimated_completion": "2026-11-20T17:55:12.000000Z",
    "queue": {
        "position": 1,
        "ahead": 0,
        "is_more_ahead": False,
        "retry_in_s": None,
        "estimate_s": 100,
        "reason": None,
    },
    "error": None,
    "warnings": [],
}
META = {"request_id": "f304ac87-4d47-467a-a230-79f38de68bf0"}
VIDEO = {
    "id": "$AVATAR",
    "job_id": "$AVATAR",
    "url": "https://abcd.supabase.co/storage/v1/object/sign/videos/...mp4?token=...",
    "expires_at": "2026-11-20T23:55:10.000000Z",
    "thumbnail_url": "https://abcd.supabase.co/storage/v1/object/sign/videos/...thumb.webp?token=...",
    "kept_until": "2026-11-20T23:55:10.000000Z",
    "duration_s": 9.96,
    "fps": 25.0,
    "width": 1280,
    "height": 720,
    "size_bytes": 4818204,
    "content_type": "video/mp4",
}

GENERATE = Described(
    id="generateAvatar",
    summary="Order a clip of a picture that says a recording",
    group=GROUP,
    who=ANYBODY,
    parameters=(replace(IDEMPOTENCY_KEY, example="clip-1"),),
    takes=Takes(AvatarForm, READER.limit_bytes, FORM, FILES, ("MALFORMED_FORM", "INVALID_PARAMS")),
    gives={
        201: Gives(
            "The session was made and paid.", AvatarAnswer, ("Location",), example={"data": SHOWN, "meta": META}
        ),
        200: Gives("The same request came before: this is its session.", AvatarAnswer, ("Location",)),
    },
    refuses=(
        "IDEMPOTENCY_KEY_INVALID",
        "INVALID_IMAGE_FORMAT",
        "INVALID_IMAGE",
        "INVALID_AUDIO_FORMAT",
        "INVALID_AUDIO",
        "CREDITS_INSUFFICIENT",
        "KIND_UNKNOWN",
        "SESSION_ID_USED",
        "IDEMPOTENCY_KEY_REUSED",
        "RATE_LIMITED",
        "TOO_MANY_UPLOADS",
        "BUSY",
    ),
    words="The form has 120 s to come, and no pause of 15 s; a file is refused as soon as it is known to be unusable.",
)
STATUS = Described(
    id="readAvatar",
    summary="Where a session stands",
    group=GROUP,
    who=ANYBODY,
    parameters=(ID,),
    gives={200: Gives("The session.", AvatarAnswer, example={"data": SHOWN, "meta": META})},
    refuses=("SESSION_NOT_FOUND", "KIND_UNKNOWN"),
)
RESULT = Described(
    id="readAvatarVideo",
    summary="The finished video, with fresh signed URLs",
    group=GROUP,
    who=ANYBODY,
    parameters=(ID,),
    gives={200: Gives("The video.", ClipAnswer, example={"data": VIDEO, "meta": META})},
    refuses=("SESSION_NOT_FOUND", "KIND_UNKNOWN", "NOT_READY", "SESSION_FAILED", "SESSION_CANCELLED", "GONE"),
)
