"""How a pipeline is called that makes a picture say a sound: segments, spectrogram, schedule.

The sound stays as it is (its latents are frozen); the pictures follow it. Knows torch; does not know files or who asks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from diffusers.pipelines.ltx2.dfr_layout import resolve_canvas
from PIL import Image
from transformers.audio_utils import mel_filter_bank

from handlers.runtime.loaded import Loaded

FRAMES_STEP = 8
"""Pictures that one latent picture holds; the first holds one: the lengths are 8 k + 1."""
FRAMES_MIN = FRAMES_STEP + 1
FFT_SAMPLES = 1024
LOUDNESS_MIN = 1e-5
SEEDS = 2**63
SEED_OF_A_SEGMENT = 0x9E3779B97F4A7C15
SIGMAS = (1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875)
"""The schedule that the distilled weights were trained on, in eight steps. Source: LTX-2, constants.py."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a clip that is drawn at once. Its first picture is the last one of the segment before."""

    first: int
    frames: int


@dataclass(frozen=True, slots=True)
class Speech:
    """What is to be said and how it is drawn.

    Shapes: waveform (2, N) float32, at the rate that the pipeline's sound autoencoder wants.
    Units: width and height are pixels of the canvas.
    """

    prompt: str
    waveform: Any
    width: int
    height: int
    steps: int
    seed: int


def segments(frames: int, frames_max: int) -> Iterator[Segment]:
    """Cut a clip into parts of much the same length, none longer than allowed. Both lengths count pictures."""
    room = (frames_max - 1) // FRAMES_STEP * FRAMES_STEP
    count = max(1, math.ceil((frames - 1) / room))
    each = max(FRAMES_STEP, math.ceil((frames - 1) / count / FRAMES_STEP) * FRAMES_STEP)
    for first in range(0, max(1, frames - 1), each):
        rest = math.ceil((frames - 1 - first) / FRAMES_STEP) * FRAMES_STEP
        yield Segment(first, max(FRAMES_MIN, min(each, rest) + 1))


def speak(
    loaded: Loaded, speech: Speech, segment: Segment, picture: Image.Image, on_step: Callable[[int], None]
) -> Any:
    """Draw one segment that begins with a picture; `on_step` may raise to stop.

    Shapes: the result is (F, 3, height, width) float, 0..1.
    """
    pipe = loaded.pipe

    def on_step_end(_pipe: Any, index: int, _timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        on_step(index + 1)
        return kwargs

    with torch.no_grad():
        return pipe(
            prompt=speech.prompt,
            conditions=_condition(picture),
            audio_latents=_heard(loaded, speech, segment),
            freeze_audio=True,
            generate_slots=False,
            sigmas=schedule(speech.steps),
            num_frames=segment.frames,
            frame_rate=loaded.clip_fps,
            width=speech.width,
            height=speech.height,
            generator=torch.Generator("cpu").manual_seed((speech.seed + segment.first * SEED_OF_A_SEGMENT) % SEEDS),
            output_type="pt",
            callback_on_step_end=on_step_end,
        ).frames[0]


def schedule(steps: int) -> list[float]:
    """The noise of each step: the trained schedule, or as many points along it."""
    if steps == 1:
        return [SIGMAS[0]]
    places = [index * (len(SIGMAS) - 1) / (steps - 1) for index in range(steps)]
    pairs = [(min(int(place), len(SIGMAS) - 2), place) for place in places]
    return [SIGMAS[low] + (SIGMAS[low + 1] - SIGMAS[low]) * (place - low) for low, place in pairs]


def log_mel(waveform: Any, rate: int, hop: int, bins: int) -> Any:
    """Compute the spectrogram that the sound autoencoder was trained on.

    Shapes: waveform (2, N); result (1, 2, N // hop + 1, bins), natural logarithm of the magnitude.
    Source: LTX-2's audio processor: window of 1024, Slaney's scale and norm, floor of 1e-5.
    """
    window = torch.hann_window(FFT_SAMPLES)
    heard = torch.stft(waveform, FFT_SAMPLES, hop, window=window, center=True, pad_mode="reflect", return_complex=True)
    mel = torch.matmul(heard.abs().transpose(1, 2), _filters(rate, bins))
    return mel.clamp(min=LOUDNESS_MIN).log().unsqueeze(0)


def _heard(loaded: Loaded, speech: Speech, segment: Segment) -> Any:
    """The latents of a segment's sound, and of what follows: the pipeline draws a little more than is kept."""
    pipe = loaded.pipe
    canvas, _, _ = resolve_canvas(segment.frames, FRAMES_STEP)
    rate = pipe.audio_sampling_rate
    begin, length = (round(frames / loaded.clip_fps * rate) for frames in (segment.first, canvas))
    said = speech.waveform[:, begin : begin + length]
    said = torch.nn.functional.pad(said, (0, length - said.shape[1]))
    mel = log_mel(said, rate, pipe.audio_hop_length, pipe.audio_mel_bins)
    return pipe.audio_vae.encode(mel.to(pipe._execution_device, pipe.audio_vae.dtype)).latent_dist.mode()


def _condition(picture: Image.Image) -> Any:
    from diffusers.pipelines.ltx2.pipeline_ltx2_condition import (  # noqa: PLC0415 seconds, where it is used
        LTX2VideoCondition,
    )

    return LTX2VideoCondition(frames=picture, index=0, strength=1.0)


@lru_cache(maxsize=4)
def _filters(rate: int, bins: int) -> Any:
    weights = mel_filter_bank(
        num_frequency_bins=FFT_SAMPLES // 2 + 1,
        num_mel_filters=bins,
        min_frequency=0.0,
        max_frequency=rate / 2,
        sampling_rate=rate,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(weights).float()
