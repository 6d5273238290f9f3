"""A generator that a worker finds by its entry point: grey images at once, and faults that a test switches on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.support.worker import ROOT

CODE = """
import asyncio
from pathlib import Path

from listener.contract import GeneratedImage, Generation, GeneratorStatus
from listener.errors import RuntimeDied

FOLDER = Path(__file__).parent / "switches"


def switched(name):
    return (FOLDER / name).exists()


class Grey:
    def __init__(self, config):
        pass

    async def start(self):
        pass

    async def close(self):
        pass

    def status(self):
        memory = {"device_free_mib": float((FOLDER / "free_mib").read_text())} if switched("free_mib") else {}
        ready = not switched("loading") and not switched("sick")
        missing = {(FOLDER / "missing").read_text(): "no such model"} if switched("missing") else {}
        pipelines = {"headshot": "", "tryon": "", **missing}
        return GeneratorStatus(ready, "grey", {"memory": memory}, sick=switched("sick"), pipelines=pipelines)

    async def generate(self, request, on_step):
        while switched("hold") or switched("deaf"):
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                if not switched("deaf"):
                    raise
        if switched("dying"):
            raise RuntimeDied("the generation process was lost: killed")
        on_step(1, 1)
        images = tuple(GeneratedImage(b"\\x80" * (64 * 64 * 3), 64, 64, seed) for seed in request.seeds)
        return Generation(images, "grey", "Grey", "cpu", 1, None, 0.0)
"""


@dataclass(frozen=True)
class Grey:
    """The installed generator.

    Its switches: hold, deaf (ignores its cancellation), dying, loading, sick, free_mib, missing (a kind).
    """

    folder: Path

    @property
    def settings(self) -> dict[str, str]:
        """What a worker needs to use it."""
        return {"LISTENER_GENERATOR": "grey", "PYTHONPATH": f"{self.folder}:{ROOT}"}

    def on(self, name: str, text: str = "") -> None:
        """Switch on, or set a figure."""
        (self.folder / "switches" / name).write_text(text)

    def off(self, name: str) -> None:
        """Switch off."""
        (self.folder / "switches" / name).unlink()


def install(folder: Path) -> Grey:
    """Write it as an installed distribution would lie there."""
    (folder / "switches").mkdir(parents=True)
    (folder / "grey_generator.py").write_text(CODE)
    metadata = folder / "grey_generator-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: grey-generator\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text("[listener.generators]\ngrey = grey_generator:Grey\n")
    return Grey(folder)
