"""One attempt from claim to settlement: whatever the handler does ends as one verdict."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from listener.contract import Artifact, Context, GenerationRequest, Session
from listener.errors import Cancelled, Draining, LeaseLost, OutOfMemory, StoreFull, StoreRejected, StoreUnavailable
from listener.ports import Attempt
from tests.engine.engine_support import Bench, PortraitParams, running_of


async def test_a_finished_attempt_is_completed_with_its_artifact_and_result(bench: Bench) -> None:
    row, settled = await bench.attempt()
    session = row.session
    assert (row.status, settled.outcome) == ("completed", "applied")
    assert row.result == {"model": "tiny"}
    path = f"{session.path_prefix}.png"
    assert row.artifacts["image.png"].path == path
    assert bench.objects.objects["headshots", path][1] == "image/png"


async def test_a_later_attempt_writes_a_path_of_its_own_and_further_artifacts_lie_beside_it(bench: Bench) -> None:
    async def pack(session: Session, _params: PortraitParams, context: Context) -> None:
        for name in ("front.png", "side", "front.png"):
            await context.save(Artifact(name, b"pixels", "image/png"))

    row, _ = await bench.attempt(pack, attempt=2)
    prefix = row.session.path_prefix
    assert prefix.endswith(".2")
    assert {saved.path for saved in row.artifacts.values()} == {f"{prefix}.png", f"{prefix}/side.png"}


@pytest.mark.parametrize("name", ["../other", "a/b", "", ".hidden", "a..b"])
async def test_an_artifact_name_cannot_leave_the_sessions_folder(bench: Bench, name: str) -> None:
    async def escape(_session: Session, _params: PortraitParams, context: Context) -> None:
        await context.save(Artifact(name, b"", "image/png"))

    row, _ = await bench.attempt(escape)
    assert row.failure is not None
    assert row.failure.code == "generation_failed"
    assert bench.objects.objects == {}


async def test_invalid_params_fail_before_the_handler_and_name_fields_but_no_values(bench: Bench) -> None:
    async def never(*_: Any) -> None:
        raise AssertionError("the handler ran")

    row, _ = await bench.attempt(never, params={"prompt": "secret words", "width": "wide"})
    assert row.failure is not None
    assert row.failure.code == "invalid_params"
    assert [problem["field"] for problem in row.failure.details["fields"]] == ["width"]
    assert "wide" not in str(row.failure)


async def test_an_unknown_exception_is_generation_failed_with_the_traceback_only_in_the_log(
    bench: Bench, logged: Any
) -> None:
    async def breaks(*_: Any) -> None:
        raise RuntimeError("boiler pressure 9000")

    row, _ = await bench.attempt(breaks)
    assert row.status == "failed"
    assert row.failure is not None
    assert row.failure.code == "generation_failed"
    assert "boiler" not in str(row.failure)
    (line,) = logged("handler_raised")
    assert "Traceback" in line["exception"]
    assert "boiler pressure 9000" in line["exception"]
    assert (line["session"], line["attempt"]) == (str(row.session.id), 1)


async def test_a_prompt_in_an_exception_stays_out_of_the_log(bench: Bench, logged: Any) -> None:
    async def breaks(_session: Session, params: PortraitParams, _context: Context) -> None:
        raise RuntimeError(f"cannot draw {params.prompt!r}")

    await bench.attempt(breaks, params={"prompt": "my neighbour's wedding"})
    assert "cannot draw" in logged("handler_raised")[0]["exception"]
    assert "wedding" not in str(logged())


async def test_a_host_without_memory_is_told_as_such(bench: Bench) -> None:
    async def too_large(*_: Any) -> None:
        raise MemoryError

    row, _ = await bench.attempt(too_large)
    assert row.failure is not None
    assert row.failure.code == "out_of_memory"


async def test_the_time_limit_ends_a_handler(bench: Bench) -> None:
    async def sleeps(*_: Any) -> None:
        await asyncio.Event().wait()

    row, _ = await bench.attempt(sleeps, time_limit_s=0.02)
    assert row.failure is not None
    assert row.failure.code == "time_limit"


async def test_a_timeout_of_the_handlers_own_is_not_the_time_limit(bench: Bench) -> None:
    async def gives_up(*_: Any) -> None:
        raise TimeoutError

    row, _ = await bench.attempt(gives_up)
    assert row.failure is not None
    assert row.failure.code == "generation_failed"


@pytest.mark.parametrize(
    ("reason", "status", "call"),
    [(Cancelled(), "cancelled", "cancel"), (Draining(), "queued", "release"), (LeaseLost(), "processing", None)],
)
async def test_an_interruption_stops_the_generation_and_decides_the_verdict(
    bench: Bench, reason: Any, status: str, call: str | None
) -> None:
    bench.generator.pause = asyncio.Event()
    running = running_of(bench.store.add())
    async with asyncio.TaskGroup() as group:
        attempt = group.create_task(bench.attempt(running=running))
        await bench.generator.reached.wait()
        running.interruption.request(reason)
    row, _ = attempt.result()
    assert row.status == status
    assert [one for one in bench.store.calls if one != "report_progress"] == ([call] if call else [])


async def test_the_stronger_interruption_wins(bench: Bench) -> None:
    bench.generator.pause = asyncio.Event()
    running = running_of(bench.store.add())
    async with asyncio.TaskGroup() as group:
        attempt = group.create_task(bench.attempt(running=running))
        await bench.generator.reached.wait()
        for reason in (Draining(), LeaseLost(), Cancelled()):
            running.interruption.request(reason)
    assert attempt.result()[1].outcome == "none"


async def test_a_handler_that_swallows_the_interruption_still_completes_nothing_of_a_lost_lease(bench: Bench) -> None:
    running = running_of(bench.store.add())

    async def stubborn(*_: Any) -> None:
        running.interruption.request(LeaseLost())
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    row, settled = await bench.attempt(stubborn, running=running)
    assert (row.status, settled.outcome) == ("processing", "none")


async def test_work_that_was_done_when_the_drain_came_is_completed(bench: Bench) -> None:
    running = running_of(bench.store.add())

    async def done_anyway(*_: Any) -> None:
        running.interruption.request(Draining())

    row, _ = await bench.attempt(done_anyway, running=running)
    assert row.status == "completed"


async def test_a_cancel_that_arrives_with_an_answer_stops_the_attempt(bench: Bench) -> None:
    async def saves(session: Session, _params: PortraitParams, context: Context) -> None:
        bench.store.rows[session.id].cancel_requested = True
        await context.save(Artifact("image.png", b"pixels", "image/png"))

    row, _ = await bench.attempt(saves)
    assert row.status == "cancelled"


async def test_a_stale_attempt_writes_nothing(bench: Bench) -> None:
    async def outlived(session: Session, _params: PortraitParams, context: Context) -> None:
        bench.store.rows[session.id].status = "queued"
        await context.save(Artifact("image.png", b"pixels", "image/png"))

    row, settled = await bench.attempt(outlived)
    assert settled.outcome == "none"
    assert (row.status, row.artifacts) == ("queued", {})


async def test_a_storage_that_comes_back_is_not_noticed_by_the_owner(bench: Bench) -> None:
    bench.objects.faults = [StoreUnavailable("503"), StoreUnavailable("503")]
    row, _ = await bench.attempt()
    assert row.status == "completed"


async def test_a_storage_that_stays_away_is_another_attempt(bench: Bench) -> None:
    bench.objects.faults = [StoreUnavailable("503")] * 9
    row, _ = await bench.attempt()
    assert row.settled_as == "retry.1"
    assert row.failure is not None
    assert row.failure.code == "storage_down"
    assert row.failure.details["dependency"] == "storage"


async def test_a_storage_that_refuses_is_a_failure(bench: Bench) -> None:
    bench.objects.faults = [StoreRejected("no such bucket")]
    row, _ = await bench.attempt()
    assert row.status == "failed"
    assert row.failure is not None
    assert (row.failure.code, row.failure.details["artifact"]) == ("storage_refused", "image.png")
    assert "bucket" not in str(row.failure)


async def test_a_result_that_is_not_json_is_told_to_the_handler_and_not_to_the_database(bench: Bench) -> None:
    async def odd(_session: Session, _params: PortraitParams, context: Context) -> None:
        context.finish({"share": float("nan")})

    row, _ = await bench.attempt(odd)
    assert row.failure is not None
    assert row.failure.code == "generation_failed"


async def test_the_steps_of_a_generation_become_progress_and_the_last_one_goes_out(bench: Bench) -> None:
    async def slow(session: Session, params: PortraitParams, context: Context) -> None:
        await context.generate(GenerationRequest("headshot", session.id, params.prompt, (1,)))
        async with asyncio.timeout(2):
            while not bench.store.rows[session.id].progress:
                await asyncio.sleep(0)

    row, _ = await bench.attempt(slow)
    assert row.progress[-1] == (4, 4, "generating")


async def test_progress_that_cannot_be_written_does_not_stop_the_work(bench: Bench) -> None:
    async def reports(_session: Session, _params: PortraitParams, context: Context) -> None:
        await context.progress(1, 2, "half")
        async with asyncio.timeout(2):
            await bench.store.entered.setdefault("report_progress", asyncio.Event()).wait()

    bench.store.faults["report_progress"] = [StoreUnavailable("503")]
    row, _ = await bench.attempt(reports)
    assert row.status == "completed"


async def test_an_attempt_tells_its_time_left(bench: Bench) -> None:
    left: list[float] = []

    async def looks(_session: Session, _params: PortraitParams, context: Context) -> None:
        left.append(context.remaining_s())
        bench.clock.at += 100
        left.append(context.remaining_s())

    await bench.attempt(looks, time_limit_s=60)
    assert left == [60, 0]


async def test_each_line_of_an_attempt_carries_its_names(bench: Bench, logged: Any) -> None:
    row, _ = await bench.attempt()
    for event in ("attempt_started", "artifact_saved", "attempt_settled"):
        (line,) = logged(event)
        assert line["session"] == str(row.session.id)
        assert (line["attempt"], line["kind"], line["request_id"]) == (1, "headshot", "request-1")
    assert Attempt(row.session.id, 1).attempt == 1


async def test_a_failure_of_the_taxonomy_is_logged_with_its_traceback_too(bench: Bench, logged: Any) -> None:
    async def runs_out(_session: Session, _params: Any, _context: Context) -> None:
        raise OutOfMemory(details={"where": "device"})

    await bench.attempt(runs_out)
    (line,) = logged("attempt_settled")
    assert "in runs_out" in line["exception"]
    assert (line["code"], line["details"]) == ("out_of_memory", {"where": "device"})


async def test_what_nobody_is_to_blame_for_is_logged_without_a_traceback(bench: Bench, logged: Any) -> None:
    async def ends(_session: Session, _params: Any, _context: Context) -> None:
        raise Cancelled

    await bench.attempt(ends)
    assert "exception" not in logged("attempt_settled")[0]


async def test_a_fence_that_moved_before_the_settlement_is_a_lost_lease_in_the_log(bench: Bench, logged: Any) -> None:
    async def outlived(session: Session, _params: Any, context: Context) -> None:
        bench.store.rows[session.id].status = "queued"
        context.finish({})

    _, settled = await bench.attempt(outlived)
    assert (settled.outcome, settled.code) == ("refused", "SL001")
    (line,) = logged("lease_lost")
    assert (line["refused_with"], line["verdict"], line["level"]) == ("SL001", "Complete", "warning")


async def test_a_kind_whose_files_have_no_plain_path_saves_none(bench: Bench) -> None:
    row, _ = await bench.attempt(path_prefix="../elsewhere")
    assert row.failure is not None
    assert row.failure.code == "generation_failed"
    assert bench.objects.objects == {}


async def test_a_storage_without_room_is_told_as_such(bench: Bench) -> None:
    bench.objects.faults = [StoreFull("507")]
    row, _ = await bench.attempt()
    assert row.failure is not None
    assert (row.failure.code, row.failure.details["dependency"]) == ("storage_full", "storage")
