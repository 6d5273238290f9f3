"""The examples run as they stand, against a running `listener dev`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.node import NODE, ROOT
from tests.support.target import Target

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(("program", "script"), [(sys.executable, "portrait.py"), (str(NODE), "portrait.mjs")])
def test_an_example_ends_with_a_picture(project: Target, tmp_path: Path, program: str, script: str) -> None:
    done = subprocess.run(
        [program, str(ROOT / "examples" / script), "a calm portrait"],
        cwd=tmp_path,
        env=os.environ | {"SUPABASE_URL": project.url, "SUPABASE_ANON_KEY": project.anon_key},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("image: ")
    assert (tmp_path / last.removeprefix("image: ")).read_bytes().startswith(PNG)


def test_the_examples_page_names_files_that_exist() -> None:
    text = (ROOT / "examples" / "README.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    assert not [link for link in links if not (ROOT / "examples" / link).exists()]
