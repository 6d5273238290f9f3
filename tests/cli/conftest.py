"""A clean environment for the tests of the settings and the command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

COMPLETE = {"SUPABASE_URL": "https://abcd.supabase.co", "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_0123456789abcdef"}

PREFIXES = ("LISTENER_", "SUPABASE_", "HF_", "R2_", "OPENAI_", "REPLICATE_", "FAL_", "RUNPOD_")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No variable of ours is set, and no .env lies in the folder."""
    for name in os.environ:
        if name.upper().startswith(PREFIXES):
            monkeypatch.delenv(name)
    for name in ("WORKER_CONCURRENCY", "LOG_LEVEL", "API_KEY", "ALLOWED_ORIGINS", "MODEL_STORAGE_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


@pytest.fixture
def complete(environment: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Everything that is required is set."""
    set_all(environment, COMPLETE)
    return environment


def set_all(environment: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
