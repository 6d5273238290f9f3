"""What tests of talking clips need: a picture, a sound, a generator whose program is the stand-in, and who is left."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import wave
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psutil
from PIL import Image

from handlers.infinitetalk.files import REPOSITORIES
from handlers.infinitetalk.generator import InfiniteTalkGenerator, infinitetalk_generator
from listener.contract import EngineConfig, Generation, GenerationRequest, GeneratorConfig

STAND_IN = Path(__file__).parents[1] / "support" / "infinitetalk.py"
COLOUR = (200, 40, 60)


def picture(width: int = 160, height: int = 90, kind: str = "PNG") -> bytes:
    """One colour."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), COLOUR).save(file, kind)
    return file.getvalue()


def sound(lasting_s: float = 1.0, rate_hz: int = 16000, channels: int = 1) -> bytes:
    """A tone."""
    tone = 8000 * np.sin(2 * np.pi * 220 * np.arange(round(lasting_s * rate_hz)) / rate_hz)
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setparams((channels, 2, rate_hz, 0, "NONE", ""))
        made.writeframes(np.repeat(tone.astype("<i2"), channels).tobytes())
    return file.getvalue()


@dataclass
class Studio:
    """A generator, shorthands for asking it, and what its program told of itself."""

    root: Path
    steps: list[tuple[int, int]] = field(default_factory=list)
    generator: InfiniteTalkGenerator = field(init=False)
    started: list[InfiniteTalkGenerator] = field(default_factory=list)

    def build(self, *words: str, limit_s: float = 30.0, steps: int = 3, **config: Any) -> InfiniteTalkGenerator:
        """Have the stand-in behave in these ways."""
        engine = self.engine(*words, limit_s=limit_s, steps=steps)
        whole = {"pipelines": (), "cache_dir": str(self.root / "cache"), "weights_dir": str(self.root / "models")}
        built = infinitetalk_generator(GeneratorConfig(**{**whole, "engines": {"infinitetalk": engine}, **config}))
        assert isinstance(built, InfiniteTalkGenerator)
        self.generator = built
        return built

    def engine(
        self,
        *words: str,
        command: tuple[str, ...] = (sys.executable, str(STAND_IN)),
        limit_s: float = 30.0,
        steps: int = 3,
    ) -> EngineConfig:
        """How the stand-in is run."""
        arguments = ("--scale", "0.1", "--tell", str(self.told_at), "--stand_in", ",".join(words))
        return EngineConfig(command, arguments, steps=steps, limit_s=limit_s, download=False)

    def put_models(self) -> None:
        """A file in the place of each that the program needs; the stand-in reads none."""
        for repository in REPOSITORIES:
            for name in repository.files:
                file = self.root / "models" / repository.folder / name.replace("*", "some.json")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()

    async def start(self) -> None:
        """Start the generator, unless it is."""
        if self.generator not in self.started:
            self.put_models()
            self.started.append(self.generator)
            await self.generator.start()

    async def clip(self, **fields: Any) -> Generation:
        """Ask for a clip of 720p."""
        asked: dict[str, Any] = {"prompt": "a person speaks", "seeds": (7,), "width": 1280, "height": 720}
        asked |= {"references": (picture(),), "audio": sound()} | fields
        await self.start()
        return await self.generator.generate(GenerationRequest("avatar", uuid4(), **asked), self._heard)

    def _heard(self, done: int, total: int) -> None:
        self.steps.append((done, total))

    @property
    def told_at(self) -> Path:
        """Where the stand-in tells how it was run."""
        return self.root / "told"

    @property
    def told(self) -> list[dict[str, Any]]:
        """How it was run, one for each time."""
        return [json.loads(line) for line in self.told_at.read_text().splitlines()] if self.told_at.exists() else []

    @property
    def folders(self) -> list[Path]:
        """What lies where its files are."""
        place = self.root / "cache" / "infinitetalk"
        return sorted(place.iterdir()) if place.exists() else []

    def alive(self) -> list[int]:
        """Processes of every run, whatever session they are in."""
        known = {pid for one in self.told for pid in (one["pid"], one["grandchild"]) if pid}
        return [one.pid for one in psutil.process_iter() if one.pid in known or self._is_ours(one)]

    def _is_ours(self, one: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return any(str(self.root) in word for word in one.cmdline()) and one.status() != psutil.STATUS_ZOMBIE
        return False

    def require_nothing_left(self) -> None:
        """No process, no file."""
        assert self.alive() == []
        assert self.folders == []


async def until(seen: Callable[[], object], within_s: float = 20.0) -> None:
    """Wait until something shows."""
    async with asyncio.timeout(within_s):
        while not seen():
            await asyncio.sleep(0.01)
