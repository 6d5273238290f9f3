"""Faces with the real embedder: who is alike, who is not, and where there is nobody."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance, ImageOps

from handlers.faces.finder import FaceFinder
from handlers.faces.likeness import SURE_SIMILARITY, Face, face_of, similarity
from listener.errors import ModelUnavailable
from tests.support.photographs import photograph

Change = Callable[[Image.Image], Image.Image]
SAME: Mapping[str, Change] = {
    "as it is": lambda image: image,
    "mirrored": ImageOps.mirror,
    "half as large": lambda image: image.resize((256, 256)),
    "with folds that the detector takes for a larger face": lambda image: image.resize((700, 700)),
    "twice as large": lambda image: image.resize((1024, 1024)),
    "in the dark": lambda image: ImageEnhance.Brightness(image).enhance(0.4),
    "tilted": lambda image: image.rotate(12),
    "cut to the head": lambda image: image.crop((120, 0, 350, 240)),
    "in grey": ImageOps.grayscale,
}
NOBODY = {"a cat": "chelsea.png", "a cup": "coffee.png"}


def _rgb(image: Image.Image) -> tuple[bytes, int, int]:
    return image.convert("RGB").tobytes(), image.width, image.height


@pytest.fixture(scope="module")
def faces() -> Mapping[str, Face | None]:
    """What one face process finds in every picture."""

    async def found() -> Mapping[str, Face | None]:
        finder = FaceFinder()
        try:
            with Image.open(photograph("astronaut.png")) as file:
                astronaut = file.convert("RGB")
            told = {name: await finder.find(*_rgb(change(astronaut))) for name, change in SAME.items()}
            for name, file_name in NOBODY.items():
                with Image.open(photograph(file_name)) as image:
                    told[name] = await finder.find(*_rgb(image))
            both = astronaut.copy()
            both.paste(_strangers()[1].resize((130, 130)), (382, 0))
            told["two"] = await finder.find(*_rgb(both))
            for number, image in enumerate(_strangers()):
                told[f"stranger {number}"] = await finder.find(*_rgb(image))
            told["noise"] = await finder.find(os.urandom(128 * 128 * 3), 128, 128)
            return told
        finally:
            await finder.close()

    return asyncio.run(found())


def _strangers() -> list[Image.Image]:
    """Faces of others, of 25 pixels each: enlarged, on grey, so that the detector has something around them."""
    import numpy as np

    small = np.load(photograph("lfw_subset.npy"))
    framed = []
    for pixels in small[:12]:
        image = Image.new("L", (250, 250), 128)
        face = Image.fromarray((pixels * 255).astype("uint8")).resize((150, 150), Image.Resampling.BICUBIC)
        image.paste(face, (50, 50))
        framed.append(image)
    return framed


@pytest.mark.parametrize("name", list(SAME))
def test_a_person_is_the_same_however_the_photograph_is_changed(faces: Mapping[str, Face | None], name: str) -> None:
    reference, other = faces["as it is"], faces[name]
    assert reference is not None
    assert other is not None
    assert similarity(reference, other) > 0.99


def test_other_people_are_told_apart(faces: Mapping[str, Face | None]) -> None:
    reference = faces["as it is"]
    assert reference is not None
    others = [face for name, face in faces.items() if name.startswith("stranger") and face is not None]
    assert len(others) >= 10
    likest = max(similarity(reference, other) for other in others)
    assert likest < SURE_SIMILARITY / 2


def test_of_two_people_the_larger_face_counts(faces: Mapping[str, Face | None]) -> None:
    reference, two = faces["as it is"], faces["two"]
    assert reference is not None
    assert two is not None
    assert (two.faces, similarity(reference, two) > 0.99) == (2, True)


@pytest.mark.parametrize("name", [*NOBODY, "noise"])
def test_where_nobody_is_no_face_is_found(faces: Mapping[str, Face | None], name: str) -> None:
    assert faces[name] is None


def test_the_mapping_runs_through_the_points_that_the_docs_name() -> None:
    def at(distance: float) -> float:
        return similarity(Face((0.0,) * 128), Face((distance, *(0.0,) * 127)))

    assert at(0) == pytest.approx(1, abs=1e-4)
    assert at(0.5) == SURE_SIMILARITY
    assert at(0.6) == 0.5
    assert at(0.82) < 0.03
    assert at(50) == 0


async def test_a_face_process_that_is_killed_is_replaced_and_knows_no_secret() -> None:
    finder = FaceFinder()
    try:
        with Image.open(photograph("astronaut.png")) as image:
            picture = _rgb(image)
        found = await finder.find(*picture)
        os.kill(finder.pid or 0, signal.SIGKILL)
        assert await finder.find(*picture) == found
        environment = Path(f"/proc/{finder.pid}/environ").read_bytes()
        assert [entry.partition(b"=")[0] for entry in environment.split(b"\0") if entry] == [b"PYTHONPATH"]
        pid = finder.pid
    finally:
        await finder.close()
    assert not Path(f"/proc/{pid}").exists()


async def test_a_face_process_that_does_not_start_says_so() -> None:
    finder = FaceFinder("handlers.faces.nowhere")
    with pytest.raises(ModelUnavailable, match="the face process does not start"):
        await finder.find(b"", 0, 0)
    await finder.close()


@pytest.mark.parametrize("embedding", [[0.1] * 127, [float("nan")] * 128, "x" * 128])
def test_what_is_no_embedding_is_refused(embedding: object) -> None:
    with pytest.raises(ValueError):
        face_of({"faces": 1, "embedding": embedding})
