"""Whether a whole person stands in the picture, and how sure the measures can be. Knows landmarks and the outline."""

from __future__ import annotations

import math
from dataclasses import dataclass

from handlers.sizing.measures import is_beside
from handlers.sizing.person import ANKLES, ELBOWS, HIPS, KNEES, NOSE, SHOULDERS, TOES, WRISTS, Person
from handlers.sizing.scale import Scale
from listener.errors import InputUnavailable

SEEN = 0.5
"""The visibility from which on a joint counts as seen; either side is enough, people stand at an angle."""
EDGE = 0.02
"""So far beyond the edge, as a share of the picture, the detector may err."""
CROWN = 0.03
"""So much of the body's height the crown may lie beyond the upper edge: hair."""
RELIABLE = 0.7
MOST = 0.95
"""One photograph never makes it surer than that."""
GOOD = 0.9
"""From which on a factor needs no advice while the whole is reliable."""
SHARP_PX = 240
LEAN_DEG, LEAN_MAX_DEG = 8, 38
"""Up to where a body counts as upright, and from where on heights in the picture are none of the body's."""
LEGS, LEGS_MIN = 0.48, 0.40
"""The hips' height as a share of the body's: 0.53 of who stands (Drillis and Contini), less of who sits."""
REMEDY = "give a photograph of one person, standing, from head to feet"
GROUPS = {"shoulders": SHOULDERS, "hips": HIPS, "knees": KNEES, "ankles": ANKLES, "feet": TOES}
ADVICE = {
    "seen": "parts of the body are hidden: use a photograph where shoulders, hips, knees and ankles can be seen",
    "upright": "the body leans: stand upright, and hold the camera level",
    "facing": "the body is turned: face the camera",
    "straight": "the legs are bent or look short: stand straight, and hold the camera level",
    "arms": "an arm is before the body: let both hang beside it",
    "alone": "somebody else is in the picture: be alone in it, for nobody can tell which of you is meant",
    "outline": "the outline does not fit the joints: stand alone before a plain wall, without a hat or long coat",
    "sharp": "the body is small in the picture: come closer",
}


class NoFullBody(InputUnavailable):
    """The picture shows no whole person."""

    code = "no_full_body"
    public_message = "The photograph does not show one whole person from head to feet. Please take another one."
    remedy = REMEDY


@dataclass(frozen=True, slots=True)
class Confidence:
    """How sure the measures are, 0 to 1, and what would make them surer."""

    value: float
    advice: tuple[str, ...]

    @property
    def is_reliable(self) -> bool:
        """Whether the measures may be relied on."""
        return self.value > RELIABLE


def require_full_body(person: Person | None) -> Person:
    """Insist on a person who stands, with every part in the picture. Raises: NoFullBody, which names what is not."""
    if person is None:
        raise _missing(["person"])
    missing = [name for name, pair in GROUPS.items() if not any(_is_seen(person, index) for index in pair)]
    if not _is_seen(person, NOSE):
        missing.insert(0, "head")
    if missing:
        raise _missing(missing)
    if _lean_deg(person) >= LEAN_MAX_DEG:
        raise _refusal("shows the body lying or turned", ["upright"], "turn the photograph upright, and stand straight")
    scale = Scale.of(person, 1.0)
    if scale.crown_y < -CROWN * scale.body_px:
        raise _missing(["head"])
    return person


def confidence_of(person: Person, scale: Scale) -> Confidence:
    """Judge a whole person by everything that makes measures wrong; each factor is 1 when all is well."""
    factors = {
        "seen": _visibility(person),
        "upright": _upright(person),
        "facing": _facing(person),
        "straight": _straight(person, scale),
        "arms": _arms(person),
        "alone": 1.0 if person.is_alone else 0.6,
        "outline": 1.0 if scale.is_outlined else 0.6,
        "sharp": min(1.0, scale.body_px / SHARP_PX),
    }
    value = round(min(MOST, math.prod(factors.values())), 2)
    told_below = GOOD if value > RELIABLE else MOST
    worst = sorted((factor, name) for name, factor in factors.items() if factor < told_below)
    return Confidence(value, tuple(ADVICE[name] for _, name in worst))


def _missing(parts: list[str]) -> NoFullBody:
    return _refusal(f"does not show: {', '.join(parts)}", parts, REMEDY)


def _refusal(problem: str, parts: list[str], remedy: str) -> NoFullBody:
    return NoFullBody(problem, details={"field": "image_url", "missing": parts, "problem": problem, "remedy": remedy})


def _is_seen(person: Person, index: int) -> bool:
    one = person.landmarks[index]
    x, y = one.x / person.width, one.y / person.height
    return one.visibility >= SEEN and -EDGE <= x <= 1 + EDGE and -EDGE <= y <= 1 + EDGE


def _visibility(person: Person) -> float:
    pairs = (SHOULDERS, HIPS, KNEES, ANKLES)
    return sum(person.landmarks[index].visibility for pair in pairs for index in pair) / (2 * len(pairs))


def _upright(person: Person) -> float:
    return _falling(_lean_deg(person), LEAN_DEG, LEAN_MAX_DEG)


def _lean_deg(person: Person) -> float:
    """How far the body is from the vertical: 90 for who lies, 180 for a picture that stands on its head."""
    (top_x, top_y), (foot_x, foot_y) = person.middle(SHOULDERS), person.middle(ANKLES)
    return math.degrees(math.atan2(abs(foot_x - top_x), foot_y - top_y))


def _facing(person: Person) -> float:
    """1 up to 25 degrees of turn, 0 from 75 on; the depth of a landmark is a guess, so it is judged mildly."""
    left, right = (person.landmarks[index] for index in SHOULDERS)
    turn = math.degrees(math.atan2(abs(left.z - right.z), abs(left.x - right.x)))
    return _falling(turn, 25, 75)


def _straight(person: Person, scale: Scale) -> float:
    """1 when the way from hip to ankle by way of the knee is no detour, and the legs have their share of the height.

    Towards the camera, as of who sits, a bent knee is no detour.
    """
    shares = []
    for hip, knee, ankle in zip(HIPS, KNEES, ANKLES, strict=True):
        a, b, c = ((person.landmarks[index].x, person.landmarks[index].y) for index in (hip, knee, ankle))
        shares.append(math.dist(a, c) / max(1.0, math.dist(a, b) + math.dist(b, c)))
    legs = (scale.floor_y - person.middle(HIPS)[1]) / scale.body_px
    return min(_falling(-min(shares), -0.97, -0.7), _falling(-legs, -LEGS, -LEGS_MIN))


def _arms(person: Person) -> float:
    """1 when both arms hang beside the body; each one before it hides what is to be measured."""
    marks = (person.landmarks[index] for index in (*ELBOWS, *WRISTS))
    return 1.0 if all(is_beside(person, one.x, one.y) for one in marks) else 0.6


def _falling(value: float, whole_until: float, nothing_from: float) -> float:
    return max(0.0, min(1.0, (nothing_from - value) / (nothing_from - whole_until)))
