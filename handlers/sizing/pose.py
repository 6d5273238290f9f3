"""The pose process as the daemon sees it. Knows its module and what it may know of the world."""

from __future__ import annotations

from pathlib import Path

from handlers.detectors.process import DetectorProcess
from handlers.sizing.person import Person, person_of

MODULE = "handlers.sizing.finder"


class PoseProcess(DetectorProcess[Person]):
    """Finds one person at a time; MediaPipe's 250 MiB stay in the child."""

    def __init__(self, cache_dir: str, module: str = MODULE) -> None:
        # Matplotlib, which MediaPipe imports, keeps its list of fonts there.
        fonts = str(Path(cache_dir) / "matplotlib")
        super().__init__("pose", module, person_of, {"MPLBACKEND": "agg", "MPLCONFIGDIR": fonts})
