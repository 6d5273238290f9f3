"""When the next insert comes: at random, so that nobody's clock is met or missed by habit."""

from __future__ import annotations

import asyncio
import random


async def pause(longest_s: float = 0.3) -> None:
    """Wait a random while."""
    await asyncio.sleep(random.uniform(0.02, longest_s))
