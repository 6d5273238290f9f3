"""Asks the policies on realtime.messages what somebody may do on a private channel; nothing that is asked is kept.

Reading: a message of the channel is inserted, looked for in the caller's place, and rolled back. Writing: the caller
inserts one. Knows nothing of sockets.
Source: supabase/realtime lib/realtime/tenants/authorization.ex.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import asyncpg

from devstack.changes.capture import DATABASE_GONE, Connection
from devstack.live.admission import MAY_BE
from devstack.live.identity import Identity

log = logging.getLogger(__name__)

Extension = Literal["broadcast", "presence"]

INSERT = "insert into realtime.messages (topic, extension) values ($1, $2)"
BECOME = """
select set_config('role', $1, true), set_config('realtime.topic', $2, true),
       set_config('request.jwt.claims', $3, true), set_config('request.headers', $4, true),
       set_config('request.jwt.claim.role', $1, true), set_config('request.jwt.claim.sub', $5, true)
"""
PROBE = "insert into realtime.messages (topic, extension) values ($1, $2) returning id"
SEEN = "select true from realtime.messages where topic = $1 and extension = $2 and id = $3"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks about which channel; `headers` are those of the request that opened the socket."""

    topic: str
    identity: Identity
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reading:
    """What may be heard."""

    broadcast: bool
    presence: bool


async def may_read(connection: Connection, asker: Asker) -> Reading:
    """Tell what the caller may hear; a policy that raises forbids.

    Raises: DATABASE_GONE.
    """
    broadcast, presence = [await _sees(connection, asker, kind) for kind in ("broadcast", "presence")]
    return Reading(broadcast, presence)


async def may_write(connection: Connection, asker: Asker, extension: Extension) -> bool:
    """Tell whether the caller may send; a policy that raises forbids.

    Raises: DATABASE_GONE.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        await _become(connection, asker)
        await connection.execute(INSERT, asker.topic, extension)
    except DATABASE_GONE:
        raise
    except asyncpg.InsufficientPrivilegeError:
        return False
    except asyncpg.PostgresError as error:
        log.warning("a policy on realtime.messages failed for %s: %s", asker.identity.role, error)
        return False
    else:
        return True
    finally:
        await _undo(connection, transaction)


async def _sees(connection: Connection, asker: Asker, extension: Extension) -> bool:
    transaction = connection.transaction()
    await transaction.start()
    try:
        message = await connection.fetchval(PROBE, asker.topic, extension)
        await _become(connection, asker)
        return bool(await connection.fetchval(SEEN, asker.topic, extension, message))
    except DATABASE_GONE:
        raise
    except asyncpg.PostgresError as error:
        log.warning("a policy on realtime.messages failed for %s: %s", asker.identity.role, error)
        return False
    finally:
        await _undo(connection, transaction)


async def _become(connection: Connection, asker: Asker) -> None:
    identity = asker.identity
    if not await connection.fetchval(MAY_BE, identity.role):
        raise asyncpg.InsufficientPrivilegeError(f'permission denied to set role "{identity.role}"')
    subject = json.loads(identity.claims).get("sub")
    headers = json.dumps(dict(asker.headers))
    await connection.execute(
        BECOME, identity.role, asker.topic, identity.claims, headers, subject if isinstance(subject, str) else ""
    )


async def _undo(connection: Connection, transaction: asyncpg.transaction.Transaction) -> None:
    if not connection.is_closed():
        await transaction.rollback()
