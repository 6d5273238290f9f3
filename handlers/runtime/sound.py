"""The sound of a clip: what a pipeline hears of it, and what goes into the file, unchanged but for its coding.

Knows PyAV and torch; needs the extra `media`. Does not know who speaks.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import av
import torch

from handlers.runtime.failures import RefusedError

AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
AAC_RATE_ELSE = 48000
RATE_MIN, RATE_MAX = 4000, 384000
SOUND_S_MAX = 600.0
"""What is decoded is held in memory: 77 MB at most."""


@dataclass(frozen=True, slots=True)
class Sound:
    """One WAV. Units: duration_s is seconds. Shapes: waveform (2, N) float32 at the rate that was asked for."""

    wav: bytes = field(repr=False)
    duration_s: float
    rate: int
    channels: int
    waveform: Any = field(repr=False)


def read_sound(wav: bytes, rate: int) -> Sound:
    """Decode a WAV, and bring it to two channels at a rate. Raises: RefusedError."""
    heard: list[Any] = []
    try:
        with _opened(wav) as container:
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="fltp", layout="stereo", rate=rate)
            if not RATE_MIN <= stream.rate <= RATE_MAX:
                raise RefusedError("input_unavailable", f"the sound has {stream.rate} samples a second")
            samples = 0
            for frame in container.decode(stream):
                samples += frame.samples
                if samples > SOUND_S_MAX * stream.rate:
                    raise RefusedError("input_unavailable", f"the sound is longer than {SOUND_S_MAX:g} s")
                heard += [torch.from_numpy(one.to_ndarray()) for one in resampler.resample(frame)]
            heard += [torch.from_numpy(one.to_ndarray()) for one in resampler.resample(None)]
            own_rate, channels = stream.rate, stream.channels
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise RefusedError("input_unavailable", "the sound cannot be decoded as WAV") from error
    if not samples or not heard:
        raise RefusedError("input_unavailable", "the sound is empty")
    return Sound(wav, samples / own_rate, own_rate, channels, torch.cat(heard, dim=1))


def packets(sound: Sound, container: Any) -> Iterator[Any]:
    """Code the sound itself for a file; the pipeline's own rendering of it is never heard."""
    layout = "mono" if sound.channels == 1 else "stereo"
    rate = sound.rate if sound.rate in AAC_RATES else AAC_RATE_ELSE
    stream = container.add_stream("aac", rate=rate, layout=layout)
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    with _opened(sound.wav) as source:
        for frame in source.decode(source.streams.audio[0]):
            for one in resampler.resample(frame):
                yield from stream.encode(one)
    for one in resampler.resample(None):
        yield from stream.encode(one)
    yield from stream.encode()


def _opened(wav: bytes) -> Any:
    return av.open(io.BytesIO(wav), format="wav", options={"format_whitelist": "wav"})
