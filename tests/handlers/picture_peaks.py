"""A script: reads each bomb with read_picture and prints what came of it and the memory that it took, as JSON.

In a process of its own, because a peak never goes down again. Units: MiB.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path

from handlers.inputs import pictures
from listener.errors import InputUnavailable


def peaks() -> tuple[float, float]:
    return tuple(resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


async def main(folder: Path) -> None:
    pictures.CPU_S = 1  # what takes longer than that takes for ever
    await pictures.read_picture((folder / "harmless").read_bytes())
    before = peaks()
    outcomes = {}
    for path in sorted(folder.glob("bomb_*")):
        try:
            made = await pictures.read_picture(path.read_bytes())
            outcomes[path.name] = f"{made.width} x {made.height}"
        except InputUnavailable as error:
            outcomes[path.name] = error.details["problem"]
    own, child = (after - at for at, after in zip(before, peaks(), strict=True))
    print(json.dumps({"outcomes": outcomes, "own_mib": own, "child_mib": child}))


asyncio.run(main(Path(sys.argv[1])))
