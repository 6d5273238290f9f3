"""`make soak`: a long storm of kills, freezes and crashes on a stack of its own, and whether every promise held.

Prints one paragraph; the exit status is 0 only when no promise was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import asyncpg

from devstack.stack import open_stack
from tests.faults.app import App
from tests.faults.crew import open_crew
from tests.faults.promises import expect_promises
from tests.faults.storm import STEPS, Storm

ENDS_WITHIN_S = 120.0


async def soak(kills: int, seed: int) -> bool:
    """One storm.

    Raises: AssertionError for a broken promise.
    """
    with tempfile.TemporaryDirectory(prefix="listener-soak-") as folder:
        async with open_stack() as stack, open_crew(stack, Path(folder)) as crew:
            async with asyncpg.create_pool(stack.database_url, min_size=1, max_size=8) as pool:
                app = App(pool, seed)
                await app.fund(1_000_000)
                report = await Storm(crew, app, seed).rage(kills, with_outages=True)
                await app.until_all_ended(ENDS_WITHIN_S)
                await crew.dismiss()
                print(report)
            await expect_promises(stack)
    unreached = sorted(set(STEPS) - set(report.kills))
    print("no promise was broken" if not unreached else f"never reached: {unreached}")
    return not unreached


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    asked = parser.parse_args()
    sys.exit(not asyncio.run(soak(asked.kills, asked.seed)))
