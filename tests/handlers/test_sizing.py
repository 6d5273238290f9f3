"""POST /estimate-body's steps with the real detector: what is measured, what is refused, what is said of doubt."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from handlers.inputs.pictures import read_picture
from handlers.sizing.endpoint import EstimateBody, EstimateParams
from handlers.sizing.full_body import NoFullBody
from handlers.sizing.person import LANDMARKS
from handlers.sizing.pose import PoseProcess
from handlers.sizing.sizes import NAMES, OURS, load_table
from listener.contract import EndpointConfig, Fetched
from listener.errors import ConfigError, ModelUnavailable
from tests.support.figure import TALL_CM, Figure, side_by_side
from tests.support.photographs import photograph

PICTURES = {
    "standing": Figure(),
    "slim": Figure(chest_cm=33, waist_cm=26, hip_cm=32),
    "broad": Figure(chest_cm=46, waist_cm=44, hip_cm=44),
    "leaning": Figure(lean_deg=20),
    "far": Figure(body_px=150),
    "sitting": Figure(thigh_cm=10),
    "on its side": Figure(turned_deg=90),
    "on its head": Figure(turned_deg=180),
    "askew": Figure(turned_deg=45),
    "to the knees": Figure(shown_cm=120),
    "to the waist": Figure(shown_cm=75),
    "without a head": Figure(from_cm=24),
    "without a crown": Figure(from_cm=8),
}
REAL = {"astronaut": "astronaut.png", "photographer": "camera.png", "cat": "chelsea.png", "cup": "coffee.png"}

REACHING = """
import socket, urllib.request
from handlers.detectors.offline import forbid_network

forbid_network()
for reach in (
    lambda: socket.create_connection(("127.0.0.1", 1)),
    lambda: socket.getaddrinfo("localhost", 1),
    lambda: urllib.request.urlopen("http://127.0.0.1:1"),
):
    try:
        reach()
    except OSError as error:
        assert "no network" in str(error), error
    else:
        raise SystemExit("it reached the network")
"""

Answers = Mapping[str, Mapping[str, Any] | NoFullBody]


async def ask(endpoint: EstimateBody, data: bytes, height_cm: float = TALL_CM) -> Mapping[str, Any] | NoFullBody:
    async def fetch(_source: str, _field: str = "") -> Fetched:
        return Fetched(data, "image/png")

    try:
        return await endpoint.run(EstimateParams(image_url="https://example.com/a.png", height_cm=height_cm), fetch)
    except NoFullBody as refused:
        return refused


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """What one pose process answers to every picture."""

    async def asked() -> Answers:
        endpoint = EstimateBody(EndpointConfig(str(tmp_path_factory.mktemp("cache"))))
        try:
            told = {name: await ask(endpoint, figure.png()) for name, figure in PICTURES.items()}
            told["two"] = await ask(endpoint, side_by_side(Figure(), PICTURES["broad"]))
            told["tall"] = await ask(endpoint, PICTURES["standing"].png(), 200.0)
            told |= {name: await ask(endpoint, photograph(file).read_bytes()) for name, file in REAL.items()}
            assert endpoint.status().details == {"starts": 1, "pictures": len(told)}
            return told
        finally:
            await endpoint.close()

    return asyncio.run(asked())


def answered(answers: Answers, name: str) -> Mapping[str, Any]:
    told = answers[name]
    assert isinstance(told, Mapping), told
    return told


def test_a_whole_person_is_measured_and_gets_a_size(answers: Answers) -> None:
    told = answered(answers, "standing")
    assert set(told) == {
        "recommended_size",
        "sizes",
        "measurements",
        "body_type",
        "confidence",
        "is_reliable",
        "advice",
    }
    assert told["recommended_size"] in NAMES
    assert told["confidence"] > 0.7
    assert told["is_reliable"]
    assert told["advice"] == []
    assert told["measurements"]["height_cm"] == TALL_CM


def test_the_outline_is_measured_as_it_was_drawn(answers: Answers) -> None:
    """The drawn waist is 30 cm wide; as an ellipse eight tenths as deep that is a girth of 85 cm."""
    measured = answered(answers, "standing")["measurements"]
    assert measured["waist_cm"] == pytest.approx(85, rel=0.04)
    assert measured["hip_cm"] == pytest.approx(math.pi * 36 * 0.91, rel=0.05)
    assert measured["torso_cm"] == pytest.approx(88 - 36, rel=0.06)
    assert measured["inseam_cm"] == pytest.approx(82, rel=0.05)
    assert measured["arm_cm"] == pytest.approx(55, rel=0.06)


def test_every_measure_grows_with_the_height_that_was_given(answers: Answers) -> None:
    small, tall = (answered(answers, name)["measurements"] for name in ("standing", "tall"))
    assert {name: value / small[name] for name, value in tall.items()} == pytest.approx(
        dict.fromkeys(small, 200 / TALL_CM), rel=0.01
    )


def test_a_broader_person_gets_a_larger_size(answers: Answers) -> None:
    sizes = [answered(answers, name) for name in ("slim", "standing", "broad")]
    waists = [NAMES.index(told["sizes"]["waist"]) for told in sizes]
    assert waists == sorted(set(waists))
    assert sizes[0]["body_type"] == "hourglass"
    assert sizes[2]["recommended_size"] == "XXL"


@pytest.mark.parametrize(
    ("name", "words"),
    [("leaning", "leans"), ("far", "small in the picture"), ("sitting", "legs are bent"), ("two", "somebody else")],
)
def test_a_worse_picture_is_answered_with_less_confidence_and_what_would_help(
    answers: Answers, name: str, words: str
) -> None:
    told = answered(answers, name)
    assert told["confidence"] <= 0.7
    assert not told["is_reliable"]
    assert [advice for advice in told["advice"] if words in advice]


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("to the knees", {"ankles", "feet"}),
        ("to the waist", {"knees", "ankles", "feet"}),
        ("without a head", {"head"}),
        ("without a crown", {"head"}),
        ("astronaut", {"knees", "ankles", "feet"}),
        ("photographer", {"ankles", "feet"}),
        ("on its side", {"upright"}),
        ("on its head", {"upright"}),
        ("askew", {"upright"}),
        ("cat", {"person"}),
        ("cup", {"person"}),
    ],
)
def test_a_picture_without_a_whole_person_is_refused_and_says_what_is_missing(
    answers: Answers, name: str, missing: set[str]
) -> None:
    refused = answers[name]
    assert isinstance(refused, NoFullBody)
    assert missing <= set(refused.details["missing"])
    assert refused.details["field"] == "image_url"
    assert "stand" in refused.details["remedy"]


@pytest.mark.parametrize("height", [0, -175, 1.75, 2, 99.9, 250.1, math.nan, math.inf, "175", True, None])
def test_a_height_that_nobody_has_is_refused_and_metres_are_told_apart(height: object) -> None:
    with pytest.raises(ValidationError) as refused:
        EstimateParams.model_validate({"image_url": "https://example.com/a.png", "height_cm": height})
    assert ("is in metres; give centimetres" in str(refused.value)) == (height in (1.75, 2))


async def test_a_process_that_is_killed_is_replaced_and_the_picture_is_answered(tmp_path: Path) -> None:
    pose = PoseProcess(str(tmp_path))
    try:
        picture = await read_picture(Figure(body_px=300).png())
        found = await pose.find(picture.png)
        assert found is not None
        assert len(found.landmarks) == LANDMARKS
        os.kill(pose.pid or 0, signal.SIGKILL)
        again = await pose.find(picture.png)
        assert again == found
        assert pose.status().ready
        assert pose.status().details == {"starts": 2, "pictures": 2}
        assert not environment_of(pose.pid or 0) & {"HOME", "SUPABASE_SERVICE_ROLE_KEY", "OPENAI_API_KEY"}
        pid = pose.pid or 0
    finally:
        await pose.close()
    assert not Path(f"/proc/{pid}").exists()


async def test_a_process_that_does_not_start_is_told_and_left_in_peace_for_a_while(tmp_path: Path) -> None:
    pose = PoseProcess(str(tmp_path), module="handlers.sizing.nowhere")
    assert pose.status().ready
    for _ in range(2):
        with pytest.raises(ModelUnavailable) as raised:
            await pose.find(b"")
        assert raised.value.retry_after_s is not None
    assert not pose.status().ready
    assert "does not start" in pose.status().reason
    assert pose.status().details["starts"] == 1
    await pose.close()


def test_the_pose_process_has_no_network() -> None:
    subprocess.run([sys.executable, "-c", REACHING], check=True, timeout=30)


def environment_of(pid: int) -> set[str]:
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return {entry.partition(b"=")[0].decode() for entry in entries if entry}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[XS", "no table"),
        ("[XS]\nchest = 84\nwaist = 72\n", "hip"),
        (OURS.read_text(encoding="utf-8").replace("[XXL]", "[XXXL]"), "XXXL"),
        (OURS.read_text(encoding="utf-8").replace("chest = 92", "chest = 80"), "S is not larger than XS"),
        (OURS.read_text(encoding="utf-8").replace("hip = 88", "hip = -1"), "greater than 0"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_at_the_start(tmp_path: Path, text: str, words: str) -> None:
    table = tmp_path / "sizes.toml"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=words):
        EstimateBody(EndpointConfig(str(tmp_path), {"size_table": str(table)}))


def test_our_own_table_can_be_used() -> None:
    assert tuple(load_table(OURS)) == NAMES
