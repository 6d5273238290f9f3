"""`listener bench-model`: what the configured model does on this machine, with its speed options and without.

Asks the generator through its entry point, as the worker would. Knows neither queue nor project, and needs none.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import click
from PIL import Image, ImageChops, ImageStat

from listener.cli.bench_sound import SOUND_S, tone_and_picture
from listener.cli.json_object import JsonObject
from listener.cli.operating import table_of
from listener.contract import Generation, GenerationRequest, Generator, GeneratorConfig, PipelineConfig
from listener.errors import AttemptFailure, ConfigError
from listener.registry import load_generator
from listener.settings import load_settings
from listener.telemetry import log
from listener.telemetry.redact import hide_secrets

NO_PROJECT = {"SUPABASE_URL": "http://localhost", "SUPABASE_SERVICE_ROLE_KEY": "no-project-is-asked-for"}
CLIPS = "avatar"
PROMPT = "studio headshot of a violinist, soft window light"
HEADINGS = ("options", "ready s", "s/image", "images/s", "times plain", "peak MiB", "differs", "steps")
EXAMPLE = ' such as {"attention": "auto"}'


@dataclass(frozen=True, slots=True)
class Measured:
    """What one choice of options came to, or why it came to nothing.

    Units: ready_s from the start to the first picture or clip, image_s the median; differs is the mean of 255 levels,
    None for clips.
    """

    options: str
    refusal: str = ""
    ready_s: float = 0.0
    image_s: float = 0.0
    peak_mib: float | None = None
    differs: float | None = None
    steps: int = 0
    device: str = ""


@click.command("bench-model")
@click.option("--kind", default="headshot", show_default=True, help="Whose pipeline.")
@click.option(
    "--options", "choices", type=JsonObject(EXAMPLE), multiple=True, help="Options to measure; may be given again."
)
@click.option(
    "--size", type=click.IntRange(64, 4096), nargs=2, metavar="WIDTH HEIGHT", help="As configured, if absent."
)
@click.option("--steps", type=click.IntRange(1, 200), help="As configured, if absent.")
@click.option("--images", type=click.IntRange(1, 32), default=1, show_default=True, help="Images of one request.")
@click.option("--runs", type=click.IntRange(1, 1000), default=5, show_default=True, help="Requests to measure.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line for each choice of options.")
def bench_model(*, kind: str, choices: tuple[dict[str, Any], ...], runs: int, as_json: bool, **asked: Any) -> None:
    """Measure the configured model on this machine: plain, as configured, and with each of the --options.

    Of the kind avatar it measures clips of two seconds.

    Reads the worker's settings; SUPABASE_URL and its key are not needed.
    Exit status: 0, 1 nothing could be measured, 78 settings.
    """
    settings = load_settings(NO_PROJECT)
    hide_secrets(settings.secrets())
    log.configure("CRITICAL")  # what is refused is told by the table
    config = settings.generator_config()
    pipeline = _pipeline(config, kind)
    request = _request(pipeline, **asked)
    bench = _Bench(settings.generator, config, pipeline, request, runs)
    found = asyncio.run(bench.measure(_distinct([{}, pipeline.options, *choices])))
    if as_json:
        for one in found:
            click.echo(json.dumps({name: getattr(one, name) for name in Measured.__slots__}))
    else:
        click.echo(_described(found, pipeline, request))
    if all(one.refusal for one in found):
        raise SystemExit(1)


@dataclass(slots=True)
class _Bench:
    generator: str
    config: GeneratorConfig
    pipeline: PipelineConfig
    request: GenerationRequest
    runs: int
    plain: Generation | None = None

    async def measure(self, choices: list[Mapping[str, Any]]) -> list[Measured]:
        """Measure one after the other: each has the device for itself."""
        return [await self._one(options) for options in choices]

    async def _one(self, options: Mapping[str, Any]) -> Measured:
        words = json.dumps(options) if options else "plain"
        config = replace(self.config, pipelines=(replace(self.pipeline, options=options),), devices=())
        started = time.monotonic()
        try:
            generator = load_generator(self.generator)(config)
        except ConfigError as error:
            return Measured(words, refusal=str(error))
        await generator.start()
        try:
            first = await generator.generate(self.request, _nobody)
            return await self._timed(words, generator, first, time.monotonic() - started)
        except AttemptFailure as error:
            return Measured(words, refusal=str(error))
        finally:
            await generator.close()

    async def _timed(self, words: str, generator: Generator, first: Generation, ready_s: float) -> Measured:
        took: list[float] = []
        for _ in range(self.runs):
            began = time.monotonic()
            await generator.generate(self.request, _nobody)
            took.append((time.monotonic() - began) / len(self.request.seeds))
        self.plain = self.plain or first
        memory = generator.status().details.get("memory", {})
        return Measured(
            words,
            ready_s=round(ready_s, 2),
            image_s=round(statistics.median(took), 4),
            peak_mib=memory.get("device_peak_mib", memory.get("rss_mib")),
            differs=round(_difference(first, self.plain), 2) if first.images else None,
            steps=first.steps,
            device=_device(generator, first),
        )


def _pipeline(config: GeneratorConfig, kind: str) -> PipelineConfig:
    found = {pipeline.kind: pipeline for pipeline in config.pipelines}
    if kind not in found:
        raise click.BadParameter(f"{kind!r} has no pipeline; there is {', '.join(found)}", param_hint="--kind")
    return found[kind]


def _request(
    pipeline: PipelineConfig, size: tuple[int, int] | None, steps: int | None, images: int
) -> GenerationRequest:
    width, height = size or (pipeline.width, pipeline.height)
    seeds = tuple(range(1, images + 1))
    request = GenerationRequest(pipeline.kind, uuid4(), PROMPT, seeds, width=width, height=height, steps=steps)
    if pipeline.kind != CLIPS:
        return request
    sound, picture = tone_and_picture(width, height)
    return replace(request, audio=sound, references=(picture,))


def _distinct(choices: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [one for number, one in enumerate(choices) if one not in choices[:number]]


def _nobody(_done: int, _total: int) -> None:
    return


def _difference(one: Generation, other: Generation) -> float:
    """How far two pictures are apart: the mean over all values, of 255."""
    first, second = one.images[0], other.images[0]
    if (first.width, first.height) != (second.width, second.height):
        return 255.0
    pictures = (Image.frombytes("RGB", (image.width, image.height), image.rgb) for image in (first, second))
    means = ImageStat.Stat(ImageChops.difference(*pictures)).mean
    return sum(means) / len(means)


def _device(generator: Generator, first: Generation) -> str:
    facts = generator.status().details.get("pipelines", {})
    names = [str(one["device_name"]) for one in facts.values() if isinstance(one, Mapping) and "device_name" in one]
    return names[0] if names else first.device


def _described(found: list[Measured], pipeline: PipelineConfig, request: GenerationRequest) -> str:
    device = next((one.device for one in found if one.device), "no device")
    plain_s = next((one.image_s for one in found if one.options == "plain" and not one.refusal), None)
    asked = f"{len(request.seeds)} image(s) a request" if request.audio is None else f"a clip of {SOUND_S} s a request"
    head = f"{pipeline.model}, {request.width} x {request.height}, {asked}, {device}"
    rows = [_row(one, plain_s) for one in found if not one.refusal]
    refused = [f"refused: {one.options}: {one.refusal}" for one in found if one.refusal]
    return "\n\n".join([head, *([table_of(rows, HEADINGS)] if rows else []), *refused])


def _row(one: Measured, plain_s: float | None) -> tuple[object, ...]:
    times = f"{plain_s / one.image_s:.2f}" if plain_s else "-"
    rate = f"{1 / one.image_s:.2f}"
    differs = "-" if one.differs is None else one.differs
    return one.options, one.ready_s, one.image_s, rate, times, one.peak_mib, differs, one.steps
