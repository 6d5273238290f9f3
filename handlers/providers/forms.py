"""How a request becomes the input of somebody's model: its fields' names are configuration. Knows no provider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from handlers.providers.results import data_uri
from listener.contract import GenerationRequest
from listener.errors import ConfigError, ProviderMisconfigured

O = TypeVar("O", bound=BaseModel)  # noqa: E741 - options
Asked = Literal[
    "prompt", "negative_prompt", "width", "height", "size", "steps", "guidance_scale", "seed", "references", "reference"
]
QUIET = frozenset({"width", "height", "size", "reference", "references", "prompt"})
"""What is not worth a note when the model has no field for it, or another one stands for it."""


class JobOptions(BaseModel):
    """Options of a provider that runs somebody's model.

    `fields` names the model's own fields, null for one it has not; `size` stands for an object of width and height,
    `reference` for the first reference alone. `input` is sent along as it is. Units: usd_* are dollars.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fields: dict[Asked, str | None] = {}
    input: dict[str, JsonValue] = {}
    usd_per_image: float | None = Field(None, ge=0)
    usd_per_second: float | None = Field(None, ge=0)
    poll_s: float = Field(1.0, gt=0, le=60)
    result_hosts: tuple[str, ...] = ()

    def cost_usd(self, images: int, busy_s: float | None) -> float | None:
        """What so many images cost, as far as known."""
        if self.usd_per_image is not None:
            return self.usd_per_image * images
        return None if self.usd_per_second is None or busy_s is None else self.usd_per_second * busy_s


def refuse_sound(provider: str, request: GenerationRequest) -> None:
    """Refuse what would be paid for in vain. Raises: ProviderMisconfigured for a request of a clip."""
    if request.audio is not None:
        words = f"{provider} makes images, and no clips that say a sound"
        raise ProviderMisconfigured(words, details={"provider": provider})


def read_options(model: type[O], provider: str, given: Mapping[str, Any]) -> O:
    """Check a provider's options. Raises: ConfigError naming each that cannot be used."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        found = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False)]
        raise ConfigError(f"LISTENER_{provider.upper()}_OPTIONS: {'; '.join(found)}") from None


def filled(
    request: GenerationRequest, seed: int, names: Mapping[Asked, str | None], extra: Mapping[str, Any]
) -> dict[str, Any]:
    """The input for one image. What the request leaves open is left to the model."""
    return {**extra, **{name: value for field, value in _asked(request, seed).items() if (name := names.get(field))}}


def ignored(request: GenerationRequest, names: Mapping[Asked, str | None], provider: str) -> tuple[str, ...]:
    """A note for each wish that the model has no field for."""
    without = [field for field in _asked(request, 0) if not names.get(field) and field not in QUIET]
    if request.references and not (names.get("references") or names.get("reference")):
        without.append("references")
    return (*unused(without, provider), *unused_pipeline(request, provider))


def unused(fields: Iterable[str], provider: str) -> tuple[str, ...]:
    """A note for each of them."""
    return tuple(f"{field} is not used by {provider}" for field in fields)


def unused_pipeline(request: GenerationRequest, provider: str) -> tuple[str, ...]:
    """A note where a variant names a pipeline: those are of this machine."""
    return unused(["pipeline"] if request.kind != (request.session_kind or request.kind) else [], provider)


def _asked(request: GenerationRequest, seed: int) -> dict[Asked, Any]:
    references = [data_uri(image) for image in request.references]
    sized = request.width is not None and request.height is not None
    asked: dict[Asked, Any] = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt or None,
        "width": request.width,
        "height": request.height,
        "size": {"width": request.width, "height": request.height} if sized else None,
        "steps": request.steps,
        "guidance_scale": request.guidance_scale,
        "seed": seed,
        "references": references or None,
        "reference": references[0] if references else None,
    }
    return {field: value for field, value in asked.items() if value is not None}
