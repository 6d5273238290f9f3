"""The file that the program wrote, read and measured. Knows MP4 files; does not know whether the clip is any good."""

from __future__ import annotations

import io
from pathlib import Path

import av

from listener.contract import GeneratedClip
from listener.errors import NothingProduced

CLIP_BYTES_MAX = 500 << 20


def read_clip(saved: Path, seed: int) -> GeneratedClip:
    """Read what was saved at that path; some versions put `.mp4` after it. Raises: NothingProduced; OSError."""
    written = next((one for one in (saved.with_name(f"{saved.name}.mp4"), saved) if one.is_file()), None)
    if written is None or written.is_symlink():
        raise _nothing("it wrote no file", "no_file")
    size_bytes = written.stat().st_size
    if size_bytes == 0:
        raise _nothing("it wrote an empty file", "empty_file")
    if size_bytes > CLIP_BYTES_MAX:
        raise _nothing(f"its file has {size_bytes} bytes", "file_too_large")
    return _measured(written.read_bytes(), seed)


def _measured(mp4: bytes, seed: int) -> GeneratedClip:
    if mp4[4:8] != b"ftyp":
        raise _nothing("its file is no MP4", "no_mp4")
    try:
        with av.open(io.BytesIO(mp4), "r", format="mp4") as container:
            video = container.streams.video[0]
            lasting_s = (container.duration or 0) / av.time_base
            fps = float(video.average_rate or 0)
            clip = GeneratedClip(mp4, video.width, video.height, lasting_s, fps, seed)
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise _nothing("its file cannot be read as a clip", "unreadable") from error
    if not (clip.width and clip.height and clip.duration_s > 0 and clip.fps > 0):
        raise _nothing("its clip is empty", "empty_clip")
    return clip


def _nothing(words: str, reason: str) -> NothingProduced:
    return NothingProduced(f"InfiniteTalk: {words}", details={"reason": reason})
