"""The command: exit codes, and a worker that needs neither the demo nor the stack."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from listener import __version__
from listener.cli.main import COMMANDS, cli, main
from listener.cli.run import config_error_in
from listener.errors import ConfigError


@pytest.mark.usefixtures("environment")
def test_a_wrong_configuration_ends_with_78_and_names_every_problem(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run"])
    assert ended.value.code == 78
    errors = capsys.readouterr().err
    assert "SUPABASE_URL is missing" in errors
    assert "SUPABASE_SERVICE_ROLE_KEY is missing" in errors
    assert "Traceback" not in errors


def test_a_kind_that_nothing_serves_is_a_configuration_error(
    complete: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    complete.setenv("LISTENER_KINDS", "headshots")
    with pytest.raises(SystemExit) as ended:
        main(["run"])
    assert ended.value.code == 78
    assert "did you mean 'headshot'" in capsys.readouterr().err


def test_a_generator_that_is_not_installed_is_a_configuration_error(
    complete: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    complete.setenv("LISTENER_GENERATOR", "remote")
    with pytest.raises(SystemExit) as ended:
        main(["run"])
    assert ended.value.code == 78
    assert "installed: fal, " in capsys.readouterr().err


def test_the_help_lists_every_command_without_importing_one() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from listener.cli.main import cli\n"
        "print(CliRunner().invoke(cli, ['--help']).output)\n"
        "sys.exit(str({'listener.cli.run', 'listener.cli.dev', 'devstack', 'supabase'} & set(sys.modules) or ''))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ran.stderr.strip() == ""
    for name in COMMANDS:
        assert name in ran.stdout


def test_version_and_unknown_command() -> None:
    assert __version__ in CliRunner().invoke(cli, ["--version"]).output
    assert CliRunner().invoke(cli, ["rum"]).exit_code == 2


def test_a_schema_that_is_too_old_is_found_under_the_groups_of_the_tasks() -> None:
    problem = ConfigError("schema")
    group = ExceptionGroup("tasks", [ValueError(), ExceptionGroup("inner", [problem])])
    assert config_error_in(group) is problem
    assert config_error_in(ExceptionGroup("tasks", [ValueError()])) is None
