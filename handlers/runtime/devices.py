"""Several devices on one host: a generator with a child of its own for each, the least loaded one first.

Knows the contract and that a generator may fail; does not know what a child is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from handlers.runtime.host import LocalGenerator
from listener.contract import Generation, GenerationRequest, Generator, GeneratorConfig, GeneratorStatus, OnStep
from listener.errors import ModelUnavailable


@dataclass(eq=False, slots=True)
class _Device:
    name: str
    generator: LocalGenerator
    load: int = 0

    def rank(self, pipeline: str = "") -> tuple[bool, int]:
        """Those that can work now go first, and among them the one with the least to do."""
        return (not self.can_use(pipeline), self.load)

    def can_use(self, pipeline: str) -> bool:
        """Tell whether the device can work now, and with this pipeline."""
        status = self.generator.status()
        return status.ready and pipeline not in status.missing


class SeveralDevices:
    """One generator out of several; the death or the quarantine of one device leaves the others at work."""

    def __init__(self, config: GeneratorConfig) -> None:
        self._devices = [
            _Device(f"{device} ({number})" if config.devices.count(device) > 1 else device, _on(config, device))
            for number, device in enumerate(config.devices, 1)
        ]

    async def start(self) -> None:
        """Begin to load on every device."""
        for device in self._devices:
            await device.generator.start()

    async def close(self) -> None:
        """Stop every child."""
        for device in self._devices:
            await device.generator.close()

    def status(self) -> GeneratorStatus:
        """Ready as soon as one device is; the reason names each."""
        seen = {device.name: device.generator.status() for device in self._devices}
        details = {name: {**status.details, "ready": status.ready} for name, status in seen.items()}
        loads = {device.name: device.load for device in self._devices}
        return GeneratorStatus(
            ready=any(status.ready for status in seen.values()),
            reason="; ".join(f"{name}: {status.reason}" for name, status in seen.items()),
            details={"devices": details, "load": loads},
            sick=all(status.sick for status in seen.values()),
            pipelines=_at_best([status for status in seen.values() if status.ready]),
        )

    async def generate(self, request: GenerationRequest, on_step: OnStep) -> Generation:
        """Make the images on the device with the least to do; on another one when it becomes unable to.

        Raises: AttemptFailure.
        """
        left = list(self._devices)
        while True:
            device = min(left, key=lambda one: one.rank(request.kind))
            left.remove(device)
            device.load += 1
            try:
                return await device.generator.generate(request, on_step)
            except ModelUnavailable:
                if not any(one.can_use(request.kind) for one in left):
                    raise
            finally:
                device.load -= 1

    @asynccontextmanager
    async def exclusive(self, borrower: str) -> AsyncIterator[str]:
        """Have the device with the least to do for an engine of its own; yields what the engine is to use."""
        device = min(self._devices, key=lambda one: one.rank())
        device.load += 1
        try:
            async with device.generator.exclusive(borrower) as name:
                yield name
        finally:
            device.load -= 1


def local_generator(config: GeneratorConfig) -> Generator:
    """The generator of this machine, on one device or on several. Raises: ConfigError."""
    if not config.devices:
        return LocalGenerator(config)
    return _on(config, config.devices[0]) if len(config.devices) == 1 else SeveralDevices(config)


def _at_best(ready: Sequence[GeneratorStatus]) -> dict[str, str]:
    """What keeps each pipeline from being used on any of these devices: one that can use it is enough."""
    names = {name for status in ready for name in status.pipelines}
    return {name: min((status.pipelines[name] for status in ready), key=len) for name in sorted(names)}


def _on(config: GeneratorConfig, device: str) -> LocalGenerator:
    pipelines = tuple(replace(pipeline, device=device) for pipeline in config.pipelines)
    return LocalGenerator(replace(config, pipelines=pipelines, devices=()))
