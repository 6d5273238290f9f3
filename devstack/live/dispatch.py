"""Takes a batch of changes and sends each to the channels that may see it, in commit order.

Asks the database once per batch for the tables, once per table for values and filters, and once per table, role and
claims for row security. As with the real server, a policy that raises takes the whole batch from everybody, and so does
a project's rate of events that is exceeded; nobody is told. Knows nothing of sockets.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import asyncpg

from devstack.changes.capture import DATABASE_GONE, Connection
from devstack.changes.pgoutput import Change, Row
from devstack.live.payload import Known
from devstack.live.registry import Subscriber, Subscription
from devstack.live.services import Services
from devstack.live.stored import is_message, sent
from devstack.live.tables import Table, load_tables
from devstack.live.typed import TypedRow, type_rows
from devstack.live.verdicts import key_error, needs_row_security, passes, verdicts
from devstack.live.visibility import PolicyFailedError, visible_rows

log = logging.getLogger(__name__)

BATCH = 200  # changes judged together
NO_ROW = TypedRow({}, frozenset())

Wanted = tuple[Change, list[Subscription]]
Judged = tuple[Known, list[Subscription]]
# Who asks: table, role, claims. The answer: by position in the batch.
Asker = tuple[int, str, str]
Answers = dict[Asker, dict[int, bool]]


class Dispatcher:
    """Delivers changes to subscribers, and messages sent by SQL to the rooms they are for."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def deliver(self, changes: list[Change]) -> None:
        """Judge and send; while muted, changes are lost and not kept for later.

        Raises: DATABASE_GONE.
        """
        registry = self._services.registry
        for message in changes:
            if is_message(message):
                self._broadcast(message)
        wanted = [(change, found) for change in changes if (found := registry.interested(change))]
        if not wanted:
            return
        async with self._services.pool.acquire() as connection:
            for start in range(0, len(wanted), BATCH):
                await self._deliver(connection, wanted[start : start + BATCH])

    def _broadcast(self, message: Change) -> None:
        found = sent(message)
        if found is None or self._services.faults.realtime_muted:
            return
        room, broadcast = found
        for member in self._services.registry.members(room):
            self._services.faults.pass_on(room.topic, partial(member.deliver_broadcast, broadcast))

    async def _deliver(self, connection: Connection, wanted: list[Wanted]) -> None:
        oids = {change.relation.oid for change, _ in wanted}
        roles = {each.identity.role for _, subscriptions in wanted for each in subscriptions}
        tables = await load_tables(connection, oids, roles)
        judged = await _typed(connection, tables, wanted)
        try:
            answers = await _ask(connection, judged)
        except PolicyFailedError as error:
            log.warning("%d changes are lost to everybody: %s", len(judged), error)
            return
        if self._services.faults.realtime_muted:
            return
        if self._services.events.exceeded:
            log.warning("%d changes are lost: the project's rate of events is exceeded", len(judged))
            return
        for position, (known, subscriptions) in enumerate(judged):
            for group, data in verdicts(known, subscriptions, lambda each: _sees(answers, position, known, each)):  # noqa: B023
                self._send(known.change, group, data)

    def _send(self, change: Change, subscriptions: list[Subscription], data: str) -> None:
        by_channel: defaultdict[Subscriber, list[int]] = defaultdict(list)
        for each in subscriptions:
            by_channel[each.channel].insert(0, each.id)  # the real server lists the last binding first
        for channel, ids in by_channel.items():
            self._services.events.add()
            self._services.faults.pass_on(channel.topic, partial(channel.deliver_change, ids, change.kind, data))


async def _typed(connection: Connection, tables: dict[int, Table], wanted: list[Wanted]) -> list[Judged]:
    """The changes with their rows typed, in their order; those of a table that is gone are left out."""
    by_table: defaultdict[int, list[int]] = defaultdict(list)
    for position, (change, _) in enumerate(wanted):
        by_table[change.relation.oid].append(position)
    found: dict[int, Known] = {}
    for oid, positions in by_table.items():
        if oid not in tables:
            continue
        mine = [wanted[position] for position in positions]
        try:
            known = await _known(connection, tables[oid], mine)
        except DATABASE_GONE:
            raise
        except asyncpg.PostgresError as error:
            # For example a column whose type was changed since the row was written.
            log.warning("changes of %s cannot be shown: %s", tables[oid].sql, error)
            continue
        found |= dict(zip(positions, known, strict=True))
    return [(found[position], wanted[position][1]) for position in sorted(found)]


async def _known(connection: Connection, table: Table, wanted: list[Wanted]) -> list[Known]:
    rows: list[Row] = [row for change, _ in wanted for row in (change.new, change.old) if row]
    filters = {each.filters: None for _, subscriptions in wanted for each in subscriptions if each.filters}
    typed = iter(await type_rows(connection, table, rows, list(filters)))
    return [
        Known(change, table, next(typed) if change.new else NO_ROW, next(typed) if change.old else NO_ROW)
        for change, _ in wanted
    ]


async def _ask(connection: Connection, judged: Sequence[Judged]) -> Answers:
    """Ask row security about every row that someone might see."""
    questions: defaultdict[Asker, list[int]] = defaultdict(list)
    for position, (known, subscriptions) in enumerate(judged):
        if needs_row_security(known):
            for asker in {_asker(known, each) for each in subscriptions if _may_see(known, each)}:
                questions[asker].append(position)
    answers: Answers = {}
    for asker, positions in questions.items():
        _, role, claims = asker
        table = judged[positions[0]][0].table
        keys = [_key(judged[position][0]) for position in positions]
        seen = await visible_rows(connection, table, role, claims, keys)
        answers[asker] = dict(zip(positions, seen, strict=True))
    return answers


def _asker(known: Known, subscription: Subscription) -> Asker:
    return known.table.oid, subscription.identity.role, subscription.identity.claims


def _may_see(known: Known, subscription: Subscription) -> bool:
    return key_error(known, subscription.identity.role) is None and passes(known, subscription)


def _sees(answers: Answers, position: int, known: Known, subscription: Subscription) -> bool:
    return not needs_row_security(known) or answers[_asker(known, subscription)][position]


def _key(known: Known) -> tuple[str | None, ...]:
    row = {**known.change.old, **known.change.new}
    return tuple(row.get(column.name) for column in known.table.key)
