"""A drawn person of known measures, whom the detector takes for a real one.

No installed package holds a free photograph of a whole person.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

TALL_CM = 175.0
SKIN, HAIR, SHIRT, JEANS, SHOES = (226, 178, 150), (60, 42, 30), (60, 92, 150), (52, 58, 78), (40, 36, 36)

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """What is drawn. Units: centimetres of a person of 175 cm; `shown_cm` is how far down the picture goes.

    `thigh_cm` is how long the thighs look: short for who sits and faces the camera; `turned_deg` is how far the whole
    picture is turned.
    """

    waist_cm: float = 30.0
    hip_cm: float = 36.0
    chest_cm: float = 38.0
    arms_deg: float = 14.0
    lean_deg: float = 0.0
    thigh_cm: float = 41.0
    turned_deg: float = 0.0
    shown_cm: float = 200.0
    from_cm: float = -12.0
    body_px: int = 560

    def png(self) -> bytes:
        """The picture, encoded."""
        image = _Drawing(self).image
        data = io.BytesIO()
        image.save(data, "PNG", compress_level=1)
        return data.getvalue()


def side_by_side(*figures: Figure) -> bytes:
    """All of them in one picture."""
    images = [Image.open(io.BytesIO(figure.png())) for figure in figures]
    both = Image.new("RGB", (sum(one.width for one in images), max(one.height for one in images)))
    for number, image in enumerate(images):
        both.paste(image, (sum(one.width for one in images[:number]), 0))
    data = io.BytesIO()
    both.save(data, "PNG", compress_level=1)
    return data.getvalue()


class _Drawing:
    def __init__(self, figure: Figure) -> None:
        self._figure = figure
        self._unit = figure.body_px / TALL_CM
        self._size = (round(130 * self._unit), round(200 * self._unit))
        self.image = Image.new("RGB", self._size, (206, 204, 198))
        ImageDraw.Draw(self.image).rectangle((0, self._at(0, 168)[1], *self._size), fill=(150, 140, 128))
        self._arms()
        self._legs()
        self._torso()
        self._head()
        if figure.lean_deg:
            self.image = self.image.rotate(figure.lean_deg, fillcolor=(206, 204, 198))
        noise = np.random.default_rng(0).normal(0, 4, (*self._size[::-1], 1))
        self.image = Image.fromarray(np.clip(np.asarray(self.image, dtype=np.float32) + noise, 0, 255).astype(np.uint8))
        top, bottom = ((12 + cm) * self._unit for cm in (figure.from_cm, figure.shown_cm))
        self.image = self.image.crop((0, round(top), self._size[0], min(self._size[1], round(bottom))))
        if figure.turned_deg:
            self.image = self.image.rotate(figure.turned_deg, expand=True, fillcolor=(206, 204, 198))

    def _at(self, x: float, y: float) -> Point:
        return self._size[0] / 2 + x * self._unit, (12 + y) * self._unit

    def _fill(self, shape: list[Point], colour: tuple[int, int, int]) -> None:
        """Fill a shape, darker towards its edges: cloth and skin are round."""
        mask = Image.new("L", self._size, 0)
        ImageDraw.Draw(mask).polygon([self._at(*point) for point in shape], fill=255)
        edge = np.asarray(mask.filter(ImageFilter.BoxBlur(0.8)), dtype=np.float32)[..., None] / 255
        depth = np.asarray(mask.filter(ImageFilter.BoxBlur(4 * self._unit)), dtype=np.float32)[..., None] / 255
        lit: NDArray[np.float32] = np.array(colour, dtype=np.float32) * (0.55 + 0.5 * depth)
        under = np.asarray(self.image, dtype=np.float32)
        self.image = Image.fromarray(np.clip(under * (1 - edge) + lit * edge, 0, 255).astype(np.uint8))

    def _arms(self) -> None:
        angle = math.radians(self._figure.arms_deg)
        for side in (-1, 1):
            shoulder = (side * 18.0, 33.0)
            elbow = (shoulder[0] + side * 30 * math.sin(angle), 33 + 30 * math.cos(angle))
            wrist = (elbow[0] + side * 25 * math.sin(0.7 * angle), elbow[1] + 25 * math.cos(0.7 * angle))
            self._fill(_limb(elbow, wrist, 8.5, 5.5), SKIN)
            self._fill(_limb(wrist, (wrist[0] + side * 1.5, wrist[1] + 11), 6, 5.5), SKIN)
            self._fill(_limb(shoulder, elbow, 11, 9), SHIRT)

    def _legs(self) -> None:
        knee_y = 88 + self._figure.thigh_cm
        ankle_y = knee_y + 37
        for side in (-1, 1):
            knee, ankle = (side * 10.0, knee_y), (side * 11.0, ankle_y)
            self._fill(_limb(knee, ankle, 13, 8.5), JEANS)
            self._fill(_limb((side * 8.5, 88.0), knee, 19, 13), JEANS)
            toes = side * 15.0
            top, floor = ankle_y - 1, ankle_y + 9
            sole = [(side * 11 - 5, top), (side * 11 + 5, top), (toes + 5.5, floor - 0.5), (toes - 5.5, floor)]
            self._fill([*sole, (side * 11 - 5, floor - 3)], SHOES)

    def _torso(self) -> None:
        figure = self._figure
        self._fill(_limb((0, 20), (0, 32), 11.5, 13), SKIN)
        right = [(8, 29), (19, 33), (figure.chest_cm / 2, 43), (figure.chest_cm / 2 - 1.5, 55)]
        right += [(figure.waist_cm / 2, 68), (figure.hip_cm / 2 - 0.5, 84), (figure.hip_cm / 2, 92)]
        self._fill([*right, *((-x, y) for x, y in reversed(right))], SHIRT)

    def _head(self) -> None:
        turns = [2 * math.pi * step / 60 for step in range(60)]
        self._fill([(9 * math.cos(turn), 10.2 + 10.2 * math.sin(turn)) for turn in turns], HAIR)
        self._fill([(7.6 * math.cos(turn), 13 + 10 * math.sin(turn)) for turn in turns], SKIN)
        draw = ImageDraw.Draw(self.image)
        for side in (-1, 1):
            draw.ellipse((*self._at(side * 3.1 - 1.5, 10.7), *self._at(side * 3.1 + 1.5, 12.3)), fill=(245, 245, 245))
            draw.ellipse((*self._at(side * 3.1 - 0.7, 10.8), *self._at(side * 3.1 + 0.7, 12.2)), fill=(50, 35, 25))
            brow = [self._at(side * 1.4, 9.4), self._at(side * 4.9, 9.2)]
            draw.line(brow, fill=HAIR, width=max(1, round(0.7 * self._unit)))
        nose = [self._at(*point) for point in ((-0.6, 12.0), (0.6, 12.0), (1.4, 16.0), (-1.4, 16.0))]
        draw.polygon(nose, fill=(208, 156, 128))
        draw.ellipse((*self._at(-2.4, 18), *self._at(2.4, 19.6)), fill=(170, 80, 80))


def _limb(start: Point, end: Point, start_cm: float, end_cm: float) -> list[Point]:
    """The outline of a limb with round ends."""
    along = math.atan2(end[1] - start[1], end[0] - start[0])
    shape = []
    for (x, y), radius, first in ((start, start_cm / 2, math.pi / 2), (end, end_cm / 2, -math.pi / 2)):
        turns = [along + first + math.pi * step / 11 for step in range(12)]
        shape += [(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]
    return shape
