"""Plays the recorded Realtime scenarios: sends the client's frames, causes what had happened, compares the answers."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg

from devstack.live.limits import Limits
from devstack.stack import Stack
from tests.conformance.realtime_causes import FRESH, TABLES
from tests.conformance.realtime_frames import Comparison
from tests.conformance.realtime_player import Player
from tests.conformance.realtime_world import World, opened
from tests.conformance.recording import scenarios
from tests.conformance.report import Case

SETTINGS: dict[str, tuple[Limits, float]] = {
    "rls": (Limits(publication_check_s=0.1), 0),
    "access_token-refresh-errors": (Limits(publication_check_s=0.1), 0),
    "publication: table removed and re-added while subscribed": (Limits(publication_check_s=0.1), 0),
    "idle: no heartbeat and no ping from the client": (Limits(idle_s=10), 0),
    "idle: only websocket ping frames (no phoenix heartbeat)": (Limits(idle_s=4), 0),
    "realtime server restart (SIGTERM)": (Limits(), 1),
    # 64 rows within a minute instead of 6,000.
    "rate-limit: 30000 row inserts in bursts, tenant max_events_per_second=100 (avg over 60 s buckets)": (
        Limits(events_per_s=1, window_s=64),
        0,
    ),
}
CONTINUES = {"subscription-errors (system messages)"}
"""Scenarios that go on with the sockets of the one before."""


async def play(stack: Stack, recordings: Path) -> list[Case]:
    """Play every scenario, each with a server of its own on the stack's database."""
    database = await asyncpg.connect(stack.admin_url)
    await database.execute((recordings / "realtime_tables.sql").read_text(encoding="utf-8"))
    await database.execute(TABLES)
    await database.close()
    cases: list[Case] = []
    async with AsyncExitStack() as resources:
        world: World | None = None
        for scenario in scenarios(recordings):
            if world is None or scenario.label not in CONTINUES:
                await resources.aclose()
                limits, delay_s = SETTINGS.get(scenario.label, (Limits(), 0))
                world = await resources.enter_async_context(opened(stack, limits, delay_s, FRESH))
                comparison = Comparison()
            player = Player(world, scenario, comparison)
            await player.play()
            cases.append(Case.compared(scenario.label, player.differences))
    return cases
