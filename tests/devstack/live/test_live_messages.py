"""The days' partitions of realtime.messages."""

from __future__ import annotations

from datetime import date
from typing import Any

from devstack.live.stored import keep_partitions

NAMES = """
select array_agg(inhrelid::regclass::text order by 1) from pg_inherits
where inhparent = 'realtime.messages'::regclass"""


async def test_the_next_days_have_partitions_and_old_days_are_dropped(connection: Any) -> None:
    await keep_partitions(connection, date(2026, 12, 30))
    days = ["2026_12_29", "2026_12_30", "2026_12_31", "2027_01_01"]
    assert await connection.fetchval(NAMES) == [f"realtime.messages_{day}" for day in days]
    await keep_partitions(connection, date(2027, 1, 3))
    days = ["2026_12_31", "2027_01_01", "2027_01_02", "2027_01_03", "2027_01_04", "2027_01_05"]
    assert await connection.fetchval(NAMES) == [f"realtime.messages_{day}" for day in days]


async def test_a_message_without_its_days_partition_is_lost_with_a_warning(connection: Any) -> None:
    warnings: list[str] = []
    connection.add_log_listener(lambda _connection, message: warnings.append(message.message))
    await connection.execute("select realtime.send('{}', 'e', 't', true)")
    assert warnings[0].startswith('WarnSendingBroadcastMessage: no partition of relation "messages"')
