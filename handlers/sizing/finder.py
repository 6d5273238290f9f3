"""The pose process: pictures in, people out, one at a time. The only module that imports MediaPipe; it has no network.

A message is its length (4 bytes, big endian) and its bytes: PNG from the daemon, JSON from here. The first one from
here says `ready` or `failure`. Started as `python -m handlers.sizing.finder <pid of the daemon>`.
"""

from __future__ import annotations

import io
import json
import os
import struct
import sys
from typing import Any, BinaryIO

from handlers.runtime.lifeline import leave_signals_to_the_daemon, tie_to_parent
from handlers.sizing.offline import forbid_network

LENGTH = struct.Struct("!I")
COMPLEXITY = 1
"""The one model that the wheel carries; 0 and 2 would be downloaded."""
LEAST_CONFIDENCE = 0.5
INSIDE = 0.5
"""From which share on a pixel of the outline belongs to the person."""


class Finder:
    """MediaPipe Pose, loaded once."""

    def __init__(self) -> None:
        from mediapipe.python.solutions.pose import Pose  # noqa: PLC0415 - after the network is forbidden

        self._pose = Pose(
            static_image_mode=True,
            model_complexity=COMPLEXITY,
            smooth_landmarks=False,
            enable_segmentation=True,
            min_detection_confidence=LEAST_CONFIDENCE,
        )

    def find(self, png: bytes) -> dict[str, Any]:
        """Find the most prominent person; an empty answer when there is none."""
        import numpy as np  # noqa: PLC0415
        from PIL import Image  # noqa: PLC0415

        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            rgb = np.asarray(image.convert("RGB"))
        found = self._pose.process(rgb)
        if found.pose_landmarks is None:
            return {}
        height, width = rgb.shape[:2]
        landmarks = [
            [round(one.x * width, 2), round(one.y * height, 2), round(one.z * width, 2), round(one.visibility, 4)]
            for one in found.pose_landmarks.landmark
        ]
        inside = np.zeros((height, width + 2), dtype=np.int8)
        if found.segmentation_mask is not None:
            inside[:, 1:-1] = found.segmentation_mask > INSIDE
        ys, xs = np.nonzero(np.diff(inside, axis=1))
        rows: dict[int, list[list[int]]] = {}
        for y, first, beyond in zip(ys[::2].tolist(), xs[::2].tolist(), xs[1::2].tolist(), strict=True):
            rows.setdefault(y, []).append([first, beyond - 1])
        return {"width": width, "height": height, "landmarks": landmarks, "rows": rows}


def _send(stream: BinaryIO, told: dict[str, Any]) -> None:
    body = json.dumps(told).encode()
    stream.write(LENGTH.pack(len(body)) + body)
    stream.flush()


def serve(reading: BinaryIO, writing: BinaryIO) -> None:
    """Answer pictures until the daemon closes its end."""
    try:
        finder = Finder()
        finder.find(_blank())  # the first picture loads the models
    except Exception as error:  # noqa: BLE001 - whatever it is, the daemon tells it
        _send(writing, {"failure": f"{type(error).__name__}: {error}"})
        return
    _send(writing, {"ready": True})
    while len(prefix := reading.read(LENGTH.size)) == LENGTH.size:
        try:
            told: dict[str, Any] = {"person": finder.find(reading.read(LENGTH.unpack(prefix)[0]))}
        except Exception as error:  # noqa: BLE001 - one bad picture does not end the process
            told = {"failure": type(error).__name__}
        _send(writing, told)


def _blank() -> bytes:
    from PIL import Image  # noqa: PLC0415

    png = io.BytesIO()
    Image.new("RGB", (64, 64)).save(png, "PNG")
    return png.getvalue()


if __name__ == "__main__":
    tie_to_parent(int(sys.argv[1]))
    leave_signals_to_the_daemon()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print is no answer
    forbid_network()
    serve(sys.stdin.buffer, answers)
