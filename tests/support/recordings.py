"""Recordings as people send them, good and bad: WAVs and MP3s made by code, and clips as engines hand them over."""

from __future__ import annotations

import io
import struct
from fractions import Fraction

import av
import numpy as np

from tests.support.sounds import a_tone

MP3_FRAME = 1152


def an_mp3(duration_s: float, rate: int = 44_100, bit_rate: int = 64_000) -> bytes:
    """A tone as an MP3 of one channel."""
    file = io.BytesIO()
    tone = (8000 * np.sin(np.arange(round(duration_s * rate)) * 2 * np.pi * 440 / rate)).astype(np.int16)
    with av.open(file, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=rate)
        stream.bit_rate = bit_rate
        stream.layout = "mono"
        for at in range(0, len(tone), MP3_FRAME):
            frame = av.AudioFrame.from_ndarray(tone[None, at : at + MP3_FRAME], format="s16p", layout="mono")
            frame.sample_rate, frame.pts = rate, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def with_header(wav: bytes, at: int, form: str, value: int) -> bytes:
    """A WAV that says something else of itself."""
    changed = bytearray(wav)
    struct.pack_into(form, changed, at, value)
    return bytes(changed)


def a_clip(
    duration_s: float,
    *,
    size: tuple[int, int] = (96, 64),
    sound_s: float | None = None,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    voice: str | None = "aac",
) -> bytes:
    """A clip with a picture that grows brighter and a tone; the index behind, as programs write it that do not care."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = *size, pixels
        audio = container.add_stream(voice, rate=16_000, layout="mono") if voice else None
        for number in range(round(duration_s * 25)):
            grey = np.full((size[1], size[0], 3), 40 + number % 200, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(video.encode(None))
        if audio is not None:
            heard_s = duration_s if sound_s is None else sound_s
            samples = np.frombuffer(a_tone(heard_s)[44:], np.int16)[None]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = 16_000, Fraction(1, 16_000), 0
            container.mux([*audio.encode(frame), *audio.encode(None)])
    return file.getvalue()
