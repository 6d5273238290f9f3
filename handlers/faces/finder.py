"""The face process as the daemon sees it. Knows its module and its messages; dlib stays in the child."""

from __future__ import annotations

from importlib.util import find_spec

from handlers.detectors.process import DetectorProcess
from handlers.faces.likeness import Face, face_of
from listener.contract import EndpointStatus

MODULE = "handlers.faces.embedder"
NEEDED = ("dlib", "face_recognition_models")


def is_installed() -> bool:
    """Whether faces can be told apart here: both come with the extra `faces`."""
    return all(find_spec(name) is not None for name in NEEDED)


class FaceFinder:
    """Finds the largest face of a picture, one picture at a time."""

    def __init__(self, module: str = MODULE) -> None:
        self._process = DetectorProcess("face", module, face_of)

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return self._process.pid

    def status(self) -> EndpointStatus:
        """Tell whether faces can be found."""
        return self._process.status()

    async def find(self, rgb: bytes, width: int, height: int) -> Face | None:
        """Embed a face; None when there is none.

        Shapes: rgb is height * width * 3 bytes, row by row.
        Raises: ModelUnavailable, TimeLimit, RuntimeDied: the process cannot tell.
        """
        return await self._process.find(width.to_bytes(4) + height.to_bytes(4) + rgb)

    async def close(self) -> None:
        """End the process."""
        await self._process.close()
