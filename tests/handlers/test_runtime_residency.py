"""Which pipelines stay on the device: real ones, in this process and in a child."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from structlog.testing import capture_logs

from handlers.runtime import pipelines, residency
from handlers.runtime.loaded import LoadError
from handlers.runtime.memory import MIB, settle_memory
from handlers.runtime.messages import Load
from handlers.runtime.options import options_text
from handlers.runtime.options_apply import offload
from handlers.runtime.residency import Residents, size_bytes
from listener.contract import PipelineConfig
from listener.errors import ModelUnavailable

KLEIN_MIB, FLUX_MIB = 1.7, 0.8
KLEIN = PipelineConfig("klein", "embedded", device="cpu")
FLUX = PipelineConfig("flux", "embedded", "FluxPipeline", device="cpu")
SECOND = PipelineConfig("second", "embedded", "FluxPipeline", device="cpu", steps=3)


@pytest.fixture
def load(weights: Path) -> Any:
    """Make a load order of a kind; FLUX unless told otherwise."""
    pipelines.quieten()

    def make(kind: str, name: str = "FluxPipeline", **fields: Any) -> Load:
        return Load(1, kind, "embedded", name, "float32", "cpu", 2, None, str(weights), **fields)

    return make


def quiet(_note: str) -> None:
    return


def test_kinds_of_one_model_share_it_and_its_size_is_that_of_its_weights(load: Any) -> None:
    residents = Residents()
    first, facts, _ = residents.bring_in(load("flux"), quiet)
    second, _, evicted = residents.bring_in(load("second"), quiet)
    assert first.pipe is second.pipe
    assert evicted == []
    assert facts["size_mib"] == round(size_bytes(first.pipe) / MIB, 1) == FLUX_MIB


def test_whoever_was_used_longest_ago_leaves_and_its_memory_is_free(load: Any) -> None:
    residents = Residents()
    residents.bring_in(load("flux", budget_mib=3), quiet)
    residents.bring_in(load("klein", "Flux2KleinPipeline", budget_mib=3), quiet)
    settle_memory()
    assert residents.use("flux") is not None
    leaving = residents.use("klein")
    assert leaving is not None
    gone = weakref.ref(leaving.pipe.transformer)
    residents.use("flux")
    del leaving
    third = Load(**{**_fields(load("other", budget_mib=3)), "dtype": "float16"})
    _, _, evicted = residents.bring_in(third, quiet)
    assert evicted == ["klein"]
    gc.collect()
    assert gone() is None, "nothing holds the evicted weights, not even what was taken for permanent"
    assert residents.use("klein") is None
    assert residents.use("flux") is not None


def _fields(order: Load) -> dict[str, Any]:
    return {name: getattr(order, name) for name in order.__dataclass_fields__}


def test_a_pipeline_larger_than_the_budget_is_refused_with_both_figures(load: Any) -> None:
    residents = Residents()
    with pytest.raises(LoadError, match=rf"takes {KLEIN_MIB} MiB and the memory budget is 1.0 MiB"):
        residents.bring_in(load("klein", "Flux2KleinPipeline", budget_mib=1), quiet)
    assert residents.use("klein") is None


def test_an_offloaded_pipeline_counts_with_what_is_on_the_device_at_once(
    load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pipelines.load

    def moved(order: Load, on_phase: Any) -> Any:  # offload itself is refused on a processor
        loaded, facts = real(replace(order, options=""), on_phase)
        offload(loaded.pipe, "group", "cpu")
        return loaded, facts

    monkeypatch.setattr(residency.pipelines, "load", moved)
    residents, options = Residents(), options_text("klein", {"offload": "group"})
    order = load("klein", "Flux2KleinPipeline", budget_mib=1, options=options)
    loaded, facts, _ = residents.bring_in(order, quiet)
    assert residents.use("klein"), "it is larger than the budget, and never on the device as a whole"
    assert 0 < facts["size_mib"] < size_bytes(loaded.pipe, "model") / MIB < KLEIN_MIB


def test_where_memory_runs_out_while_loading_the_oldest_leaves_and_it_is_tried_again(
    load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    residents = Residents()
    residents.bring_in(load("flux"), quiet)
    real, tries = pipelines.load, []

    def lacking(order: Load, on_phase: Any) -> Any:
        tries.append(order.kind)
        if len(tries) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(order, on_phase)

    monkeypatch.setattr(residency.pipelines, "load", lacking)
    _, _, evicted = residents.bring_in(load("klein", "Flux2KleinPipeline"), quiet)
    assert (tries, evicted) == (["klein", "klein"], ["flux"])


async def test_kinds_take_turns_on_a_device_with_room_for_one(start: Any) -> None:
    bench = await start(pipelines=(KLEIN, FLUX, SECOND), preload=("flux",), memory_budget_mib=2)
    await bench.ready()
    assert "klein: loaded at its first use" in bench.generator.status().reason
    first = await bench.draw("flux", steps=2)
    await bench.draw("klein")
    status = bench.generator.status()
    assert status.ready, "an evicted kind is served again at any time"
    assert "flux: FluxPipeline (embedded) evicted for klein" in status.reason
    assert [kind for kind, facts in status.details["pipelines"].items() if facts["resident"]] == ["klein"]
    with capture_logs() as logs:
        assert (await bench.draw("flux", steps=2)).images == first.images
        assert (await bench.draw("second")).steps == 3
    assert [(line["kind"], line["evicted"]) for line in logs if line["event"] == "runtime_loaded"] == [
        ("flux", ["klein"]),
        ("second", []),
    ]
    assert bench.generator.status().details["restarts"] == 0


async def test_a_kind_that_cannot_be_loaded_at_its_first_use_says_so_and_the_others_go_on(start: Any) -> None:
    odd = PipelineConfig("odd", "embedded", "NoSuchPipeline", device="cpu")
    bench = await start(pipelines=(KLEIN, odd), preload=("klein",))
    await bench.ready()
    with pytest.raises(ModelUnavailable, match="no pipeline class 'NoSuchPipeline'"):
        await bench.draw("odd")
    assert await bench.draw()


@pytest.mark.slow
async def test_it_is_ready_once_it_is_warm_and_a_warm_up_has_a_limit_of_its_own(start: Any) -> None:
    warm = PipelineConfig("klein", "embedded", device="cpu", warm_up=("64x64", "128x64"))
    bench = await start(pipelines=(warm,))
    await bench.ready()
    assert list(bench.generator.status().details["pipelines"]["klein"]["warm_up_s"]) == ["64x64", "128x64"]
    slow = PipelineConfig("klein", "embedded", device="cpu", warm_up=("1024x1024",))
    stuck = await start(pipelines=(slow,), warm_up_timeout_s=0.1)
    await stuck.until(lambda: "klein was not warm within 0.1 s" in stuck.generator.status().reason)
    assert not stuck.generator.status().ready
