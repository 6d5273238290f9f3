"""Puts submissions into a table, each once: what is new, what is there already, what is refused.

Knows how a refusal of many becomes an answer for each; does not know requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from listener.api import Caller, OwnedTable, SessionDesk
from listener.errors import StoreRejected
from listener.http.refusal import Refused
from listener.http.store_refusals import UNIQUE, id_taken, refusal_of
from listener.http.submissions import Submission

CREATED, THERE = 201, 200
TASK = "task_id"
FINAL = frozenset({402, 429})
"""What refuses one session refuses every further one of the same request too."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one submission: a row, or a refusal."""

    status: int
    row: Mapping[str, Any] = field(default_factory=dict)
    refused: Refused | None = None


class Intake:
    """Inserts through the desk. Raises: StoreError for what is nobody's fault."""

    def __init__(self, desk: SessionDesk) -> None:
        self._desk = desk

    async def take(
        self, table: OwnedTable, caller: Caller, submissions: Sequence[Submission], request_id: str
    ) -> list[Taken]:
        """All in one statement; one by one when the statement is refused, so that each hears its own reason."""
        if not submissions:
            return []
        try:
            return await self._together(table, caller, submissions, request_id)
        except StoreRejected as error:
            if (refused := refusal_of(error)) is None:
                raise
            if len(submissions) == 1:
                return [await self._refused(table, caller, submissions[0], error, refused)]
        ends: list[Taken] = []
        for one in submissions:
            if ends and ends[-1].status in FINAL:
                ends.append(ends[-1])
            else:
                ends += await self.take(table, caller, [one], request_id)
        return ends

    async def _together(
        self, table: OwnedTable, caller: Caller, submissions: Sequence[Submission], request_id: str
    ) -> list[Taken]:
        new = await self._desk.insert(table, [one.row for one in submissions], request_id)
        created = {str(row[table.id_column]): row for row in new}
        others = sorted({_id(table, one) for one in submissions} - set(created))
        found = await self._desk.read(table, caller.owner, table.id_column, others) if others else []
        there = {str(row[table.id_column]): row for row in found}
        ends = []
        for one in submissions:
            if (row := created.pop(_id(table, one), None)) is not None:
                there[_id(table, one)] = row  # a second one of the same name is the same session
                ends.append(Taken(CREATED, row))
            else:
                ends.append(_again(one, there.get(_id(table, one))))
        return ends

    async def _refused(
        self, table: OwnedTable, caller: Caller, one: Submission, error: StoreRejected, refused: Refused
    ) -> Taken:
        """A task that came before under another key is still the same session."""
        task = one.row.get(TASK)
        if error.details.get("code") == UNIQUE and task is not None:
            rows = await self._desk.read(table, caller.owner, TASK, [str(task)])
            return _again(one, rows[0] if rows else None)
        return Taken(refused.status, {}, refused)


def _again(one: Submission, stored: Mapping[str, Any] | None) -> Taken:
    if stored is None:  # the row was deleted; its session is remembered
        return Taken(409, {}, id_taken())
    if not one.repeats(stored):
        message = "This key or id was used for a session with other fields."
        return Taken(422, {}, Refused(422, "IDEMPOTENCY_KEY_REUSED", message))
    return Taken(THERE, stored)


def _id(table: OwnedTable, one: Submission) -> str:
    return str(one.row[table.id_column])
