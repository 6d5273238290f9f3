"""The Supabase CLI on a database of ours, with nothing of this machine in its reach."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

CLI = Path(__file__).parent / "node_modules" / "@supabase" / "cli-linux-x64" / "bin" / "supabase"
needs_cli = pytest.mark.skipif(
    not CLI.is_file(), reason="the Supabase CLI is not installed: run `make advisors` (Linux x64)"
)


def supabase(folder: Path, url: str, *arguments: str) -> str:
    """Run a command in a folder that is also its home; what it printed. An exit status of its findings is no error."""
    environment = {"PATH": os.defpath, "HOME": str(folder), "SUPABASE_TELEMETRY_DISABLED": "1"}
    ran = subprocess.run(
        [CLI, *arguments, f"--remote={url}"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Target: custom Postgres" in ran.stderr, ran.stdout + ran.stderr
    return ran.stdout
