"""The generator with its circuit around it. Knows how it is asked; does not know what it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from listener.contract import DeviceLender, Generation, GenerationRequest, Generator, GeneratorStatus, OnStep
from listener.engine.gauge import Gauge
from listener.errors import ModelUnavailable


class GuardedGenerator:
    """The generator. It restarts by itself; the circuit is for one that starts well and dies with every session."""

    def __init__(self, generator: Generator, gauge: Gauge) -> None:
        self._generator = generator
        self._gauge = gauge

    async def start(self) -> None:
        """Begin to load."""
        await self._generator.start()

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Generation:
        """Make the images of one request."""
        with self._gauge.around("generate"):
            return await self._generator.generate(request, on_step)

    def exclusive(self, borrower: str) -> AbstractAsyncContextManager[str]:
        """Lend a device. Raises: ModelUnavailable where the generator has none of its own."""
        if not isinstance(self._generator, DeviceLender):
            raise ModelUnavailable("this generator has no device of its own to lend")
        return self._generator.exclusive(borrower)

    def servable(self, kinds: Sequence[str]) -> tuple[str, ...]:
        """Those of the kinds that it can make now."""
        status = self._generator.status()
        return tuple(kind for kind in kinds if status.refusal(kind, kinds) is None)

    def status(self) -> GeneratorStatus:
        """Tell whether it can work now."""
        return self._generator.status()

    async def close(self) -> None:
        """Stop."""
        await self._generator.close()
