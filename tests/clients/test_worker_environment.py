"""What `listener dev` starts its workers with."""

from __future__ import annotations

from pathlib import Path

import pytest

from devstack.worker import draws_noise, worker_environment

URL = "http://127.0.0.1:1"


def test_the_keys_of_a_real_project_never_reach_the_throwaway_stack() -> None:
    outer = {"SUPABASE_URL": "https://real.example", "SUPABASE_SECRET_KEY": "sb_secret_real", "PATH": "/bin"}
    given = worker_environment(URL, "local", outer)
    assert "https://real.example" not in given.values()
    assert "sb_secret_real" not in given.values()
    assert given["SUPABASE_URL"] == URL
    assert given["PATH"] == "/bin"


def test_without_a_word_the_embedded_weights_draw_small_pictures() -> None:
    given = worker_environment(URL, "local", {})
    assert given["LISTENER_HEADSHOT_MODEL"] == "embedded"
    assert given["LISTENER_HEADSHOT_WIDTH"] == "256"
    assert draws_noise({})


def test_a_chosen_model_keeps_its_own_size() -> None:
    outer = {"LISTENER_HEADSHOT_MODEL": "some/model"}
    given = worker_environment(URL, "local", outer)
    assert given["LISTENER_HEADSHOT_MODEL"] == "some/model"
    assert "LISTENER_HEADSHOT_WIDTH" not in given
    assert not draws_noise(outer)


def test_a_model_chosen_in_the_env_file_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("LISTENER_HEADSHOT_MODEL=some/model\nSUPABASE_URL=https://real.example\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LISTENER_HEADSHOT_MODEL", raising=False)
    given = worker_environment(URL, "local")
    assert given["LISTENER_HEADSHOT_MODEL"] == "some/model"
    assert given["SUPABASE_URL"] == URL
