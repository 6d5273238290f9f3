"""Which pipelines lie on the device, and who leaves when there is no room: whoever was used longest ago.

Knows torch. Does not know who asks, nor when a kind is needed.
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from handlers.runtime import pipelines
from handlers.runtime.failures import classify
from handlers.runtime.loaded import Loaded, LoadError
from handlers.runtime.memory import MIB, free_memory
from handlers.runtime.messages import Load
from handlers.runtime.options import read_options

DEVICE_SHARE = 0.9
# What two kinds may differ in and still share one pipeline.
OF_A_KIND = frozenset({"run", "kind", "steps", "guidance_scale", "cache_dir", "warm_up", "budget_mib"})

OnPhase = Callable[[str], None]
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Resident:
    """A pipeline on the device and what it takes there. Units: bytes."""

    loaded: Loaded
    facts: dict[str, Any]
    size_bytes: int


class Residents:
    """The loaded pipelines, the one used last at the end; kinds of the same model share one."""

    def __init__(self) -> None:
        self._residents: OrderedDict[Key, Resident] = OrderedDict()
        self._kinds: dict[str, tuple[Key, Loaded]] = {}
        self._sizes: dict[Key, int] = {}

    def use(self, kind: str) -> Loaded | None:
        """Find a kind's pipeline and note that it is in use."""
        if kind not in self._kinds:
            return None
        key, loaded = self._kinds[kind]
        self._residents.move_to_end(key)
        return loaded

    def bring_in(self, order: Load, on_phase: OnPhase) -> tuple[Loaded, dict[str, Any], list[str]]:
        """Have an order's pipeline on the device; tell which kinds had to leave.

        Raises: LoadError, and whatever loading raises; `evicted` of the exception names the kinds that left.
        """
        key = _key(order)
        evicted: list[str] = []
        try:
            if key not in self._residents:
                evicted += self._make_room(_expected_bytes(order, self._sizes.get(key)), order)
                self._residents[key] = self._load(order, key, on_phase, evicted)
                evicted += self._keep_within(order, key)
        except Exception as error:
            error.evicted = evicted  # type: ignore[attr-defined]
            raise
        resident = self._residents[key]
        loaded = pipelines.with_defaults(resident.loaded, order)
        self._kinds[order.kind] = (key, loaded)
        self._residents.move_to_end(key)
        return loaded, {**resident.facts, "size_mib": round(resident.size_bytes / MIB, 1)}, evicted

    def _load(self, order: Load, key: Key, on_phase: OnPhase, evicted: list[str]) -> Resident:
        """Load; where memory runs out, the one used longest ago leaves and it is tried again."""
        while True:
            try:
                loaded, facts = pipelines.load(order, on_phase)
            except Exception as error:
                if classify(error) != "out_of_memory" or not self._residents:
                    raise
            else:
                self._sizes[key] = size_bytes(loaded.pipe, read_options(order.options).offload)
                return Resident(loaded, facts, self._sizes[key])
            on_phase("making room")
            evicted += self._evict_oldest()

    def _make_room(self, wanted_bytes: int, order: Load) -> list[str]:
        evicted: list[str] = []
        budget = _budget_bytes(order)
        while self._residents and budget is not None and self._total() + wanted_bytes > budget:
            evicted += self._evict_oldest()
        return evicted

    def _keep_within(self, order: Load, key: Key) -> list[str]:
        """Now that the size is known: the others leave for it, or it is refused."""
        own, budget = self._residents[key].size_bytes, _budget_bytes(order)
        evicted: list[str] = []
        if budget is None:
            return evicted
        while len(self._residents) > 1 and self._total() > budget and own <= budget:
            evicted += self._evict_oldest()
        if own > budget:
            self._evict(key)
            raise LoadError(f"{order.model} takes {own / MIB:.1f} MiB and the memory budget is {budget / MIB:.1f} MiB")
        return evicted

    def _total(self) -> int:
        return sum(resident.size_bytes for resident in self._residents.values())

    def _evict_oldest(self) -> list[str]:
        return self._evict(next(iter(self._residents)))

    def _evict(self, key: Key) -> list[str]:
        del self._residents[key]
        kinds = [kind for kind, (used, _loaded) in self._kinds.items() if used == key]
        for kind in kinds:
            del self._kinds[kind]
        gc.unfreeze()  # what was taken for permanent is not any more
        free_memory()
        return kinds


def size_bytes(pipe: Any, offload: str | None = None) -> int:
    """Measure what a pipeline's weights take on the device; tensors that two parts share count once.

    Of an offloaded one that is its largest part, or its largest tensor where each layer comes by itself.
    """
    parts = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    tensors = [{id(one): _tensor_bytes(one) for one in (*part.parameters(), *part.buffers())} for part in parts]
    if offload is None:
        return sum({key: size for part in tensors for key, size in part.items()}.values())
    at_once = sum if offload == "model" else max
    return max((at_once(part.values()) for part in tensors if part), default=0)


def _tensor_bytes(tensor: Any) -> int:
    """Measure one; of a quantised one, which tells the dtype it computes in, the integers and scales inside."""
    inner = getattr(tensor, "__tensor_flatten__", None)
    if inner is None:
        return int(tensor.numel() * tensor.element_size())
    return sum(_tensor_bytes(getattr(tensor, name)) for name in inner()[0])


def _key(order: Load) -> Key:
    return tuple(getattr(order, field.name) for field in fields(order) if field.name not in OF_A_KIND)


def _expected_bytes(order: Load, known_bytes: int | None) -> int:
    """Guess before loading: what it took the last time, or what its files take."""
    if known_bytes is not None:
        return known_bytes
    if read_options(order.options).offload is not None:
        return 0  # most of its files stay in the host's memory
    folder = Path(order.model).expanduser()
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors")) if folder.is_dir() else 0


def _budget_bytes(order: Load) -> int | None:
    if order.budget_mib is not None:
        return order.budget_mib * MIB
    device = pipelines.resolve_device(order.device)
    if not device.startswith("cuda"):
        return None
    return int(torch.cuda.mem_get_info(device)[1] * DEVICE_SHARE)
