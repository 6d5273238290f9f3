"""What the program is asked: its command line, its input file, its sizes, and the sound as it can take it.

Knows InfiniteTalk's `generate_infinitetalk.py`, whose arguments these are; knows no process.
"""

from __future__ import annotations

import io
import json
import math
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from listener.contract import GenerationRequest
from listener.errors import InputUnavailable

FPS = 25
PART_FRAMES = 81
MOTION_FRAMES = 9
"""Frames of the part before with which the next one begins."""
SHORTEST_FRAMES = PART_FRAMES + MOTION_FRAMES
"""Sound that is not longer than one part is refused by the program; silence is put after it, and cut off again."""
SPARE_FRAMES = 2
LARGE, SMALL = "infinitetalk-720", "infinitetalk-480"
NAMES = {LARGE: "720p", SMALL: "480p"}
SMALL_AREA_PX = 784 * 784
"""Between the areas of the two, 640 x 640 and 960 x 960."""
SEEDS = 2**32
"""Its seed goes to numpy too, which takes no larger one."""
SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp"}


@dataclass(frozen=True, slots=True)
class Models:
    """The folders and the file of weights that it is given."""

    checkpoint: Path
    sound: Path
    weights: Path


@dataclass(frozen=True, slots=True)
class Sound:
    """The sound with the silence after it; `frames` is how many it lasts without."""

    wav: bytes
    frames: int

    @property
    def parts(self) -> int:
        """How many parts the program makes, each with a bar of its own."""
        if self.frames <= PART_FRAMES:
            return 1
        return 1 + max(1, math.ceil((self.frames - PART_FRAMES) / (PART_FRAMES - MOTION_FRAMES)))


def read_sound(audio: bytes) -> Sound:
    """Take a WAV, so that the clip lasts as long as all of it. Raises: InputUnavailable."""
    try:
        with wave.open(io.BytesIO(audio)) as given:
            shape, samples = given.getparams(), given.readframes(given.getnframes())
    except (wave.Error, EOFError) as error:
        raise InputUnavailable("the sound is no WAV", details={"field": "audio"}) from error
    count = len(samples) // (shape.nchannels * shape.sampwidth)
    if not count or shape.framerate <= 0:
        raise InputUnavailable("the sound is empty", details={"field": "audio"})
    frames = math.ceil(count * FPS / shape.framerate)
    lasting = math.ceil(max(SHORTEST_FRAMES, frames + SPARE_FRAMES) * shape.framerate / FPS)
    silence = (b"\x80" if shape.sampwidth == 1 else b"\0") * ((lasting - count) * shape.nchannels * shape.sampwidth)
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setparams(shape._replace(nframes=0))
        made.writeframes(samples + silence)
    return Sound(file.getvalue(), frames)


def sizes_of(request: GenerationRequest) -> tuple[str, ...]:
    """The size that fits what is asked for, then the smaller one."""
    if request.width is None or request.height is None or request.width * request.height > SMALL_AREA_PX:
        return LARGE, SMALL
    return (SMALL,)


def write_inputs(folder: Path, request: GenerationRequest, sound: Sound) -> Path:
    """Write the picture, the sound and the file that names both; answer that file. Raises: OSError."""
    picture = request.references[0]
    suffix = next((name for begin, name in SUFFIXES.items() if picture.startswith(begin)), ".png")
    image, speech, asked = folder / f"picture{suffix}", folder / "sound.wav", folder / "input.json"
    image.write_bytes(picture)
    speech.write_bytes(sound.wav)
    # It reads `cond_video`, a picture or a video; versions before it read `cond_image`.
    content = {
        "prompt": request.prompt,
        "cond_video": str(image),
        "cond_image": str(image),
        "cond_audio": {"person1": str(speech)},
    }
    asked.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return asked


def arguments_of(
    request: GenerationRequest, models: Models, steps: int, frames: int, *, size: str, asked: Path, clip: Path
) -> Sequence[str]:
    """The arguments of one run; nothing that people wrote is among them."""
    guidance = () if request.guidance_scale is None else ("--sample_text_guide_scale", f"{request.guidance_scale:g}")
    return (
        *("--task", "infinitetalk-14B", "--size", size, "--mode", "streaming"),
        *("--ckpt_dir", str(models.checkpoint), "--wav2vec_dir", str(models.sound)),
        *("--infinitetalk_dir", str(models.weights), "--input_json", str(asked)),
        *("--save_file", str(clip), "--audio_save_dir", str(clip.with_name("sound"))),
        *("--sample_steps", str(steps), "--base_seed", str(request.seeds[0] % SEEDS), *guidance),
        *("--frame_num", str(PART_FRAMES), "--motion_frame", str(MOTION_FRAMES), "--max_frame_num", str(frames)),
    )
