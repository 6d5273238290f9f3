"""The generator at OpenAI: images/edits with references, images/generations without. Knows its client.

The client's own retries are off: it would repeat a 429, and no permit would be asked for its further tries.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from handlers.providers.answers import AnswerError, TooLargeError, UnreachedError, first_failure, judged, retry_after_s
from handlers.providers.forms import read_options, refuse_sound, unused, unused_pipeline
from handlers.providers.results import BYTES_MAX, Results
from handlers.providers.tries import patiently
from handlers.providers.wire import CONNECT_S
from listener.contract import (
    GeneratedImage,
    Generation,
    GenerationRequest,
    Generator,
    GeneratorConfig,
    GeneratorStatus,
    OnStep,
    Permit,
    ProviderConfig,
)
from listener.errors import ConfigError, NothingProduced

try:
    import openai
    from openai.types import ImagesResponse
except ImportError as missing:
    raise ConfigError("the generator openai needs its client: pip install 'listener[openai]'") from missing

PROVIDER = "openai"
REFERENCES_MAX = 16
SIDES = {"1024x1024": 1.0, "1536x1024": 1.5, "1024x1536": 1 / 1.5}
MILLION = 1_000_000


class Prices(BaseModel):
    """Dollars for a million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text_in: float = Field(0, ge=0)
    image_in: float = Field(0, ge=0)
    out: float = Field(0, ge=0)


class OpenAIOptions(BaseModel):
    """Options of OpenAI's image models; `size` nearest: the one whose shape is nearest to what is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: Literal["nearest", "auto", "1024x1024", "1536x1024", "1024x1536"] = "nearest"
    quality: Literal["auto", "low", "medium", "high"] = "auto"
    input_fidelity: Literal["low", "high"] | None = None
    output_format: Literal["png", "jpeg", "webp"] = "png"
    moderation: Literal["auto", "low"] | None = None
    usd_per_million_tokens: Prices | None = None
    usd_per_image: float | None = Field(None, ge=0)


@dataclass(frozen=True, slots=True)
class Part:
    """What one request to OpenAI made."""

    images: tuple[GeneratedImage, ...]
    cost_usd: float | None


class OpenAIGenerator:
    """Asks OpenAI for all images of a prompt at once."""

    def __init__(self, config: ProviderConfig) -> None:
        self._config = config
        self._options = read_options(OpenAIOptions, PROVIDER, config.options)
        self._results = Results(PROVIDER, ())
        self._permit: Permit | None = None
        http = openai.DefaultAsyncHttpxClient(
            timeout=openai.Timeout(config.timeout_s, connect=CONNECT_S), follow_redirects=False
        )
        self._client = openai.AsyncOpenAI(
            api_key=config.key,
            base_url=config.base_url,
            max_retries=0,
            http_client=http,
            default_headers={"Accept-Encoding": "identity"},  # so that a small answer stays small
        )

    def limited_by(self, permit: Permit) -> None:
        """Wait for this before each request."""
        self._permit = permit

    async def start(self) -> None:
        """Nothing is loaded here."""

    async def close(self) -> None:
        """Close the connections."""
        await self._results.close()
        await self._client.close()

    def status(self) -> GeneratorStatus:
        """It can always be asked."""
        details = {"provider": PROVIDER, "model": self._config.model}
        return GeneratorStatus(True, f"{PROVIDER}: {self._config.model}", details)

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Generation:
        """Make the images, those of one prompt in one request. Raises: AttemptFailure."""
        refuse_sound(PROVIDER, request)
        began = time.monotonic()
        parts = request.apart() if len(set(request.drawn_prompts)) > 1 else (request,)
        made: list[Part] = []

        async def make(part: GenerationRequest) -> Part:
            done = await self._images(replace(part, prompt=part.drawn_prompts[0], prompts=()))
            made.append(done)
            on_step(sum(len(one.images) for one in made), len(request.seeds))
            return done

        try:
            async with asyncio.TaskGroup() as group:
                making = [group.create_task(make(part)) for part in parts]
        except ExceptionGroup as failed:
            raise first_failure(PROVIDER, failed, len(made)) from failed
        costs_usd = [one.cost_usd for one in made if one.cost_usd is not None]
        return Generation(
            images=tuple(image for task in making for image in task.result().images),
            model=self._config.model,
            pipeline_class="images.edits" if request.references else "images.generations",
            device=PROVIDER,
            steps=0,
            guidance_scale=None,
            duration_s=time.monotonic() - began,
            notes=_notes(request),
            cost_usd=sum(costs_usd) if costs_usd else None,
        )

    async def _images(self, request: GenerationRequest) -> Part:
        """The images of one prompt. Raises: AttemptFailure."""

        async def permitted() -> None:
            if self._permit is not None:
                await self._permit(request)

        with judged(PROVIDER):
            answer = await patiently(
                lambda: self._ask(request),
                further=self._config.max_retries,
                within_s=self._config.timeout_s,
                before=permitted,
            )
        encoded = [one.b64_json for one in answer.data or () if one.b64_json]
        if len(encoded) < len(request.seeds):
            details = {"provider": PROVIDER, "reason": "no_image", "images": len(encoded)}
            raise NothingProduced(f"{len(encoded)} of {len(request.seeds)} images came", details=details)
        pairs = zip(request.seeds, encoded, strict=False)
        images = tuple([await self._results.image(one, seed) for seed, one in pairs])
        return Part(images, self._cost_usd(answer, len(images)))

    async def _ask(self, request: GenerationRequest) -> ImagesResponse:
        """One request. Raises: AnswerError, UnreachedError, TooLargeError, TimeoutError."""
        images, words = self._client.images.with_streaming_response, self._words(request)
        files = [(f"{n}.png", image) for n, image in enumerate(request.references[:REFERENCES_MAX], 1)]
        body = bytearray()
        try:
            async with images.edit(image=files, **words) if files else images.generate(**words) as response:
                async for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > BYTES_MAX * len(request.seeds) * 2:
                        raise TooLargeError(f"the answer has more than {len(body)} bytes")
            return ImagesResponse.model_validate_json(bytes(body))
        except openai.APITimeoutError as error:
            raise TimeoutError(type(error).__name__) from error
        except openai.APIConnectionError as error:
            raise UnreachedError(type(error.__cause__).__name__, is_sent=not _is_refused(error)) from error
        except openai.APIStatusError as error:
            code = error.code or error.type
            raise AnswerError(error.status_code, str(error), code, retry_after_s(error.response.headers)) from error

    def _words(self, request: GenerationRequest) -> dict[str, Any]:
        options = self._options
        words = {
            "model": self._config.model,
            "prompt": request.prompt,
            "n": len(request.seeds),
            "size": _size(request, options.size),
            "quality": options.quality,
            "output_format": options.output_format,
        }
        if request.references and options.input_fidelity:
            words["input_fidelity"] = options.input_fidelity
        if options.moderation:
            words["extra_body"] = {"moderation": options.moderation}
        return words

    def _cost_usd(self, answer: ImagesResponse, images: int) -> float | None:
        prices, usage = self._options.usd_per_million_tokens, answer.usage
        if prices is None or usage is None:
            return None if self._options.usd_per_image is None else self._options.usd_per_image * images
        given = usage.input_tokens_details
        tokens = given.text_tokens * prices.text_in + given.image_tokens * prices.image_in
        return (tokens + usage.output_tokens * prices.out) / MILLION


def openai_generator(config: GeneratorConfig) -> Generator:
    """The generator at OpenAI. Raises: ConfigError."""
    if PROVIDER not in config.providers:
        raise ConfigError("the generator openai needs OPENAI_API_KEY")
    return OpenAIGenerator(config.providers[PROVIDER])


def _is_refused(error: openai.APIConnectionError) -> bool:
    """Whether no connection was made at all, so that nothing can have been begun."""
    return type(error.__cause__).__name__ in {"ConnectError", "ConnectTimeout"}


def _size(request: GenerationRequest, wanted: str) -> str:
    if wanted != "nearest":
        return wanted
    if request.width is None or request.height is None:
        return "auto"
    shape = request.width / request.height
    return min(SIDES, key=lambda size: max(SIDES[size] / shape, shape / SIDES[size]))


def _notes(request: GenerationRequest) -> tuple[str, ...]:
    without = {
        "negative_prompt": request.negative_prompt,
        "num_inference_steps": request.steps,
        "guidance_scale": request.guidance_scale,
    }
    notes = [*unused([name for name, value in without.items() if value is not None] + ["seed"], PROVIDER)]
    notes.extend(unused_pipeline(request, PROVIDER))
    if len(request.references) > REFERENCES_MAX:
        notes.append(f"of {len(request.references)} references {REFERENCES_MAX} were used")
    return tuple(notes)
