"""The process that decodes sound and clips: a file in, plain samples or facts out, and nothing else within its reach.

Started as a script with an empty environment; knows PyAV and its own limits. Answers with one line of JSON and bytes
behind it, or `{"refused": WORD}` with one of the words below: whoever breaks a decoder shall not be quoted.
"""

from __future__ import annotations

import io
import json
import resource
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import av.audio.resampler
import av.error
import av.subtitles.stream
import av.video.reformatter
import numpy as np

Why = Literal["broken", "too_long", "memory", "codec", "rate", "channels"]
SOUND_CODECS = {
    "wav": {"pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "pcm_alaw", "pcm_mulaw"},
    "mp3": {"mp3", "mp3float"},
}
RATES_HZ = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""What is handed on: no higher than a clip's own sound, no lower than speech models hear."""
RATE_MIN_HZ, RATE_MAX_HZ, CHANNELS_MAX = 4_000, 384_000, 8
BAD_SHARE = 50
"""One packet of so many may be damaged, and three of a short file."""
POSTER_SIDE_PX = 640
CLIP_FRAMES_MAX = 100_000


# av imports some of its parts where it first needs them; by then no file can be opened any more.


class RefusedError(Exception):
    """It cannot be used."""

    def __init__(self, why: Why) -> None:
        self.why = why


def main(what: str, memory_bytes: int, cpu_s: int, longest_s: float) -> None:
    """Decode standard input: `wav`, `mp3` or `mp4`. Units: memory_bytes comes on top of what this process has now."""
    av.logging.set_level(av.logging.PANIC)
    _limit(memory_bytes, cpu_s)
    data = sys.stdin.buffer.read()
    facts: dict[str, Any]
    body = b""
    try:
        facts, body = clip(data, longest_s) if what == "mp4" else sound(data, what, longest_s)
    except RefusedError as error:
        facts = {"refused": error.why}
    except MemoryError:
        facts = {"refused": "memory"}
    except (av.error.FFmpegError, OSError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError):
        facts = {"refused": "broken"}
    sys.stdout.buffer.write(json.dumps(facts).encode() + b"\n")
    sys.stdout.buffer.write(body)


def sound(data: bytes, name: str, longest_s: float) -> tuple[dict[str, Any], bytes]:
    """Decode a whole file to 16-bit samples of one or two channels."""
    made = bytearray()
    with _opened(data, name, SOUND_CODECS[name]) as container:
        stream = container.streams.audio[0]
        source = stream.codec_context
        if source.codec.name not in SOUND_CODECS[name]:
            raise RefusedError("codec")
        if not RATE_MIN_HZ <= source.sample_rate <= RATE_MAX_HZ:
            raise RefusedError("rate")
        if not 1 <= source.channels <= CHANNELS_MAX:
            raise RefusedError("channels")
        rate_hz = next((rate for rate in RATES_HZ if rate >= source.sample_rate), RATES_HZ[-1])
        channels = min(source.channels, 2)
        most_bytes = int(longest_s * rate_hz) * channels * 2
        resampler = av.AudioResampler("s16", "mono" if channels == 1 else "stereo", rate_hz)
        for frame in _sounds(container, stream):
            for piece in resampler.resample(frame):
                made += memoryview(piece.planes[0])[: piece.samples * channels * 2]
            if len(made) > most_bytes:
                raise RefusedError("too_long")
    samples = np.frombuffer(made, dtype=np.int16)
    peak = int(max(-int(samples.min()), int(samples.max()))) if len(samples) else 0
    return {"rate_hz": rate_hz, "channels": channels, "samples": len(samples) // channels, "peak": peak}, bytes(made)


def _sounds(container: av.container.InputContainer, stream: av.AudioStream) -> Iterator[av.AudioFrame | None]:
    """Every frame, and None at the end; a damaged packet here and there is passed over."""
    packets = bad = 0
    for packet in container.demux(stream):
        packets += 1
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            bad += 1
    if bad > max(3, packets // BAD_SHARE):
        raise RefusedError("broken")
    yield None


def clip(data: bytes, longest_s: float) -> tuple[dict[str, Any], bytes]:
    """Read every packet of a clip, decode its sound and its key frames; its first picture comes back, made small."""
    heard = 0
    shown: list[int] = []
    poster, poster_size = b"", (0, 0)
    with _opened(data, "mp4", {"h264", "aac"}) as container:
        videos, audios = container.streams.video, container.streams.audio
        kinds = sorted(stream.type for stream in container.streams)
        if kinds != ["audio", "video"]:
            return {"streams": kinds}, b""
        video, audio = videos[0], audios[0]
        video.codec_context.skip_frame = "NONKEY"
        for packet in container.demux(video, audio):
            if packet.stream is video and packet.size:
                shown.append(packet.duration or 0)
                if len(shown) > CLIP_FRAMES_MAX:
                    raise RefusedError("too_long")
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame) and not poster:
                    poster_size, poster = _small(frame)
                heard += frame.samples if isinstance(frame, av.AudioFrame) else 0
            if heard > longest_s * audio.codec_context.sample_rate:
                raise RefusedError("too_long")
        rate = video.average_rate or Fraction(0)
        facts = {
            "streams": kinds,
            "codecs": [video.codec_context.name, audio.codec_context.name],
            "pixels": video.codec_context.pix_fmt,
            "width": video.width,
            "height": video.height,
            "frames": len(shown),
            "announced_frames": video.frames,
            "fps": float(rate),
            "duration_s": float(sum(shown) * (video.time_base or 0)) or float(len(shown) / rate if rate else 0),
            "sound_s": heard / audio.codec_context.sample_rate,
            "poster": list(poster_size),
        }
    return facts, poster


def _small(frame: av.VideoFrame) -> tuple[tuple[int, int], bytes]:
    scale = min(1.0, POSTER_SIDE_PX / max(frame.width, frame.height))
    width, height = (max(2, round(side * scale / 2) * 2) for side in (frame.width, frame.height))
    small = frame.reformat(width=width, height=height, format="rgb24")
    return (width, height), np.ascontiguousarray(small.to_ndarray()).tobytes()


def _opened(data: bytes, name: str, codecs: set[str]) -> av.container.InputContainer:
    """Open by the one demuxer that was named: no guessing, no playlist, no file and no address besides."""
    options = {"format_whitelist": name, "codec_whitelist": ",".join(sorted(codecs)), "protocol_whitelist": "file"}
    return av.open(io.BytesIO(data), mode="r", format=name, options=options, metadata_errors="ignore")


def _limit(memory_bytes: int, cpu_s: int) -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    bound = pages * resource.getpagesize() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # No file and no connection besides standard input, output and error: what takes over a decoder stays alone with it.
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
