"""Which subscriptions of a change get what: row, refusal or nothing. Pure: the database was asked before.

Source: realtime.apply_rls.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from devstack.live.payload import NO_KEY, UNAUTHORIZED, Known, change_data, error_data
from devstack.live.registry import Subscription
from devstack.live.tables import Column

# True: the row is visible now.
Sees = Callable[[Subscription], bool]
Verdict = tuple[list[Subscription], str]


def verdicts(known: Known, subscriptions: Iterable[Subscription], sees: Sees) -> Iterator[Verdict]:
    """Yield the data of a change with the subscriptions that get it."""
    by_role: defaultdict[str, list[Subscription]] = defaultdict(list)
    for each in subscriptions:
        by_role[each.identity.role].append(each)
    for role, mine in sorted(by_role.items()):
        error = key_error(known, role)
        if error:
            yield from ((group, error_data(known.change, error)) for _, group in _by_select(mine))
            continue
        for select, group in _by_select(each for each in mine if passes(known, each) and sees(each)):
            yield group, change_data(known, _columns(known, role, select))


def key_error(known: Known, role: str) -> str | None:
    """Why a role is told nothing of the row; a deletion is always told."""
    if known.change.kind == "DELETE":
        return None
    if not known.table.key:
        return NO_KEY
    return None if all(role in column.readers for column in known.table.key) else UNAUTHORIZED


def passes(known: Known, subscription: Subscription) -> bool:
    """True when the new row, or the old row of a deletion, fits the filter."""
    row = known.old if known.change.kind == "DELETE" else known.new
    return not subscription.filters or subscription.filters in row.passes


def needs_row_security(known: Known) -> bool:
    """True when it is the row's policies that decide; they cannot be asked about a deleted row."""
    return known.table.has_row_security and known.change.kind != "DELETE"


def _by_select(subscriptions: Iterable[Subscription]) -> list[tuple[tuple[str, ...] | None, list[Subscription]]]:
    groups: defaultdict[tuple[str, ...] | None, list[Subscription]] = defaultdict(list)
    for each in subscriptions:
        groups[each.select].append(each)
    return list(groups.items())


def _columns(known: Known, role: str, select: tuple[str, ...] | None) -> tuple[Column, ...]:
    readable = known.table.readable(role)
    return tuple(each for each in readable if select is None or each.name in select or each.is_key)
