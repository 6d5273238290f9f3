"""What the notes of the recordings tell: what was done to the server, the database or the client at that moment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from tests.conformance.realtime_frames import Seen

if TYPE_CHECKING:
    from tests.conformance.realtime_player import Player

Act = Callable[["Player"], Awaitable[None]]
INSERT = "insert into generation_sessions (prompt) values ('not seen')"
TABLE = "public.generation_sessions"
RATE_ROWS, FLOOD_JOINS, CHANNELS = 62, 90, 98


def sql(text: str) -> Act:
    """Run SQL, and let it be noticed."""

    async def act(player: Player) -> None:
        await player.world.database.execute(text)
        await player.world.settled()

    return act


async def unseen(player: Player) -> None:
    """Write a row that nobody may see."""
    await player.world.database.execute(INSERT)
    for conn in player.world.sockets:
        await player.silent(conn)


async def slot_owner(player: Player) -> None:
    """End the backend that follows the log."""
    await player.world.terminate("realtime_rls")


async def all_backends(player: Player) -> None:
    """End every backend of the server."""
    await player.world.terminate("realtime_rls", "realtime_subscriptions")


async def crash(player: Player) -> None:
    """Restart PostgreSQL."""
    await player.world.restart_postgres()


async def cut(player: Player) -> None:
    """Take PostgreSQL away."""
    player.world.cable.cut()


async def mend(player: Player) -> None:
    """Give PostgreSQL back."""
    player.world.cable.mend()
    await player.world.settled()


async def forget(player: Player) -> None:
    """Stop the project's worker."""
    if player.world.server is not None:
        player.world.server.forget_subscriptions()


async def reload(player: Player) -> None:
    """Hang up on everybody; the answer is read later, so it is not waited for."""
    if player.world.server is not None:
        await player.world.server.disconnect_all()


async def ping(player: Player) -> None:
    """Ping for longer than a silent socket lives."""
    socket = player.world.sockets["idlep"]
    for _ in range(30):
        await socket.ping()
        await asyncio.sleep(player.world.limits.idle_s / 20)


async def stopped(player: Player) -> None:
    """The server goes, and the client sees it."""
    if player.label.endswith("(server closes with 1012)"):
        await player.closed_by_server("pyclient", 1012)
        return
    await player.world.stop()
    await player.closed_by_server("pyclient", 1012)


async def many_rows(player: Player) -> None:
    """The rows that the recording left out."""
    await player.world.database.execute(f"insert into {TABLE} (prompt) select n from generate_series(1, {RATE_ROWS}) n")
    for _ in range(RATE_ROWS):
        await player.next("rate")


async def too_many_rows(player: Player) -> None:
    """Rows above the rate are lost, until the window has passed."""
    await unseen(player)
    player.world.clock.now_s += player.world.limits.window_s + 1


async def many_channels(player: Player) -> None:
    """The joins that the recording left out: up to the one whose answer comes next."""
    for number in range(5, CHANNELS):
        await player.world.sockets["chan"].send_str(_join(f"ch{number}", number + 1))
    for _ in range(5, CHANNELS - 1):
        await _joined(player, "chan")


async def many_joins(player: Player) -> None:
    """The flood that the recording left out, all at once, and the join that is answered last."""
    conns = [conn for conn in player.world.sockets if conn.startswith("fl")]
    for number in range(3, FLOOD_JOINS):
        for conn in conns:
            await player.world.sockets[conn].send_str(_join(f"f{number}", number + 1))
    for conn in conns:
        for _ in range(player.unanswered[conn] + FLOOD_JOINS - 3):
            await _joined(player, conn)
    await player.world.sockets["fl1"].send_str(_join("last", FLOOD_JOINS + 1))


async def _joined(player: Player, conn: str) -> None:
    got = await player.next(conn)
    if got.payload["status"] != "ok":
        player.differences.append(f"{conn}: {got.shape}")


def _join(name: str, number: int) -> str:
    payload: dict[str, Any] = {"config": {"postgres_changes": []}}
    ref = str(number)
    frame = {"topic": f"realtime:{name}", "event": "phx_join", "payload": payload, "ref": ref, "join_ref": ref}
    return json.dumps(frame)


REVOKE = "revoke select on private_sessions from anon"
COLUMNS = """
grant select on private_sessions to anon;
revoke select on private_sessions from authenticated;
grant select (id, user_id, status) on private_sessions to authenticated"""
POISON = f"""
alter table {TABLE} enable row level security;
create policy fine on {TABLE} for select to anon using (true);
create policy broken on {TABLE} for select to authenticated using ((1 / 0) = 1)"""
CURED = f"""
alter table {TABLE} disable row level security; drop policy fine on {TABLE}; drop policy broken on {TABLE}"""
OFFLINE = """select realtime.send('{"id": 2, "while": "offline"}', 'INSERT', 'jobs', true)"""

NOTES: dict[str, dict[str, Act]] = {
    "rls": {
        "revoke select": sql(REVOKE),
        "column privilege": sql(COLUMNS),
        "table without": sql("alter publication supabase_realtime add table nopk"),
    },
    "access_token-refresh-errors": {"sb_ key": sql("alter publication supabase_realtime add table nopk")},
    "broadcast-from-database + replay": {"bfd closed": sql(OFFLINE)},
    "http-api": {"admin: reload": reload},
    "idle: only websocket ping frames (no phoenix heartbeat)": {"after 90 s": ping},
    "slot-loss: backend that owns the temporary slot is terminated": {"terminated": slot_owner},
    "subscription manager backends terminated (conn of the CDC workers)": {"terminated": all_backends},
    "postgres crash restart (-m immediate) under a live subscription": {"postgres restarted": crash},
    "postgres outage of 75 s under a live subscription": {"postgres stopped": cut, "postgres started": mend},
    "postgres fast shutdown while realtime is attached": {"pg_ctl": cut},
    "CDC worker of the tenant stopped (what a region rebalance or 6 failed retries do)": {
        "worker stopped": forget,
        "after worker stop": unseen,
    },
    "CDC worker stopped; the client pushes a fresh access_token": {"worker stopped": forget},
    "poison: an RLS policy of one subscribed role raises an error": {
        "policy in place": sql(POISON),
        "good subscriber": unseen,
        "policy dropped": sql(CURED),
    },
    "publication: table removed and re-added while subscribed": {
        "re-added": sql(f"alter publication supabase_realtime add table {TABLE}"),
        "events back": unseen,
    },
    "rate-limit: 30000 row inserts in bursts, tenant max_events_per_second=100 (avg over 60 s buckets)": {
        "... ": many_rows,
        "sent 15000": too_many_rows,
    },
    "too many channels per connection (max_channels_per_client=100)": {"... ": many_channels},
    "join flood (max_joins_per_second=100)": {"... ": many_joins},
    "python-client: tenant reload (server closes with 1012)": {"ERROR WebSocket connection closed": stopped},
    "python-client: realtime down for 3 s": {"ERROR WebSocket connection closed": stopped},
    "python-client: realtime down for 25 s": {"ERROR WebSocket connection closed": stopped},
}


async def cause_of(player: Player, expected: Seen) -> bool:
    """Do what a frame tells of that is no row; False when there is nothing of the kind."""
    database = player.world.database
    change = expected.change
    if change is not None and change["errors"] and change["commit_timestamp"] is None:
        return await _withheld(player, change)
    payload = expected.payload
    if expected.event == "system" and payload["message"].startswith("Server requested disconnect"):
        if player.is_python:
            await reload(player)
    elif expected.event == "system" and player.label.startswith("publication:") and payload["status"] == "error":
        await database.execute(f"alter publication supabase_realtime drop table {TABLE}")
    elif expected.event in {"broadcast", "binary broadcast"} and "replayed" not in payload.get("meta", {}):
        await _spoken(player, expected)
    return False


async def _withheld(player: Player, change: dict[str, Any]) -> bool:
    """A frame that tells nothing of its row: it is the same row as the next ones', or one of a table of its own."""
    database = player.world.database
    if change["table"] == "nopk":
        await database.execute("insert into nopk values (1, 'a')")
        player.caused.add("nopk")
        return True
    if player.is_python:
        await database.execute(REVOKE)
        await database.execute("insert into private_sessions (user_id) values (gen_random_uuid())")
        return True
    return False


async def _spoken(player: Player, expected: Seen) -> None:
    """A broadcast that no client has sent: from SQL, or over HTTP."""
    meta = expected.payload.get("meta")
    if meta:
        body = expected.payload["payload"]
        text = body if isinstance(body, str) else json.dumps(body)
        await player.world.database.execute(
            "select realtime.send($1, $2, 'jobs', true)", text, expected.payload["event"]
        )
        return
    for at in range(player.at, len(player.lines)):
        line = player.lines[at]
        if line.dir == "http" and "POST" in line.frame and "-> 202" in line.frame and at not in player.posted:
            player.posted[at] = await player.request(line)
            return
