"""The generator of talking clips by InfiniteTalk: borrows a device, runs the program, hands its clip out.

Knows the contract and what the program is asked; does not know whose device it is, or what becomes of the clip.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import structlog

from handlers.infinitetalk.arguments import NAMES, Sound, arguments_of, read_sound, sizes_of, write_inputs
from handlers.infinitetalk.clip import read_clip
from handlers.infinitetalk.endings import failure_of, failure_of_system, words_of
from handlers.infinitetalk.files import Files, ModelCare
from handlers.infinitetalk.folder import run_folder, sweep
from handlers.infinitetalk.output import Output
from handlers.infinitetalk.own_devices import OwnDevices
from handlers.infinitetalk.program import run_program
from handlers.runtime.environment import engine_environment
from handlers.runtime.redaction import redact
from listener.contract import (
    IN_LINE,
    DeviceLender,
    EngineConfig,
    GeneratedClip,
    Generation,
    GenerationRequest,
    Generator,
    GeneratorConfig,
    GeneratorStatus,
    OnStep,
)
from listener.errors import ConfigError, ModelUnavailable, OutOfMemory, TimeLimit

NAME = "infinitetalk"
MODEL = "MeiGen-AI/InfiniteTalk"
LAST_LINES = 60

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Run:
    """One request on its way: what is asked, on which device, in which folder, until when."""

    request: GenerationRequest
    sound: Sound
    steps: int
    device: str
    folder: Path
    until_s: float
    on_step: OnStep
    notes: list[str] = field(default_factory=list)


class InfiniteTalkGenerator:
    """Makes clips with a program that is not ours, each in a process and a folder of its own."""

    def __init__(self, config: GeneratorConfig, engine: EngineConfig, files: Files | None = None) -> None:
        self._engine = engine
        self._command = _from_anywhere(engine.command)
        self._cache = Path(config.cache_dir) / NAME
        root = Path(config.weights_dir or Path(config.cache_dir) / "models")
        self._care = ModelCare(root, config.hub_token, download=engine.download, files=files)
        self._stack = AsyncExitStack()
        self._caring: asyncio.Task[None] | None = None
        own = config.devices or tuple(pipeline.device for pipeline in config.pipelines[:1]) or ("cuda",)
        self._lender: DeviceLender = OwnDevices(own)
        self._waiting = self._running = 0

    def lent_by(self, lender: DeviceLender | None) -> None:
        """Borrow from this from now on; None: its own devices are nobody else's."""
        if lender is not None:
            self._lender = lender

    def missing_files(self) -> tuple[str, ...]:
        """Say in words what model files it lacks, and where."""
        return self._care.missing()

    async def start(self) -> None:
        """Remove what a killed worker left, look for the model files, and begin to bring what is missing."""
        removed = await asyncio.to_thread(sweep, self._cache)
        if removed:
            log.warning("engine_folders_swept", engine=NAME, folders=removed)
        if not await self._care.look() and self._caring is None:
            group = await self._stack.enter_async_context(asyncio.TaskGroup())
            self._caring = group.create_task(self._care.care())

    async def close(self) -> None:
        """Bring no more files; no program outlives its request."""
        if self._caring is not None:
            self._caring.cancel()
        await self._stack.aclose()

    def status(self) -> GeneratorStatus:
        """Tell whether its program and its model files are there."""
        details = {NAME: {"model": MODEL, "waiting": self._waiting, "running": self._running}}
        obstacle = self._obstacle()
        return GeneratorStatus(not obstacle, obstacle or "ready", details)

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Generation:
        """Make the clip of one request, after those that wait for the same device.

        Raises: AttemptFailure.
        """
        if request.audio is None or not request.references:
            raise ModelUnavailable("InfiniteTalk makes clips alone, of a picture and its sound")
        if reason := self._obstacle():
            raise ModelUnavailable(reason)
        sound = await asyncio.to_thread(read_sound, request.audio)
        self._waiting += 1
        waits = True
        try:
            on_step(*IN_LINE)
            async with self._lender.exclusive(NAME) as device:
                self._waiting, waits = self._waiting - 1, False
                self._running += 1
                try:
                    return await self._make(request, sound, device, on_step)
                finally:
                    self._running -= 1
        finally:
            self._waiting -= waits

    def _obstacle(self) -> str:
        program, *rest = self._command
        if shutil.which(program) is None or (rest and rest[0].endswith(".py") and not Path(rest[0]).is_file()):
            return "what LISTENER_INFINITETALK_COMMAND names is not there, or cannot be run"
        return self._care.obstacle

    async def _make(self, request: GenerationRequest, sound: Sound, device: str, on_step: OnStep) -> Generation:
        loop = asyncio.get_running_loop()
        began_s, limit_s = loop.time(), self._engine.limit_s
        if request.time_left_s is not None:
            limit_s = min(limit_s, request.time_left_s)
        steps = request.steps or self._engine.steps
        on_step(0, sound.parts * steps)
        try:
            with run_folder(self._cache) as folder:
                run = _Run(request, sound, steps, device, folder, began_s + limit_s, on_step)
                clip = await self._clip(run)
        except OSError as error:
            raise failure_of_system(error) from error
        notes = (*run.notes, *_ignored(request))
        lasted_s = loop.time() - began_s
        guidance = request.guidance_scale
        return Generation((), MODEL, "InfiniteTalk", device, steps, guidance, lasted_s, notes, clip=clip)

    async def _clip(self, run: _Run) -> GeneratedClip:
        """Make it at the size that was asked for; where memory runs out, once more at the smaller one."""
        asked = await finished(write_inputs, run.folder, run.request, run.sound)
        first, *smaller = sizes_of(run.request)
        try:
            return await self._made(run, first, asked)
        except OutOfMemory:
            if not smaller:
                raise
        log.warning("engine_out_of_memory", engine=NAME, size=NAMES[first], again_at=NAMES[smaller[0]])
        run.notes.append(f"made at {NAMES[smaller[0]]} instead of {NAMES[first]} for lack of memory")
        return await self._made(run, smaller[0], asked)

    async def _made(self, run: _Run, size: str, asked: Path) -> GeneratedClip:
        """Run the program once. Raises: AttemptFailure, OSError."""
        place = run.folder / size
        place.mkdir()
        saved = place / "clip"
        frames = run.sound.frames
        arguments = arguments_of(run.request, self._care.models, run.steps, frames, size=size, asked=asked, clip=saved)
        command = (*self._command, *self._engine.arguments, *arguments)
        environment = engine_environment(run.device, run.folder, self._cache)
        output = Output(run.sound.parts, run.steps, run.on_step)
        left_s = run.until_s - asyncio.get_running_loop().time()
        try:
            code = await run_program(command, run.folder, environment, left_s, output)
        except TimeoutError:
            self._tell(run, size, "ended after its time", output)
            raise TimeLimit("InfiniteTalk took too long", details={"engine": NAME}) from None
        if code == 0:
            return await finished(read_clip, saved, run.request.seeds[0])
        self._tell(run, size, words_of(code), output)
        raise failure_of(code, output)

    def _tell(self, run: _Run, size: str, words: str, output: Output) -> None:
        """Log its last words, without what people wrote and without our folders."""
        text = output.tail.replace(str(run.folder), "RUN").replace("\r", "\n")
        lines = [line for line in text.split("\n") if line.strip()][-LAST_LINES:]
        tail = redact("\n".join(lines), (run.request.prompt, run.request.negative_prompt))
        log.error(
            "engine_failed", engine=NAME, size=NAMES[size], exit=words, printed_bytes=output.size_bytes, tail=tail
        )


async def finished(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call it in a thread, to its end even when nobody waits any more: its folder must not vanish under it."""
    work = asyncio.get_running_loop().run_in_executor(None, partial(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    finally:
        if not work.done():
            await asyncio.wait([work])


def infinitetalk_generator(config: GeneratorConfig) -> Generator:
    """The generator that an entry point names. Raises: ConfigError."""
    engine = config.engines.get(NAME)
    if engine is None:
        raise ConfigError("infinitetalk needs LISTENER_INFINITETALK_COMMAND")
    return InfiniteTalkGenerator(config, engine)


def _from_anywhere(command: Sequence[str]) -> tuple[str, ...]:
    """The command with whole paths where it names files: it runs in a folder of its own."""
    return tuple(str(Path(word).absolute()) if os.sep in word and Path(word).is_file() else word for word in command)


def _ignored(request: GenerationRequest) -> tuple[str, ...]:
    return ("negative_prompt is not used by infinitetalk",) if request.negative_prompt else ()
