"""`make bench`: every benchmark in turn, each printed beside what it is compared with."""

from __future__ import annotations

import asyncio

from bench.pickup import measure_pickup


async def main() -> None:
    """Run every benchmark."""
    await measure_pickup()


if __name__ == "__main__":
    asyncio.run(main())
