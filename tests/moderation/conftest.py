"""A clean environment, as the tests of the settings have it."""

from __future__ import annotations

from tests.cli.conftest import complete, environment

__all__ = ["complete", "environment"]
