"""Makes the clip of one order: segments, steps, cancellation, memory; its file is coded beside.

Knows torch and PyAV. Does not know sockets; it is called on the one thread that owns the device.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from PIL import Image

from handlers.runtime.arguments import decode_references, ignored
from handlers.runtime.failures import RefusedError, StoppedError, describe
from handlers.runtime.film import Film
from handlers.runtime.ladder import Ladder
from handlers.runtime.loaded import Loaded
from handlers.runtime.memory import free_memory
from handlers.runtime.messages import Done, Failed, Generate
from handlers.runtime.pictures import to_pixels
from handlers.runtime.sound import Sound, read_sound
from handlers.runtime.speaking import Segment, Speech, segments, speak


@dataclass(frozen=True, slots=True)
class Filmed:
    """What an order came to before its file is closed."""

    facts: dict[str, Any]
    film: Film

    def to_message(self, run: int) -> Done | Failed:
        """Wait for the file and make the answer; not to be called on the device's thread."""
        try:
            mp4 = self.film.finish()
        except Exception as error:  # noqa: BLE001 whatever the coder raises fails this run and no other
            return Failed(
                run, "generation_failed", f"the clip could not be coded: {type(error).__name__}", {}, repr(error)
            )
        return Done(run, {**self.facts, "size_bytes": len(mp4)}, (mp4,))


class Audience(Protocol):
    """Who hears how a clip is doing, and says whether it is given up."""

    def step(self, run: int, done: int, total: int, /) -> None: ...
    def is_cancelled(self, run: int, /) -> bool: ...
    def leave(self, run: int, ended: Filmed | Failed, /) -> None: ...


@dataclass(slots=True)
class Filming:
    """One order for a clip on its way through a pipeline."""

    loaded: Loaded
    order: Generate
    audience: Audience
    _told: int = 0
    _ran_out: int = 0
    _notes: list[str] = field(default_factory=list)

    def complete(self) -> None:
        """Bring the order to its end. Raises: FatalDeviceError."""
        run, started = self.order.run, time.monotonic()
        try:
            picture, sound = self._inputs()
        except RefusedError as error:
            self.audience.leave(run, Failed(run, error.code, str(error), {}))
            return
        ladder = Ladder.for_clip(self.loaded, self.order.width, self.order.height)
        try:
            while (made := self._try(picture, sound, ladder)) is None:
                pass
        finally:
            ladder.restore()
        if isinstance(made, Film):
            self.audience.leave(run, Filmed(self._facts(ladder, sound, time.monotonic() - started), made))
        else:
            details = {**made.details, **self._counted()}
            self.audience.leave(run, Failed(run, made.code, made.message, details, made.trace))

    def _inputs(self) -> tuple[Image.Image, Sound]:
        order = self.order
        if len(order.seeds) != 1 or len(order.pictures) != 1 or order.sound is None:
            raise RefusedError("invalid_params", "a clip is made of one picture, one sound and one seed")
        if order.width % 2 or order.height % 2:
            raise RefusedError(
                "invalid_params", f"width and height of a clip are even, not {order.width}x{order.height}"
            )
        self._notes += ignored(self.loaded, order)
        (picture,) = decode_references(order.pictures)
        return picture, read_sound(order.sound, self.loaded.pipe.audio_sampling_rate)

    def _try(self, picture: Image.Image, sound: Sound, ladder: Ladder) -> Film | Failed | None:
        """Make the clip at the size that is left; None: memory ran out, and there is something to try yet."""
        film = Film(ladder.width, ladder.height, self.loaded.clip_fps, sound)
        failed = self._draw(picture, sound, film, ladder)
        if failed is None:
            return film
        film.end()
        self.loaded.pipe.maybe_free_model_hooks()
        if failed.code == "cancelled":
            return failed
        free_memory()
        if failed.code != "out_of_memory":
            return failed
        self._ran_out += 1
        return None if ladder.climb() else failed

    def _draw(self, picture: Image.Image, sound: Sound, film: Film, ladder: Ladder) -> Failed | None:
        """Draw every segment; what went wrong comes back as a value, so that its tensors are free to go."""
        try:
            self._say(picture, sound, film, ladder)
        except StoppedError:
            return Failed(self.order.run, "cancelled", "cancelled between two steps", {})
        except Exception as error:  # noqa: BLE001 the classes are diffusers', torch's and the driver's
            return describe(error, self.loaded, self.order, self.order.texts)
        return None

    def _say(self, picture: Image.Image, sound: Sound, film: Film, ladder: Ladder) -> None:
        frames = self._frames(sound)
        parts = list(segments(frames, self.loaded.clip_frames_max))
        canvas = [_up(side, self.loaded.side_multiple_px) for side in (ladder.width, ladder.height)]
        speech = Speech(self.order.prompt, sound.waveform, canvas[0], canvas[1], self._steps, self.order.seeds[0])
        self._step(len(parts), 0, 0)
        for number, part in enumerate(parts):
            done = number * self._steps
            drawn = speak(self.loaded, speech, part, picture, partial(self._step, len(parts), done))
            pixels = to_pixels(drawn)
            del drawn
            picture = Image.fromarray(pixels[-1].numpy())
            self._step(len(parts), done, self._steps)
            film.add(_kept(pixels, part, frames, ladder.width, ladder.height))

    @property
    def _steps(self) -> int:
        return self.order.steps or self.loaded.steps

    def _frames(self, sound: Sound) -> int:
        return max(1, round(sound.duration_s * self.loaded.clip_fps))

    def _step(self, parts: int, done: int, step: int) -> None:
        """Tell how far it is, never less than before, and stop where nobody waits any more."""
        if self.audience.is_cancelled(self.order.run):
            raise StoppedError
        self._told = max(self._told, done + step)
        self.audience.step(self.order.run, self._told, parts * self._steps)

    def _facts(self, ladder: Ladder, sound: Sound, took_s: float) -> dict[str, Any]:
        frames = self._frames(sound)
        return {
            "model": self.loaded.model,
            "pipeline_class": self.loaded.name,
            "device": self.loaded.device,
            "width": ladder.width,
            "height": ladder.height,
            "steps": self._steps,
            "guidance_scale": None,
            "notes": [*self._notes, *ladder.notes],
            "duration_s": round(took_s, 4),
            "clip_s": round(frames / self.loaded.clip_fps, 4),
            "fps": self.loaded.clip_fps,
            "frames": frames,
            "segments": len(list(segments(frames, self.loaded.clip_frames_max))),
            "ladder": list(ladder.taken),
            **self._counted(),
        }

    def _counted(self) -> dict[str, int]:
        return {"ran_out": self._ran_out} if self._ran_out else {}


def _kept(pixels: Any, part: Segment, frames: int, width: int, height: int) -> Any:
    """What of a segment is kept: the middle; not the picture that it began with, and nothing beyond the sound."""
    begin = 0 if part.first == 0 else 1
    top, left = (pixels.shape[1] - height) // 2, (pixels.shape[2] - width) // 2
    return pixels[begin : frames - part.first, top : top + height, left : left + width].contiguous()


def _up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple
