"""What POST /api/sessions/{kind} takes and what the sessions' endpoints answer, for the document.

Knows the fields that a caller may give, from a kind's rules and its table's columns; checks nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, create_model

from listener.api import OwnedTable, SessionDesk
from listener.http.openapi.document import Served
from listener.http.openapi.operation import IDEMPOTENCY_KEY, Described, Gives, Parameter, Takes, Who
from listener.http.openapi.shapes import (
    BatchItem,
    CancelledSession,
    Credits,
    SessionPage,
    ShownSession,
    Status,
    enveloped,
)
from listener.http.pages import CURSOR, FEW, MANY
from listener.http.submissions import ACCEPTED_UNUSED, FOREIGN_NAMES

BODY_BYTES = 2**20
MOST_SESSIONS = 100
STORE = (Who.STORE,)
STORE_COLUMN = "store_id"
ID = Parameter("id", "Our id, or the `task_id` or `session_id` that it was submitted with.", example="$SESSION")
LABEL = Annotated[str, Field(pattern=r"^[\x20-\x7e]{1,255}$")]
UNUSED = (str | None, Field(None, description="Accepted, and not kept"))
NAMED = {
    "session_id": (LABEL | None, Field(None, description="Names the session, as `task_id` does; not kept")),
    "created_at": UNUSED,
    "user_id": UNUSED,
}
"""Fields beside the table's own: a name, and two that are accepted and not kept."""

PICTURE = {"name": "image.jpg", "width": 96, "height": 128, "size_bytes": 13622, "content_type": "image/jpeg"}
SIGNED = {
    "url": "https://abcd.supabase.co/storage/v1/object/sign/stores/...?token=...",
    "expires_at": "2026-11-20T23:53:35.082112+00:00",
}
WAITING = {
    "id": "$SESSION",
    "kind": "tryon",
    "status": "queued",
    "progress": 0,
    "message": None,
    "version": 0,
    "started_at": None,
    "finished_at": None,
    "task_id": "order-4711",
    "request_id": None,
    "created_at": "2026-11-20T17:53:31.960933+00:00",
    "result": None,
    "error": None,
}
FINISHED = WAITING | {
    "status": "completed",
    "progress": 100,
    "version": 7,
    "started_at": "2026-11-20T17:53:32.168592+00:00",
    "finished_at": "2026-11-20T17:53:34.894927+00:00",
    "result": {"model": "embedded", "processing_time_s": 2.664, "artifacts": [PICTURE | SIGNED]},
}

LISTED = FINISHED | {"result": {"model": "embedded", "processing_time_s": 2.664, "artifacts": [PICTURE]}}


def _shown(data: object) -> dict[str, Any]:
    return {"data": data, "meta": {"request_id": "6673296b-e00e-4479-ab8a-d38069636d2c"}}


SUBMIT = Described(
    id="submit",
    summary="Submit a session",
    group="Sessions",
    who=STORE,
    gives={
        201: Gives("The session was made and paid.", enveloped(ShownSession), ("Location",), example=_shown(WAITING)),
        200: Gives("It was there already; nothing was paid again.", enveloped(ShownSession), ("Location",)),
        207: Gives("An array was sent: each item says what became of it.", enveloped(list[BatchItem], "Batch")),
    },
    refuses=(
        "IDEMPOTENCY_KEY_INVALID",
        "CREDITS_INSUFFICIENT",
        "OWNER_MISMATCH",
        "KIND_UNKNOWN",
        "SESSION_ID_USED",
        "IDEMPOTENCY_KEY_REUSED",
        "TOO_MANY_SESSIONS",
    ),
    takes=Takes(Any, BODY_BYTES),
    parameters=(IDEMPOTENCY_KEY,),
    words="One session, or an array of up to 100, each paid and answered for itself. The name of a session is the "
    "header, else `session_id`, else `task_id`: the same name is the same session.",
    is_per_kind=True,
)
READ = Described(
    id="readSession",
    summary="Read a session",
    group="Sessions",
    who=STORE,
    gives={200: Gives("The session as it stands, with fresh URLs.", enveloped(ShownSession), example=_shown(FINISHED))},
    refuses=("SESSION_NOT_FOUND",),
    parameters=(ID,),
)
LIST = Described(
    id="listSessions",
    summary="List sessions",
    group="Sessions",
    who=(Who.STORE, Who.USER),
    gives={200: Gives("A page of them.", enveloped(SessionPage), example=_shown({"sessions": [LISTED], "next": None}))},
    refuses=("INVALID_QUERY",),
    parameters=(
        Parameter("kind", "Only of this kind.", "query", example="tryon"),
        Parameter("status", "Only what is so now.", "query", {"type": "string", "enum": list(get_args(Status))}),
        Parameter(
            "limit",
            f"How many at most; {FEW} unless it is said.",
            "query",
            {"type": "integer", "minimum": 1, "maximum": MANY, "default": FEW},
            FEW,
        ),
        Parameter("after", "`next` of the page before.", "query", {"type": "string", "pattern": CURSOR}),
    ),
    words="The caller's own sessions of all kinds, the newest first: the facts of each without a URL, for which a "
    "store reads the session, and a user its avatar's `/result/{id}` or its pack's `/api/generate/{id}`.",
)
CANCEL = Described(
    id="cancelSession",
    summary="Cancel a session",
    group="Sessions",
    who=STORE,
    gives={
        200: Gives(
            "What became of it, and what is paid back.",
            enveloped(CancelledSession),
            example=_shown({"id": "$SESSION", "outcome": "cancelled", "refund": "all"}),
        )
    },
    refuses=("SESSION_NOT_FOUND", "SESSION_FINISHED"),
    parameters=(ID,),
)
CREDITS = Described(
    id="readCredits",
    summary="Read the balance",
    group="Credits",
    who=STORE,
    gives={200: Gives("The store's credits.", enveloped(Credits), example=_shown({"credits": 8}))},
)


async def submit_operations(desk: SessionDesk, params: Mapping[str, type[BaseModel]]) -> list[Served]:
    """One operation for each kind that stores may submit. `params` are the rules of those that this worker serves.

    Raises: StoreError.
    """
    tables = {table.kind: table for table in await desk.tables() if table.owner_column == STORE_COLUMN}
    return [_submit_operation(table, params.get(kind)) for kind, table in sorted(tables.items())]


def _submit_operation(table: OwnedTable, params: type[BaseModel] | None) -> Served:
    model = _form(table, params)
    several = Annotated[list[model], Field(min_length=1, max_length=MOST_SESSIONS)]  # type: ignore[valid-type]
    takes = Takes(model | several, BODY_BYTES, example=_example(params))
    name = _named(table.kind)
    one = replace(SUBMIT, id=f"submit{name}", summary=f"Submit a session: {table.kind}", takes=takes, is_per_kind=False)
    return Served("post", f"/api/sessions/{table.kind}", one)


def _form(table: OwnedTable, params: type[BaseModel] | None) -> type[BaseModel]:
    """The fields that the table takes, as the kind's rules describe them."""
    writable = table.inputs - {table.id_column, table.owner_column, "created_at"}
    rules = params.model_fields if params is not None else {}
    fields: dict[str, Any] = {name: (rule.annotation, rule) for name, rule in rules.items() if name in writable}
    fields |= {name: (Any, None) for name in sorted(writable - set(fields))}
    fields |= {theirs: fields[ours] for theirs, ours in FOREIGN_NAMES.items() if ours in writable}
    fields |= {name: field for name, field in NAMED.items() if name in ACCEPTED_UNUSED and name not in fields}
    fields[table.owner_column] = (str | None, Field(None, description="Need not be said; another's is refused"))
    if "channel" in fields:
        fields["channel"] = (Literal["b2b"], Field("b2b", description="Need not be said"))
    words = params.__doc__ if params is not None else None
    return create_model(f"{_named(table.kind)}Session", __config__=ConfigDict(extra="forbid"), __doc__=words, **fields)


def _example(params: type[BaseModel] | None) -> Any:
    extra = params.model_config.get("json_schema_extra") if params is not None else None
    examples = extra.get("examples") if isinstance(extra, Mapping) else None
    return examples[0] if isinstance(examples, list) else None


def _named(kind: str) -> str:
    return "".join(part.capitalize() for part in kind.replace("-", "_").split("_"))
