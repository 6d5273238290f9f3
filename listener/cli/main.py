"""The command `listener` and its subcommands; each imports what it needs when it is called, and nothing else."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from listener import __version__
from listener.errors import ConfigError, SchemaTooNew

EXIT_CONFIG = 78
"""EX_CONFIG of sysexits.h: a supervisor should not start it again before someone changed something."""
EXIT_SCHEMA = 57
"""The database is newer than this worker: start a newer one instead."""

SECTIONS = {
    "Try it": {
        "dev": "Start an embedded stack with worker and page.",
        "submit": "Insert a session and watch it.",
    },
    "The worker": {
        "run": "Run the worker until it is told to stop.",
        "serverless": "Run the worker behind a RunPod Serverless endpoint.",
        "check": "Check everything the worker needs, with a remedy for each fault.",
        "bench-model": "Measure the configured model on this machine.",
    },
    "Your project": {
        "migrate": "Bring the tables and functions into it.",
        "watch-table": "Make a table of yours a session table.",
        "webhook": "Say where the database sends its wake-ups.",
    },
    "What goes on": {
        "status": "Show the workers and the queue.",
        "failures": "Show what failed lately, and how often.",
        "costs": "Show what sessions came to, day by day: device time and dollars.",
        "clean": "Remove files that nobody needs any more.",
        "alerts": "Tell Alertmanager's alerts to people by WhatsApp.",
    },
    "Users and stores": {
        "grant": "Give an owner credits.",
        "ledger": "Show an owner's credits, entry by entry.",
        "store": "Make stores, and list them.",
        "keys": "Make, list and revoke the API keys of stores.",
        "partner-webhook": "Say where a store hears of finished sessions.",
        "deliveries": "Show what was sent to a store, and what came of it.",
    },
}
COMMANDS = {name: words for section in SECTIONS.values() for name, words in section.items()}


class LazyGroup(click.Group):
    """Finds `listener.cli.<name>` and the command of that name in it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of a reader's interest."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"listener.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any of them."""
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="listener")
def cli() -> None:
    """Claims the session rows of a Supabase app, generates what they ask for, and writes it back to the row."""


def main(arguments: list[str] | None = None) -> Any:
    """Run a command; a wrong configuration ends with status 78 and every problem named, a schema too new with 57."""
    try:
        return cli.main(args=arguments, prog_name="listener")
    except ConfigError as error:
        for problem in error.details.get("problems", [str(error)]):
            click.echo(f"configuration: {problem}", err=True)
        sys.exit(EXIT_SCHEMA if isinstance(error, SchemaTooNew) else EXIT_CONFIG)
