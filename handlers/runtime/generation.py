"""Draws the images of one order, or of several that share a batch: steps, cancellation, memory.

Knows torch. Does not know sockets; it is called on the one thread that owns the device.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from handlers.runtime.arguments import arguments_of
from handlers.runtime.batching import BatchSizes
from handlers.runtime.failures import RefusedError, StoppedError, describe
from handlers.runtime.ladder import Ladder
from handlers.runtime.loaded import Loaded
from handlers.runtime.memory import free_memory
from handlers.runtime.messages import Failed, Generate
from handlers.runtime.pictures import Made, Picture, to_pictures


class Audience(Protocol):
    """Who hears how the orders of a batch are doing, and says which of them are given up."""

    def step(self, run: int, done: int, total: int, /) -> None: ...
    def is_cancelled(self, run: int, /) -> bool: ...
    def leave(self, run: int, ended: Made | Failed, /) -> None: ...


@dataclass(eq=False, slots=True)
class _Member:
    order: Generate
    arguments: dict[str, Any]
    notes: list[str]
    pictures: list[Picture | None]
    told: int = 0
    widest: int = 0
    gone: bool = False

    @property
    def steps(self) -> int:
        return int(self.arguments["num_inference_steps"])

    @property
    def total(self) -> int:
        return self.steps * len(self.pictures)


@dataclass(frozen=True, slots=True)
class _Lane:
    """One image of one member."""

    member: _Member
    index: int

    @property
    def prompt(self) -> str:
        order = self.member.order
        return order.prompts[self.index] if order.prompts else order.prompt


@dataclass(slots=True)
class Drawing:
    """Orders alike in all but prompt and seeds, on their way through one pipeline; each leaves when it ends."""

    loaded: Loaded
    orders: Sequence[Generate]
    audience: Audience
    sizes: BatchSizes
    _members: list[_Member] = field(default_factory=list)
    _apart: bool = False
    _ran_out: int = 0

    def complete(self) -> None:
        """Bring every order to its end. Raises: FatalDeviceError."""
        started, first = time.monotonic(), self.orders[0]
        ladder = Ladder(self.loaded, first.width, first.height)
        self._admit()
        try:
            while lanes := self._next_lanes(ladder):
                ended = self._try(lanes, ladder)
                if ended is not None:
                    self._recover(ended, lanes, ladder)
                self._release_finished(ladder, started)
        finally:
            ladder.restore()

    def _admit(self) -> None:
        for order in self.orders:
            try:
                if not order.seeds:
                    raise RefusedError("nothing_produced", "no image was asked for")
                arguments, notes = arguments_of(self.loaded, order)
            except RefusedError as error:
                self.audience.leave(order.run, Failed(order.run, error.code, str(error), {}))
            else:
                self._members.append(_Member(order, arguments, notes, [None] * len(order.seeds)))

    def _next_lanes(self, ladder: Ladder) -> list[_Lane]:
        self._drop_cancelled()
        rest = [
            _Lane(member, index)
            for member in self._members
            for index, picture in enumerate(member.pictures)
            if picture is None and not member.gone
        ]
        if rest and self._apart:
            rest = [lane for lane in rest if lane.member is rest[0].member]
        wanted = min(len(rest), max(1, self.orders[0].batch_max))
        return rest[: self.sizes.allowed(self._shape(ladder), wanted)]

    def _shape(self, ladder: Ladder) -> str:
        references = len(self.orders[0].blobs)
        return f"{self.loaded.name} {self.loaded.model} {ladder.width}x{ladder.height}+{references}"

    def _drop_cancelled(self) -> None:
        for member in self._members:
            if not member.gone and self.audience.is_cancelled(member.order.run):
                self._leave(member, Failed(member.order.run, "cancelled", "cancelled between two steps", {}))

    def _leave(self, member: _Member, ended: Made | Failed) -> None:
        member.gone = True
        self.audience.leave(member.order.run, ended)

    def _try(self, lanes: list[_Lane], ladder: Ladder) -> Failed | None:
        """Draw some lanes; what went wrong comes back as a value, so that its tensors are free to go."""
        try:
            self._draw(lanes, ladder)
        except StoppedError:
            return Failed(lanes[0].member.order.run, "cancelled", "", {})
        except Exception as error:  # noqa: BLE001 the classes are diffusers', torch's and the driver's
            texts = [text for order in self.orders for text in order.texts]
            return describe(error, self.loaded, lanes[0].member.order, tuple(texts))
        return None

    def _draw(self, lanes: list[_Lane], ladder: Ladder) -> None:
        arguments = {**lanes[0].member.arguments, "width": ladder.width, "height": ladder.height}
        arguments.update(_batched(self.loaded, [lane.prompt for lane in lanes], arguments))
        # Generators of the processor give the same noise on every device and in every batch.
        generators = [torch.Generator("cpu").manual_seed(lane.member.order.seeds[lane.index]) for lane in lanes]

        def on_step_end(_pipe: Any, index: int, _timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
            self._tell(lanes, index + 1)
            self._drop_cancelled()
            if all(lane.member.gone for lane in lanes):
                raise StoppedError
            return kwargs

        with torch.no_grad():
            drawn = self.loaded.pipe(
                **arguments,
                generator=generators if len(lanes) > 1 else generators[0],
                output_type="pt",
                callback_on_step_end=on_step_end,
            ).images
            pictures = to_pictures(drawn)
        if len(pictures) != len(lanes):
            raise RefusedError("nothing_produced", f"the pipeline returned {len(pictures)} images of {len(lanes)}")
        for lane, picture in zip(lanes, pictures, strict=True):
            lane.member.pictures[lane.index] = picture
            lane.member.widest = max(lane.member.widest, len(lanes))

    def _tell(self, lanes: list[_Lane], steps: int) -> None:
        for member in {id(lane.member): lane.member for lane in lanes}.values():
            here = sum(lane.member is member for lane in lanes)
            before = sum(picture is not None for picture in member.pictures) * member.steps
            # A run that was begun again, with less memory, does not take back what it told.
            member.told = max(member.told, min(before + steps * here, member.total))
            if not member.gone:
                self.audience.step(member.order.run, member.told, member.total)

    def _recover(self, ended: Failed, lanes: list[_Lane], ladder: Ladder) -> None:
        """Decide what follows a failure: another try with less, each alone, or the end of those concerned."""
        self.loaded.pipe.maybe_free_model_hooks()  # resets stateful caches: they keep the interrupted run's shapes
        if ended.code == "cancelled":
            return
        free_memory()
        concerned = list({id(lane.member): lane.member for lane in lanes}.values())
        if ended.code == "out_of_memory":
            self._ran_out += 1
            if len(lanes) > 1:
                self.sizes.ran_out(self._shape(ladder), len(lanes))
                return
            if self._climb(ladder):
                return
            concerned = [member for member in self._members if not member.gone]
        elif len(concerned) > 1:
            self._apart = True
            return
        for member in concerned:
            more = {"seeds": list(member.order.seeds), **self._counted()} if ended.details else {}
            details = {**ended.details, **more}
            self._leave(member, Failed(member.order.run, ended.code, ended.message, details, ended.trace))

    def _climb(self, ladder: Ladder) -> bool:
        width = ladder.width
        climbed = ladder.climb()
        if ladder.width != width:  # the images of one order are of one size
            for member in self._members:
                member.pictures = [None] * len(member.pictures)
        return climbed

    def _release_finished(self, ladder: Ladder, started: float) -> None:
        for member in self._members:
            pictures = [picture for picture in member.pictures if picture is not None]
            if member.gone or len(pictures) < len(member.pictures):
                continue
            facts = {
                "model": self.loaded.model,
                "pipeline_class": self.loaded.name,
                "device": self.loaded.device,
                "width": ladder.width,
                "height": ladder.height,
                "steps": member.steps,
                "guidance_scale": member.arguments.get("guidance_scale"),
                "notes": [*member.notes, *ladder.notes],
                "duration_s": round(time.monotonic() - started, 4),
                "batch": member.widest,
                "ladder": list(ladder.taken),
                **self._counted(),
            }
            self._leave(member, Made(facts, tuple(pictures)))

    def _counted(self) -> dict[str, int]:
        """Tell how often memory ran out, once: of several members, the first one that ends tells it."""
        counted, self._ran_out = self._ran_out, 0
        return {"ran_out": counted} if counted else {}


def _batched(loaded: Loaded, prompts: list[str], arguments: dict[str, Any]) -> dict[str, Any]:
    """Say how many images a call is to draw; one prompt for all of them is read once."""
    if len(prompts) == 1:
        return {"prompt": prompts[0]}
    if len(set(prompts)) == 1 and "num_images_per_prompt" in loaded.parameters:
        return {"prompt": prompts[0], "num_images_per_prompt": len(prompts)}
    negative = arguments.get("negative_prompt")
    return (
        {"prompt": prompts} if negative is None else {"prompt": prompts, "negative_prompt": [negative] * len(prompts)}
    )
