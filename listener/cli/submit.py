"""`listener submit`: what an app does, from a terminal. Knows the options; the work is in adapters/app_client."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import platformdirs

from listener.access import AppSettings
from listener.adapters.app_client import HEADSHOTS, TRYONS, App, AppAccess, AppError, Row, open_app

NOT_CONFIGURED = 78
CONTENT_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
PICTURE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("prompt", default="")
@click.option(
    "--person", type=PICTURE, help="Try-on: a picture of the person (with --garment; the prompt is optional)."
)
@click.option(
    "--garment", "garments", type=PICTURE, multiple=True, help="Try-on: a picture to wear; may be given again."
)
@click.option("--watch", is_flag=True, help="Follow the session with a progress bar until it is finished.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the picture here (implies --watch).")
@click.option("--negative-prompt", help="What the picture should not show.")
@click.option("--width", type=click.IntRange(64, 2048), help="Pixels.")
@click.option("--height", type=click.IntRange(64, 2048), help="Pixels.")
@click.option("--steps", "num_inference_steps", type=click.IntRange(1, 100), help="Denoising steps.")
@click.option("--guidance", "guidance_scale", type=click.FloatRange(0, 20), help="Guidance scale.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="The same seed draws the same picture.")
@click.option(
    "--timeout", "within_s", type=click.FloatRange(1), default=900.0, show_default=True, help="Seconds to watch."
)
def submit(
    *,
    prompt: str,
    person: Path | None,
    garments: tuple[Path, ...],
    watch: bool,
    out: Path | None,
    within_s: float,
    **fields: Any,
) -> None:
    """Insert one session as a new anonymous user: a headshot of PROMPT, or a try-on of --person and --garment.

    The project is the one of SUPABASE_URL and SUPABASE_ANON_KEY, else the running `listener dev` of this user.
    Exit status: 0 done, 1 the session failed or was refused, 69 the project does not answer, 75 not finished in time,
    77 no credits, 78 no project is known.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    asked = _asked(prompt, person, garments, given)
    try:
        asyncio.run(_submit(_access(), asked, watch or out is not None, out, within_s))
    except AppError as error:
        click.echo(str(error), err=True)
        raise SystemExit(error.exit_code) from None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A row to be, and the pictures that it is to name."""

    table: str
    fields: Row
    pictures: tuple[Path, ...] = ()


def _asked(prompt: str, person: Path | None, garments: tuple[Path, ...], given: Row) -> _Asked:
    if person is None and not garments:
        if not prompt:
            raise click.UsageError("a headshot needs a PROMPT, a try-on --person and --garment")
        return _Asked(HEADSHOTS, {"prompt": prompt, **given})
    if person is None or not garments:
        raise click.UsageError("a try-on needs --person and at least one --garment")
    if given:
        raise click.UsageError(f"a try-on has no {', '.join(sorted(given))}: its size is the person's")
    return _Asked(TRYONS, {"prompt": prompt or None}, (person, *garments))


async def _submit(access: AppAccess, asked: _Asked, watch: bool, out: Path | None, within_s: float) -> None:
    async with open_app(access, asked.table) as app:
        fields = dict(asked.fields)
        if asked.pictures:
            fields["image_urls"] = [await _uploaded(app, picture) for picture in asked.pictures]
        row = await app.insert(fields)
        click.echo(f"session: {row['id']}")
        if not watch:
            return
        with _shown(sys.stdout.isatty()) as on_row:
            row = await app.follow(row["id"], on_row, within_s)
        click.echo(f"image: {await picture_of(app, row, out)}")


async def _uploaded(app: App, picture: Path) -> str:
    content_type = CONTENT_TYPES.get(picture.suffix.lower())
    if content_type is None:
        raise AppError(f"{picture.name} is no picture that can be used: {', '.join(CONTENT_TYPES)}")
    return await app.upload(await asyncio.to_thread(picture.read_bytes), content_type, picture.suffix.lower())


async def picture_of(app: App, row: Row, out: Path | None) -> Path:
    """Save the finished session's picture; `out` None names it after the session, in ./out.

    Raises: AppError when there is none.
    """
    if row["status"] != "completed":
        raise AppError(
            f"The session {row['status']}: {row['error_message'] or row['error_code'] or 'no reason was given'}"
        )
    artifacts = (row["result"] or {}).get("artifacts") or []
    if not artifacts:
        raise AppError("The session completed without a picture.")
    path = out or Path("out") / f"{row['id']}{Path(artifacts[0]['path']).suffix}"
    image = await app.read(artifacts[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image)
    return path


def described(row: Row) -> str:
    """One line of words for a row."""
    words = [str(row["status"])]
    if row["status"] == "processing":
        words.append(f"{row['progress'] or 0} %")
        if row["message"]:
            words.append(f"({row['message']})")
    return " ".join(words)


def _shown(terminal: bool) -> AbstractContextManager[Callable[[Row], None]]:
    return _Bar() if terminal else nullcontext(lambda row: click.echo(described(row)))


class _Bar:
    def __init__(self) -> None:
        self._bar = click.progressbar(length=100, label="queued", width=32, item_show_func=lambda item: item)
        self._done = 0

    def __enter__(self) -> Callable[[Row], None]:
        self._bar.__enter__()
        self._bar.render_progress()
        return self._draw

    def __exit__(self, *_: object) -> None:
        self._bar.__exit__(None, None, None)

    def _draw(self, row: Row) -> None:
        done = 100 if row["status"] == "completed" else int(row["progress"] or 0)
        self._bar.label = str(row["status"])
        self._bar.update(max(0, done - self._done), row["message"] or "")
        self._bar.render_progress()
        self._done = max(self._done, done)


def _access() -> AppAccess:
    settings = AppSettings()
    if settings.supabase_url and settings.supabase_anon_key:
        return AppAccess(settings.supabase_url, settings.supabase_anon_key)
    note = platformdirs.user_state_path("listener") / "dev.json"
    try:
        known = json.loads(note.read_text())
    except FileNotFoundError:
        click.echo("No project is known: set SUPABASE_URL and SUPABASE_ANON_KEY, or start `listener dev`.", err=True)
        raise SystemExit(NOT_CONFIGURED) from None
    return AppAccess(known["url"], known["anon_key"])
