"""The face process: pixels in, the largest face's embedding out. The only module that imports dlib.

Started as `python -m handlers.faces.embedder <pid of the daemon>`; a message from the daemon is width and height (4
bytes each, big endian) and the pixels. The models lie in face_recognition_models, which cannot be imported (it asks for
pkg_resources): its files are found without. Of its landmarks only the five-point ones are used, which are free.
"""

from __future__ import annotations

import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from handlers.detectors.serving import serve_the_daemon

SIZE = struct.Struct("!II")
LANDMARKS = "shape_predictor_5_face_landmarks.dat"
NETWORK = "dlib_face_recognition_resnet_model_v1.dat"
ENLARGED = 1
"""How often a picture without a face is doubled: the detector sees no face below 80 pixels."""
ENLARGED_SIDE_MAX_PX = 800
SURE_SHARE = 0.25
"""Folds of a suit, as large as the face above, were taken for one with 0.04 to 0.13 of that face's own score."""
DIGITS = 6


class Embedder:
    """dlib's detector, its five landmarks and its network, loaded once."""

    def __init__(self) -> None:
        import dlib  # noqa: PLC0415 - after the network is forbidden

        found = find_spec("face_recognition_models")
        if found is None or found.origin is None:
            raise FileNotFoundError("face_recognition_models is not installed")
        models = Path(found.origin).parent / "models"
        self._detector = dlib.get_frontal_face_detector()
        self._landmarks = dlib.shape_predictor(str(models / LANDMARKS))
        self._network = dlib.face_recognition_model_v1(str(models / NETWORK))

    def find(self, picture: bytes) -> dict[str, Any]:
        """Embed the largest face; an empty answer when there is none."""
        import numpy as np  # noqa: PLC0415

        width, height = SIZE.unpack_from(picture)
        rgb = np.frombuffer(picture, np.uint8, offset=SIZE.size).reshape(height, width, 3)
        faces = self._faces(rgb, 0)
        if not faces and max(width, height) <= ENLARGED_SIDE_MAX_PX:
            faces = self._faces(rgb, ENLARGED)
        if not faces:
            return {}
        largest = max(faces, key=lambda face: face.area())
        embedding = self._network.compute_face_descriptor(rgb, self._landmarks(rgb, largest))
        return {"faces": len(faces), "embedding": [round(value, DIGITS) for value in embedding]}

    def _faces(self, rgb: Any, doubled: int) -> list[Any]:
        """Where faces are: those that the detector is sure of beside the surest one."""
        faces, scores, _ = self._detector.run(rgb, doubled, 0.0)
        least = SURE_SHARE * max(scores, default=0.0)
        return [face for face, score in zip(faces, scores, strict=True) if score >= least]


def _blank() -> bytes:
    return SIZE.pack(96, 96) + bytes(96 * 96 * 3)


if __name__ == "__main__":
    serve_the_daemon(Embedder, _blank())
