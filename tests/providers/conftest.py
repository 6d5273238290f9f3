"""A generator of each provider against a server of its wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest

from handlers.providers import tries
from listener.contract import Generation, GenerationRequest, GeneratorConfig, ProviderConfig, RemoteGenerator
from tests.providers.wires import KEY, PROMPT, FalWire, OpenAIWire, ReplicateWire, RunPodWire, Wire, picture, serving

WIRES: dict[str, type[Wire]] = {
    "openai": OpenAIWire,
    "replicate": ReplicateWire,
    "fal": FalWire,
    "runpod": RunPodWire,
}
MODELS = {"openai": "gpt-image-1.5", "replicate": "owner/name", "fal": "owner/name/edit", "runpod": "endpoint1"}
QUICK: dict[str, dict[str, Any]] = {name: {} if name == "openai" else {"poll_s": 0.01} for name in WIRES}


def a_request(**fields: Any) -> GenerationRequest:
    """A try-on of two pictures."""
    given: dict[str, Any] = {
        "kind": "tryon",
        "session": uuid4(),
        "prompt": PROMPT,
        "seeds": (7,),
        "references": (picture(), picture(colour="blue", kind="JPEG")),
    }
    return GenerationRequest(**(given | fields))


@dataclass
class Provider:
    """A generator, the server that it asks, and the permits that it waited for."""

    name: str
    wire: Wire
    generator: RemoteGenerator
    permits: list[GenerationRequest] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)

    async def permit(self, request: GenerationRequest) -> None:
        self.permits.append(request)

    async def make(self, **fields: Any) -> Generation:
        """One generation."""
        return await self.generator.generate(a_request(**fields), lambda *step: self.steps.append(step))


Opener = Callable[..., Any]


@asynccontextmanager
async def opened(name: str, **config: Any) -> AsyncIterator[Provider]:
    """Open a provider by its entry point's factory."""
    async with serving(WIRES[name]()) as wire:
        given = {"model": MODELS[name], "key": KEY, "timeout_s": 5.0, "max_retries": 2, "options": QUICK[name]}
        base_url = f"{wire.url}/v1" if name == "openai" else wire.url
        provider = ProviderConfig(**{**given, "base_url": base_url, **config})
        factory = getattr(import_module(f"handlers.providers.{name}"), f"{name}_generator")
        generator = factory(GeneratorConfig((), "", providers={name: provider}))
        assert isinstance(generator, RemoteGenerator)
        found = Provider(name, wire, generator)
        generator.limited_by(found.permit)
        try:
            yield found
        finally:
            await generator.close()


@pytest.fixture(autouse=True)
def _no_long_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "FIRST_S", 0.01)


@pytest.fixture(params=list(WIRES))
async def provider(request: pytest.FixtureRequest) -> AsyncIterator[Provider]:
    """Each provider in turn."""
    async with opened(request.param) as found:
        yield found


@pytest.fixture(params=[name for name in WIRES if name != "openai"])
async def jobs(request: pytest.FixtureRequest) -> AsyncIterator[Provider]:
    """Each provider that runs jobs."""
    async with opened(request.param) as found:
        yield found
