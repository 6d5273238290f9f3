"""A kind's generators are asked in order; the next one only when nothing was made and the request is not to blame."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from listener.contract import DeviceLender, Generation, GenerationRequest, GeneratorStatus, OnStep, Permit
from listener.engine.backoff import Backoff
from listener.engine.breaker import Breaker, Circuits, Patience, State
from listener.engine.gauge import Gauge
from listener.engine.guarded import LOOK_S, GuardedStore
from listener.engine.guarded_generator import GuardedGenerator
from listener.engine.routing import Member, RoutedGenerator
from listener.engine.slots import Slots
from listener.errors import (
    ContentRejected,
    GenerationFailed,
    InputUnavailable,
    ListenerError,
    ModelUnavailable,
    NothingProduced,
    OutOfMemory,
    ProviderBusy,
    ProviderDown,
    ProviderMisconfigured,
    ProviderRefused,
    RuntimeDied,
)
from listener.telemetry import log
from listener.telemetry.metrics import Metrics
from tests.engine.conftest import Lines
from tests.engine.engine_support import HandClock, MemoryStore


class Scripted:
    """Raises what it is told, else makes an image; keeps what it was asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.errors: list[Exception] = []
        self.always: Exception | None = None
        self.state = GeneratorStatus(True, "here", {"model": f"{name}-model"})
        self.asked: list[GenerationRequest] = []
        self.hold: asyncio.Event | None = None
        self.takes_s = 0.0
        self.clock: HandClock | None = None
        self.calls: tuple[str, ...] = ()
        self.on_asked: Callable[[], None] = lambda: None

    async def start(self) -> None:
        self.calls += ("start",)

    async def close(self) -> None:
        self.calls += ("close",)

    def status(self) -> GeneratorStatus:
        return self.state

    async def generate(self, request: GenerationRequest, _on_step: OnStep) -> Generation:
        self.asked.append(request)
        self.on_asked()
        if self.clock is not None:
            self.clock.at += self.takes_s
        if self.hold is not None:
            await self.hold.wait()
        if self.errors or self.always:
            raise self.errors.pop(0) if self.errors else self.always  # type: ignore[misc]
        return Generation((), f"{self.name}-model", "p", self.name, 0, None, 0.0, cost_usd=0.25)


class Elsewhere(Scripted):
    """One that takes permits."""

    permit: Permit | None = None

    def limited_by(self, permit: Permit) -> None:
        self.permit = permit


class Here(Scripted):
    """One that has a device."""

    @asynccontextmanager
    async def exclusive(self, borrower: str, /) -> AsyncIterator[str]:
        yield f"{self.name}'s, for {borrower}"


async def _permit(_request: GenerationRequest) -> None: ...


class Routes:
    """A routed generator on a hand-set clock; names that begin with r are somebody else's, l have a device."""

    def __init__(self, *names: str, **routes: Sequence[str]) -> None:
        self.clock, self.metrics = HandClock(), Metrics()
        self.all = {name: {"r": Elsewhere, "l": Here}.get(name[0], Scripted)(name) for name in names}
        self.breakers = {
            name: Breaker(name, self.clock, log.get("t"), None, Patience(3, Backoff(5, 300))) for name in names
        }
        self.routed = RoutedGenerator(
            {name: self._member(name) for name in names},
            routes or {"tryon": names},
            self.metrics,
            self.clock,
            log.get("routing"),
        )

    def _member(self, name: str) -> Member:
        generator, breaker = self.all[name], self.breakers[name]
        limit = generator.limited_by if isinstance(generator, Elsewhere) else None
        lender = generator if isinstance(generator, DeviceLender) else None
        guarded = GuardedGenerator(generator, Gauge(breaker, self.metrics, self.clock))
        return Member(name, guarded, breaker, limit, lender)

    def __getitem__(self, name: str) -> Scripted:
        return self.all[name]

    async def make(self, **fields: Any) -> Generation:
        request = GenerationRequest(**({"kind": "tryon", "session": uuid4(), "prompt": "p", "seeds": (1,)} | fields))
        return await self.routed.generate(request, lambda *_: None)

    async def break_(self, name: str) -> None:
        """Open a circuit."""
        self.breakers[name].failed(ProviderDown("away"), certain=True)
        assert self.breakers[name].state is State.OPEN


async def test_the_first_in_order_makes_it_and_the_result_says_who() -> None:
    routes = Routes("r1", "local")
    made = await routes.make()
    assert (made.model, made.device, made.notes) == ("r1-model", "r1", ())
    assert routes["local"].asked == []
    sample = routes.metrics.registry.get_sample_value
    assert sample("listener_generations_total", {"kind": "tryon", "generator": "r1"}) == 1
    assert sample("listener_generation_cost_usd_total", {"kind": "tryon", "generator": "r1"}) == 0.25


async def test_it_is_sick_when_nobody_can_make_anything_and_all_that_is_here_is_sick() -> None:
    routes = Routes("r1", "l1", "l2")
    for name in ("l1", "l2"):
        routes[name].state = GeneratorStatus(False, "in quarantine", sick=True)
    assert not routes.routed.status().sick, "the provider makes it"
    await routes.break_("r1")
    assert routes.routed.status().sick
    routes["l2"].state = GeneratorStatus(False, "loading")
    assert not routes.routed.status().sick, "one is being loaded"


@pytest.mark.parametrize(
    ("missing", "held"),
    [
        ({}, set()),
        ({"avatar": "no such model"}, {"avatar", "poster"}),  # a poster may be made by any of the pipelines
        ({"edit-b": "no such model"}, {"headshot", "avatar", "poster"}),  # any of their sessions may name it
    ],
)
def test_a_pipeline_that_is_missing_holds_the_kinds_that_may_need_it(missing: dict[str, str], held: set[str]) -> None:
    kinds = ("headshot", "avatar", "poster")
    pipelines = {"headshot": "", "avatar": "", "edit-b": "", **missing}
    status = GeneratorStatus(True, "loaded", pipelines=pipelines)
    assert {kind for kind in kinds if status.refusal(kind, kinds)} == held
    assert {kind for kind in kinds if GeneratorStatus(True, "elsewhere").refusal(kind, kinds)} == set()
    assert {GeneratorStatus(False, "loading").refusal(kind, kinds) for kind in kinds} == {"loading"}


async def test_a_pipeline_that_is_missing_here_is_made_elsewhere_or_waits_alone() -> None:
    routes = Routes("local", "r1", headshot=("local",), avatar=("local",), tryon=("local", "r1"))
    missing = {"avatar": "no such model", "tryon": "no such model"}
    routes["local"].state = GeneratorStatus(True, "here", pipelines={"headshot": "", **missing})
    assert routes.routed.servable(("headshot", "avatar", "tryon")) == ("headshot", "tryon")
    assert routes.routed.status().missing == {"avatar": "local: avatar: no such model"}
    assert routes.routed.status().ready
    assert (await routes.make()).device == "r1"
    assert routes["local"].asked == []
    routes["local"].state = GeneratorStatus(False, "loading", pipelines={"headshot": "", **missing})
    assert routes.routed.servable(("headshot", "avatar", "tryon")) == ("tryon",)
    assert routes.routed.status().missing == {}, "nothing is missing yet"


@pytest.mark.parametrize("error", [ModelUnavailable(), ProviderDown(), ProviderMisconfigured()])
async def test_the_next_one_makes_it_when_one_cannot_work(error: ListenerError, logged: Lines) -> None:
    routes = Routes("r1", "r2", "local")
    routes["r1"].always = error
    made = await routes.make()
    assert (made.device, made.notes) == ("r2", (f"made by r2 (r1: {error.code})",))
    (line,) = logged("generator_failed")
    assert (line["generator"], line["code"]) == ("r1", error.code)
    assert line["level"] == ("error" if isinstance(error, ProviderMisconfigured) else "warning")


@pytest.mark.parametrize(
    "error",
    [
        ContentRejected(),
        InputUnavailable(),
        NothingProduced(),
        GenerationFailed(),
        ProviderBusy(),
        ProviderRefused(),
        OutOfMemory(),
        RuntimeDied(),
    ],
)
async def test_no_other_is_asked_after_any_other_ending(error: ListenerError) -> None:
    routes = Routes("r1", "local")
    routes["r1"].always = error
    with pytest.raises(type(error)):
        await routes.make()
    assert routes["local"].asked == []


async def test_when_none_can_the_last_one_s_failure_is_told() -> None:
    routes = Routes("r1", "local")
    routes["r1"].always, routes["local"].always = ProviderDown(), ModelUnavailable("x")
    with pytest.raises(ModelUnavailable):
        await routes.make()


async def test_an_outage_opens_the_circuit_and_nobody_waits_for_it_any_more() -> None:
    routes = Routes("r1", "local")
    routes["r1"].always = ProviderDown()
    for _ in range(5):
        assert (await routes.make()).device == "local"
    assert len(routes["r1"].asked) == 3
    assert routes.breakers["r1"].state is State.OPEN
    shown = routes.routed.status().details["generators"]
    assert (shown["r1"]["circuit"], shown["local"]["circuit"]) == ("open", "closed")
    assert routes.routed.status().ready


async def test_a_refused_key_opens_the_circuit_at_once() -> None:
    routes = Routes("r1", "local")
    routes["r1"].always = ProviderMisconfigured()
    await routes.make()
    await routes.make()
    assert len(routes["r1"].asked) == 1


async def test_a_circuit_whose_pause_is_over_is_tried_by_one_request_while_others_go_on() -> None:
    routes = Routes("r1", "local")
    await routes.break_("r1")
    routes.clock.at += 400
    routes["r1"].hold = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        trial = group.create_task(routes.make())
        await asyncio.sleep(0)
        assert (await routes.make()).device == "local"
        routes["r1"].hold.set()
    assert trial.result().device == "r1"
    assert routes.breakers["r1"].state is State.CLOSED


async def test_one_that_is_still_loading_is_only_waited_for_when_nobody_else_is_there() -> None:
    routes = Routes("local", "r1")
    routes["local"].state = GeneratorStatus(False, "loading")
    assert (await routes.make()).device == "r1"
    await routes.break_("r1")
    assert (await routes.make()).device == "local"


async def test_when_every_circuit_is_open_nobody_is_asked() -> None:
    routes = Routes("r1", "r2")
    await routes.break_("r1")
    await routes.break_("r2")
    with pytest.raises(ModelUnavailable):
        await routes.make()
    status = routes.routed.status()
    assert not status.ready
    assert "r1: r1 keeps failing" in status.reason


async def test_a_kind_that_nobody_can_make_is_not_claimed_and_the_others_are() -> None:
    routes = Routes("r1", "local", tryon=("r1",), headshot=("local",))
    store, slots = MemoryStore(), Slots(4, lambda _: None)
    headshot, tryon = store.add(), store.add(kind="tryon")
    guarded = GuardedStore(
        store, Gauge(Breaker("database", routes.clock, log.get("t")), Metrics(), routes.clock), slots
    )
    guarded.serves_only(routes.routed.servable)
    await routes.break_("r1")
    assert [one.id for one in await guarded.claim(uuid4(), ("headshot", "tryon"), 5)] == [headshot.id]
    assert routes.routed.status().ready
    assert await guarded.claim(uuid4(), ("tryon",), 5) == []
    routes.clock.at += 400
    assert [one.id for one in await guarded.claim(uuid4(), ("tryon",), 5)] == [tryon.id]


async def test_a_worker_that_hears_of_inserts_only_looks_again_when_a_kind_can_be_made_again() -> None:
    routes = Routes("r1", "local", tryon=("r1",), headshot=("local",))
    gauge = Gauge(Breaker("database", routes.clock, log.get("t")), Metrics(), routes.clock)
    guarded = GuardedStore(MemoryStore(), gauge, Slots(4, lambda _: None))
    guarded.serves_only(routes.routed.servable)
    await routes.break_("r1")
    woken = asyncio.Event()
    reasons: list[str] = []

    def wake(reason: str) -> None:
        reasons.append(reason)
        woken.set()

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        watching = group.create_task(guarded.tell_of_recoveries(("headshot", "tryon"), wake))
        await asyncio.sleep(2.5 * LOOK_S)
        assert reasons == []
        routes.clock.at += 400
        await woken.wait()
        watching.cancel()
    assert reasons == ["servable"]


async def test_sessions_are_claimed_one_by_one_while_the_only_generator_of_a_kind_is_on_trial() -> None:
    alone, beside = Routes("r1", "local", tryon=("r1",), headshot=("local",)), Routes("r1", "local")
    for routes, most in ((alone, 1), (beside, 4)):
        circuits = Circuits((), lambda: 0, routes.routed.breakers, routes.routed.careful)
        assert circuits.most(4) == 4
        await routes.break_("r1")
        assert (circuits.refusal(), circuits.most(4)) == (None, 4)
        routes.clock.at += 400
        assert circuits.most(4) == most
        busy = {"tryon": 0}
        routes.routed.attach(_permit, busy.__getitem__)
        assert routes.routed.servable(("tryon",)) == ("tryon",)
        busy["tryon"] = 1
        assert routes.routed.servable(("tryon",)) == (("tryon",) if most > 1 else ())
        assert [one.name for one in circuits.breakers] == ["r1", "local"]


async def test_a_variant_chooses_who_is_asked_first(logged: Lines) -> None:
    routes = Routes("r1", "local", "r2", tryon=("r1", "local"))
    assert (await routes.make(generator="r2")).device == "r2"
    routes["r2"].always = ProviderDown()
    assert (await routes.make(generator="r2")).device == "r1"
    made = await routes.make(generator="gone")
    assert (made.device, made.notes) == ("r1", ("made by r1 (gone: unknown here)",))
    assert logged("generator_unknown")[0]["generator"] == "gone"


async def test_the_route_is_that_of_the_session_s_kind_whatever_pipeline_it_asks_for() -> None:
    routes = Routes("r1", "local", tryon=("local",), headshot=("r1",))
    assert (await routes.make(kind="another-pipeline", session_kind="tryon")).device == "local"


async def test_the_next_one_has_only_the_time_that_is_left() -> None:
    routes = Routes("r1", "local")
    routes["r1"].clock, routes["r1"].takes_s, routes["r1"].always = routes.clock, 20.0, ProviderDown()
    await routes.make(time_left_s=50.0)
    assert routes["r1"].asked[0].time_left_s == 50.0
    assert routes["local"].asked[0].time_left_s == 30.0


async def test_only_those_elsewhere_wait_for_permits() -> None:
    routes = Routes("r1", "local")

    routes.routed.attach(_permit, lambda _kind: 0)
    remote = routes["r1"]
    assert isinstance(remote, Elsewhere)
    assert remote.permit is _permit
    assert [one["remote"] for one in routes.routed.status().details["generators"].values()] == [True, False]


async def test_a_device_is_lent_by_whoever_has_one(logged: Lines) -> None:
    async with Routes("r1", "engine", "local", "late").routed.exclusive("avatar") as device:
        assert device == "local's, for avatar"
    with pytest.raises(ModelUnavailable, match="none of the generators has a device"):
        Routes("r1", "engine").routed.exclusive("avatar")


async def test_all_are_started_and_closed_and_one_whose_circuit_opened_meanwhile_is_not_asked() -> None:
    routes = Routes("r1", "r2", "local")
    await routes.routed.start()
    routes["r1"].always = ProviderDown()
    routes["r1"].on_asked = lambda: routes.breakers["r2"].failed(ProviderDown("away"), certain=True)
    assert (await routes.make()).device == "local"
    assert routes["r2"].asked == []
    await routes.routed.close()
    assert {one.calls for one in routes.all.values()} == {("start", "close")}
