"""One MP4 in the making: H.264 and AAC, the index in front, so that a page plays it while it loads.

Pictures are coded on a thread of their own while the device draws the next ones. Knows PyAV (the extra `media`); does
not know how they were made.
"""

from __future__ import annotations

import io
import queue
import threading
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final

import av

from handlers.runtime.sound import Sound, packets

CODEC: Final = "libx264"
CODING = {"crf": "18", "preset": "veryfast"}
THREADS_MAX = 4
CONTAINER = {"movflags": "faststart", "max_interleave_delta": "0"}
"""Nothing is written before both streams have something: the sound is coded first and would end up in front."""
BT709 = 1


class Film:
    """Takes pictures and gives the file. One part waits at most: who draws faster than is coded waits too."""

    def __init__(self, width: int, height: int, fps: float, sound: Sound) -> None:
        self._width, self._height, self._fps, self._sound = width, height, fps, sound
        self._parts: queue.Queue[Any] = queue.Queue(maxsize=1)
        self._file = io.BytesIO()
        self._error: Exception | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._code, name="film", daemon=True)
        self._thread.start()

    def add(self, pictures: Any) -> None:
        """Append pictures. Shapes: (F, height, width, 3) uint8 on the host."""
        self._parts.put(pictures)

    def finish(self) -> bytes:
        """Wait for the coding and give the file. Raises: what the coder raised."""
        self.end()
        if self._error is not None:
            raise self._error
        return self._file.getvalue()

    def end(self) -> None:
        """Take no more pictures; afterwards the thread is gone."""
        self._parts.put(None)
        self._thread.join()

    def _code(self) -> None:
        try:
            self._write()
        except Exception as error:  # noqa: BLE001 told by `finish`; the thread's end would be the process's
            self._error = error
            for _ in self._received():
                pass

    def _received(self) -> Iterator[Any]:
        while not self._ended:
            part = self._parts.get()
            if part is None:
                self._ended = True
            else:
                yield part

    def _write(self) -> None:
        with av.open(self._file, "w", format="mp4", options=CONTAINER, io_open=self._reopened) as container:
            video = container.add_stream(CODEC, rate=Fraction(self._fps).limit_denominator(1001), options=CODING)
            video.width, video.height, video.pix_fmt = self._width, self._height, "yuv420p"
            context = video.codec_context
            context.thread_count = THREADS_MAX
            context.colorspace = context.color_primaries = context.color_trc = context.color_range = BT709
            for packet in packets(self._sound, container):
                container.mux(packet)
            number = 0
            for part in self._received():
                for picture in part.numpy():
                    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                    frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
                    frame.pts = number
                    container.mux(video.encode(frame))
                    number += 1
            container.mux(video.encode())

    def _reopened(self, _url: str, _flags: int, _options: dict[str, str]) -> _Reader:
        return _Reader(self._file)


class _Reader:
    """A second place in the file that is being written: to put the index in front, what follows it is moved."""

    def __init__(self, file: io.BytesIO) -> None:
        self._file = file
        self._at = 0

    def read(self, size: int) -> bytes:
        data = bytes(self._file.getbuffer()[self._at : self._at + size])
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.getbuffer().nbytes}[whence]
        self._at = begin + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        return
