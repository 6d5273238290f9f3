"""`listener dev`: the words and the options around the embedded stack, its workers and the page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from devstack.dev import DevOptions, Reporter, Running

DEMO_PROMPT = "studio headshot of a violinist, soft window light"
DEMO_WITHIN_S = 600.0
WARNINGS = ("warning", "error", "critical")


@click.command()
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="When ready, print one JSON line (URL, keys) for another client; words go to stderr.",
)
@click.option("--demo", is_flag=True, help="Insert one session by itself and save its picture.")
@click.option("--once", is_flag=True, help="As --demo, and end after it; the last line is `image: PATH`.")
@click.option("--workers", type=click.IntRange(0, 8), default=1, show_default=True, help="Worker processes.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=0, help="Port of the stack on 127.0.0.1 (0: a free one)."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("out"),
    show_default=True,
    help="Folder of the demo's picture.",
)
@click.option("--verbose", is_flag=True, help="Show the workers' log lines.")
def dev(*, as_json: bool, demo: bool, once: bool, workers: int, port: int, out: Path, verbose: bool) -> None:
    """Run the embedded stack, its workers and the page on this machine.

    No account, no Docker, nothing to install. Ctrl-C ends it and leaves nothing behind.
    """
    try:
        from devstack.dev import DevOptions, Reporter  # noqa: PLC0415 - only this command needs the stack
    except ImportError as error:
        raise click.ClickException(
            f"the embedded stack is not installed ({error}): pip install 'listener[devstack,gpu]'"
        ) from None
    if (demo or once) and workers == 0:
        raise click.UsageError("--demo needs a worker")
    visit = _Visit(as_json, demo or once, stay=not once, out=out)
    reporter = Reporter(visit.say, _log_line if verbose else _warning)
    finished = _run(DevOptions(port=port, workers=workers, stay=not once), reporter, visit)
    if once and not finished:
        raise SystemExit(130)
    if once:
        click.echo(f"image: {visit.picture}")


def _run(options: DevOptions, reporter: Reporter, visit: _Visit) -> bool:
    from devstack.dev import EXPECTED, run_dev  # noqa: PLC0415

    try:
        return asyncio.run(run_dev(options, reporter, visit))
    except ExceptionGroup as group:
        if group.split((*EXPECTED, _DemoError))[1] is not None:
            raise
        raise click.ClickException("\n".join(str(error) for error in _leaves(group))) from None


class _DemoError(Exception):
    """The session that was inserted by itself did not become a picture."""


@dataclass(slots=True)
class _Visit:
    as_json: bool
    demo: bool
    stay: bool
    out: Path
    picture: Path | None = None

    def say(self, words: str) -> None:
        click.echo(words, err=self.as_json)

    async def __call__(self, running: Running) -> None:
        """Say what runs; then be the first user of it."""
        if self.as_json:
            click.echo(running.as_json())
        if self.stay:
            self.say(_welcome(running))
        if self.demo:
            self.picture = await self._be_a_user(running)
            if self.stay:
                self.say(f'image: {self.picture}\nIt goes on: open the page, or `listener submit "a prompt" --watch`.')

    async def _be_a_user(self, running: Running) -> Path:
        from listener.adapters.app_client import AppAccess, AppError, open_app  # noqa: PLC0415 - slow to import
        from listener.cli.submit import described, picture_of  # noqa: PLC0415

        try:
            async with open_app(AppAccess(running.url, running.anon_key)) as app:
                self.say(f'an app inserts one row: "{DEMO_PROMPT}"')
                row = await app.insert({"prompt": DEMO_PROMPT})
                row = await app.follow(
                    row["id"], _once_each(lambda seen: self.say(f"  {described(seen)}")), DEMO_WITHIN_S
                )
                return await picture_of(app, row, self.out / f"{row['id']}.png")
        except AppError as error:
            raise _DemoError(f"the demo's session did not become a picture: {error}") from error


def _once_each(say: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    last: list[tuple[Any, ...]] = [()]

    def on_row(row: dict[str, Any]) -> None:
        seen = (row["status"], row["progress"], row["message"])
        if seen != last[0]:
            last[0] = seen
            say(row)

    return on_row


def _welcome(running: Running) -> str:
    api = f"\nThe HTTP API:    {running.api_url}/docs" if running.api_url else ""
    return f"""
Open this page:  {running.page_url}{api}

What happens there: the page inserts a row. In the same transaction the database charges one credit.
Realtime wakes the worker, which claims the row, generates the picture step by step and uploads it.
Each change of the row comes back to the page over Realtime.

From another terminal: listener submit "a calm portrait" --watch
Ctrl-C ends everything and leaves nothing behind.
"""


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [
        leaf
        for error in group.exceptions
        for leaf in (_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]


def _log_line(line: dict[str, Any]) -> None:
    words = " ".join(f"{name}={value}" for name, value in line.items() if name not in {"event", "timestamp", "level"})
    click.echo(f"  worker: {line['event']} {words}", err=True)


def _warning(line: dict[str, Any]) -> None:
    if line.get("level") in WARNINGS:
        _log_line(line)
