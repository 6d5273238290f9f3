"""From a form to a paid session: its files are looked at, laid into the caller's folder, and named by one new row.

Knows the order of things: nothing is charged before the files are there, nothing is left behind when it is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, ValidationError

from listener.api import OwnedTable
from listener.contract import Inspector
from listener.engine.validation import problems_of
from listener.errors import AttemptFailure, InvalidParams, StoreError, StoreRejected
from listener.http.avatar_answers import AvatarTexts
from listener.http.customers import Customer, Row
from listener.http.endpoints import refusal_of_failure
from listener.http.forms import Form, ReceivedFile
from listener.http.refusal import Refused
from listener.http.store_refusals import id_taken
from listener.http.submissions import invalid_params, session_id

IMAGE, AUDIO = "image", "audio"
COLUMNS = {IMAGE: "image_url", AUDIO: "audio_url"}
FOLDER = "avatars"
"""Below the owner's own, then the row's, then the request's: sql/functions/is_spent_input.sql reads it."""
UNUSABLE = frozenset({"INVALID_IMAGE", "INVALID_IMAGE_FORMAT", "INVALID_AUDIO", "INVALID_AUDIO_FORMAT"})
INSPECTED_AT_ONCE = 2
_DIGEST_CHARS = 16


@dataclass(frozen=True, slots=True)
class Ordered:
    """The row that an order is, whether it is new, and what its files' inspector warns of."""

    row: Row
    is_new: bool
    warnings: tuple[str, ...] = ()


class AvatarOrders:
    """Takes orders. `inspector` and `params` are the handler's of the kind, where this worker serves it."""

    def __init__(self, inspector: Inspector | None, params: type[BaseModel] | None) -> None:
        self._inspector = inspector
        self._params = params
        self._inspecting = asyncio.Semaphore(INSPECTED_AT_ONCE)

    async def take(
        self, customer: Customer, table: OwnedTable, form: Form, key: str | None, request_id: str
    ) -> Ordered:
        """Make the session, or find the one that the same key made. Raises: Refused; StoreError."""
        row_id = uuid4() if key is None else session_id(customer.caller, f"{table.kind}:{key}")
        row = self._row(form, f"{customer.caller.owner}/{FOLDER}/{row_id}")
        if key is not None and (stored := await customer.read(table, row_id)) is not None:
            return _again(row, stored)
        warnings = await self._inspect(form)
        async with _laid_out(customer, row, form) as kept:
            made = await customer.insert(table, {**row, table.id_column: str(row_id)}, request_id)
            if made is not None:
                kept.set()
                return Ordered(made, True, warnings)
            if (stored := await customer.read(table, row_id)) is None:  # the row was deleted; its id is remembered
                raise id_taken()
            if _is_ours(row, stored):  # the answer to the insert was lost, and it was sent again
                kept.set()
                return Ordered(stored, True, warnings)
            return _again(row, stored)

    def _row(self, form: Form, folder: str) -> Row:
        """The row's input columns. Raises: Refused (422)."""
        # In a folder of this request's own: what is removed after a refusal is never another request's.
        own = f"{folder}/{uuid4()}"
        row: Row = {COLUMNS[name]: f"{own}/{_name(name, file)}" for name, file in form.files.items()}
        try:
            texts = AvatarTexts.model_validate({name: text for name, text in form.texts.items() if text})
            row |= texts.model_dump()
            if self._params is not None:
                self._params.model_validate(row)
        except ValidationError as error:
            raise invalid_params(problems_of(error)) from None
        return row

    async def _inspect(self, form: Form) -> tuple[str, ...]:
        if self._inspector is None:
            return ()
        async with self._inspecting:
            try:
                return await self._inspector.inspect({name: file.path for name, file in form.files.items()})
            except InvalidParams as error:
                raise _unusable(error.details) from None
            except AttemptFailure as error:
                raise refusal_of_failure(error) from error


def _name(field: str, file: ReceivedFile) -> str:
    return f"{field}-{file.sha256[:_DIGEST_CHARS]}.{file.type.ending}"


def _again(row: Mapping[str, Any], stored: Row) -> Ordered:
    """The session that is there. Raises: Refused (422) where it was made of something else."""
    if any(_compared(name, value) != _compared(name, stored.get(name)) for name, value in row.items()):
        raise Refused(422, "IDEMPOTENCY_KEY_REUSED", "This key was used for a request with other fields.")
    return Ordered(stored, False)


def _is_ours(row: Mapping[str, Any], stored: Row) -> bool:
    """Whether the row names the files of this very request."""
    return all(stored.get(column) == row[column] for column in COLUMNS.values())


def _compared(column: str, value: object) -> object:
    """Of a file what it is; where it lies is another place for each request."""
    return str(value).rpartition("/")[2] if column in COLUMNS.values() else value


def _unusable(details: Mapping[str, Any]) -> Refused:
    field = AUDIO if details.get("field") == AUDIO else IMAGE
    told = {name: value for name, value in details.items() if name != "reason"} | {"field": field}
    reason = details.get("reason")
    code = str(reason) if reason in UNUSABLE else f"INVALID_{field.upper()}"
    return Refused(400, code, f"The file `{field}` cannot be used; see the details.", None, **told)


@asynccontextmanager
async def _laid_out(customer: Customer, row: Mapping[str, Any], form: Form) -> AsyncIterator[asyncio.Event]:
    """The files in the bucket, for as long as the block does not say that they are kept.

    They stay, too, when nobody can tell whether a row names them: what no row names is removed by the cleaning.
    """
    kept, laid = asyncio.Event(), []
    try:
        for name, file in form.files.items():
            path = str(row[COLUMNS[name]])
            laid.append(path)
            await customer.upload(path, Path(file.path), file.type.content_type)
        try:
            yield kept
        except (Refused, StoreRejected):
            raise
        except BaseException:
            kept.set()
            raise
    finally:
        if not kept.is_set():
            with suppress(StoreError):
                await customer.discard(laid)
