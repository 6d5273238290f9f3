"""One owner's newest rows of a table, as PostgREST is asked for them.

Knows filters and orders; does not know in whose name they are sent.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from listener.api import OwnedTable, Slice

CREATED_AT = "created_at"


def sliced(rows: Any, table: OwnedTable, owner: UUID, wanted: Slice) -> Any:
    """The request for a slice of a table's `rows`, which an index over (owner, created_at desc) answers."""
    builder = rows.select(",".join(f'"{name}"' for name in wanted.columns)).eq(table.owner_column, str(owner))
    if wanted.status is not None:
        builder = builder.eq(table.columns["status"], wanted.status)
    if (below := wanted.below) is None:
        builder = builder.not_.is_(CREATED_AT, None)  # in an adopted table it may be null, and would come first
    else:
        at = below.created_at.isoformat()
        # The first condition is the index's: it begins to read there. The second leaves out the moment's other rows.
        older = f'{CREATED_AT}.lt."{at}",{table.id_column}.lt.{below.id}'
        builder = builder.lte(CREATED_AT, at).or_(older)
    return builder.order(CREATED_AT, desc=True).order(table.id_column, desc=True).limit(wanted.most)
