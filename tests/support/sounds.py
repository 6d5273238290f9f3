"""Sounds and pictures made by code, and clips taken apart again with PyAV."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a player would find. Shapes: frames (F, H, W, 3) uint8; sound (N,) float32, the first channel."""

    frames: NDArray[np.uint8]
    sound: NDArray[np.float32]
    rate: int
    duration_s: float
    fps: float
    names: tuple[str, ...]


def a_tone(duration_s: float, pitch_hz: float = 220.0, rate: int = 16000, channels: int = 1) -> bytes:
    """A WAV of a tone that swells four times a second, much as syllables do."""
    times = np.arange(round(duration_s * rate)) / rate
    wave_form = 0.5 * np.sin(2 * np.pi * pitch_hz * times) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * times))
    samples = np.repeat((wave_form * 32767).astype("<i2")[:, None], channels, axis=1)
    return wav_of(samples.tobytes(), rate, channels)


def wav_of(samples: bytes, rate: int = 16000, channels: int = 1) -> bytes:
    """A WAV of 16-bit samples."""
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(channels)
        written.setsampwidth(2)
        written.setframerate(rate)
        written.writeframes(samples)
    return file.getvalue()


def a_picture(width: int = 320, height: int = 240) -> bytes:
    """A PNG with something to see in it."""
    file = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").resize((width, height)).save(file, "PNG")
    return file.getvalue()


def decoded(mp4: bytes) -> Decoded:
    """Take a clip apart."""
    with av.open(io.BytesIO(mp4)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        names = (video.codec_context.name, audio.codec_context.name, str(video.codec_context.pix_fmt))
        duration_s, fps, rate = (container.duration or 0) / av.time_base, float(video.average_rate or 0), audio.rate
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video)]
    with av.open(io.BytesIO(mp4)) as container:
        sound: list[Any] = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    return Decoded(np.stack(frames), np.concatenate(sound), rate, duration_s, fps, names)


def starts_at_once(mp4: bytes) -> bool:
    """Whether the index comes before the pictures: a browser plays it while it comes."""
    return mp4.index(b"moov") < mp4.index(b"mdat")
