"""The pose process: pictures in, people out. The only module that imports MediaPipe.

Started as `python -m handlers.sizing.finder <pid of the daemon>`; a message from the daemon is a PNG.
"""

from __future__ import annotations

import io
from typing import Any

from handlers.detectors.serving import serve_the_daemon

COMPLEXITY = 1
"""The one model that the wheel carries; 0 and 2 would be downloaded."""
LEAST_CONFIDENCE = 0.5
INSIDE = 0.5
"""From which share on a pixel of the outline belongs to the person."""
STRAY = 0.5
"""So many percent of the outline's pixels on either side are strays."""


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
        is_alone = not rows or not self._finds_another(rgb.copy(), inside[:, 1:-1])
        return {"width": width, "height": height, "landmarks": landmarks, "rows": rows, "is_alone": is_alone}

    def _finds_another(self, rgb: Any, inside: Any) -> bool:
        """Whether somebody is left in the picture when the place of the first one is painted over."""
        import numpy as np  # noqa: PLC0415

        ys, xs = np.nonzero(inside)
        left, right = np.percentile(xs, [STRAY, 100 - STRAY]).astype(int)
        rgb[ys.min() : ys.max() + 1, left : right + 1] = rgb.reshape(-1, 3).mean(axis=0)
        return self._pose.process(rgb).pose_landmarks is not None


def _blank() -> bytes:
    from PIL import Image  # noqa: PLC0415

    png = io.BytesIO()
    Image.new("RGB", (64, 64)).save(png, "PNG")
    return png.getvalue()


if __name__ == "__main__":
    serve_the_daemon(Finder, _blank())
