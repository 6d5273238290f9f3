"""The sound and the picture of a clip that is only measured. Knows no engine."""

from __future__ import annotations

import io
import math
import wave
from array import array

from PIL import Image

SOUND_S = 2
RATE = 16000
PITCH_HZ = 220.0
SYLLABLES_HZ = 4.0


def tone_and_picture(width: int, height: int) -> tuple[bytes, bytes]:
    """A WAV of a tone that swells as syllables do, and a PNG with something to see in it."""
    picture, sound = io.BytesIO(), io.BytesIO()
    Image.radial_gradient("L").convert("RGB").resize((width, height)).save(picture, "PNG")
    with wave.open(sound, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(RATE)
        written.writeframes(_samples().tobytes())
    return sound.getvalue(), picture.getvalue()


def _samples() -> array[int]:
    turns = (2 * math.pi * number / RATE for number in range(SOUND_S * RATE))
    return array(
        "h", (round(12000 * math.sin(PITCH_HZ * turn) * (1 + math.sin(SYLLABLES_HZ * turn))) for turn in turns)
    )
