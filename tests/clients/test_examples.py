"""The examples run as they stand, against a running `listener dev`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.support.node import NODE, ROOT
from tests.support.photographs import garment, person
from tests.support.sounds import a_tone, decoded
from tests.support.target import Target

PNG = b"\x89PNG\r\n\x1a\n"


def run(project: Target, folder: Path, *command: str) -> Path:
    """Run an example to its end; the picture or clip that it names last. A state may be printed after it."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"SUPABASE_URL": project.url, "SUPABASE_ANON_KEY": project.anon_key},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    named = re.findall(r"^(?:image|clip): (.+)$", done.stdout, re.MULTILINE)
    assert named, done.stdout
    return folder / named[-1]


@pytest.mark.parametrize(("program", "script"), [(sys.executable, "portrait.py"), (str(NODE), "portrait.mjs")])
def test_an_example_ends_with_a_picture(project: Target, tmp_path: Path, program: str, script: str) -> None:
    picture = run(project, tmp_path, program, str(ROOT / "examples" / script), "a calm portrait")
    assert picture.read_bytes().startswith(PNG)


def test_the_example_of_a_try_on_dresses_a_person(project: Target, tmp_path: Path) -> None:
    (tmp_path / "me.jpg").write_bytes(person())
    (tmp_path / "suit.jpg").write_bytes(garment())
    with Image.open(
        run(project, tmp_path, str(NODE), str(ROOT / "examples" / "tryon.mjs"), "me.jpg", "suit.jpg")
    ) as made:
        assert (made.format, made.size) == ("JPEG", (96, 128))


def test_the_example_of_an_avatar_ends_with_a_clip_that_plays(project: Target, tmp_path: Path) -> None:
    (tmp_path / "me.jpg").write_bytes(person())
    (tmp_path / "hello.wav").write_bytes(a_tone(1))
    clip = run(project, tmp_path, str(NODE), str(ROOT / "examples" / "avatar.mjs"), "me.jpg", "hello.wav")
    assert decoded(clip.read_bytes()).duration_s == pytest.approx(1.0, abs=0.15)


def test_the_example_of_a_pack_saves_each_image(project: Target, tmp_path: Path) -> None:
    last = run(project, tmp_path, str(NODE), str(ROOT / "examples" / "pack.mjs"), "auburn", "a linen suit")
    assert sorted(image.stem for image in tmp_path.iterdir()) == ["0", "1", "2", "3", "4"]
    with Image.open(last) as made:
        assert made.size == (128, 128)


def test_the_examples_page_names_files_that_exist() -> None:
    text = (ROOT / "examples" / "README.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    assert not [link for link in links if not (ROOT / "examples" / link.partition("#")[0]).exists()]
