"""What a handler borrows or calls back: a device for an engine of its own, and what an earlier session saved."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from listener.contract import Context, Fetched, Session
from listener.engine.inputs import PICTURES
from listener.errors import StoreUnavailable
from tests.engine.conftest import Lines
from tests.engine.engine_support import Bench, HandClock, PortraitParams, TinyGenerator, make_portrait


class Lender(TinyGenerator):
    """Lends its device after a wait in line; the device is busy until it is given back."""

    def __init__(self, clock: HandClock, line_s: float) -> None:
        super().__init__()
        self.clock, self.line_s, self.is_lent = clock, line_s, False

    @asynccontextmanager
    async def exclusive(self, borrower: str, /) -> AsyncIterator[str]:
        self.clock.at += self.line_s
        self.is_lent = True
        try:
            yield f"cuda:0 for {borrower}"
        finally:
            self.is_lent = False


async def test_a_device_is_lent_and_given_back_and_the_wait_for_it_costs_no_time(bench: Bench) -> None:
    lender = Lender(bench.clock, line_s=50)
    bench.generator = lender
    seen: list[Any] = []

    async def act(_session: Session, _params: PortraitParams, context: Context) -> None:
        async with context.exclusive_device() as device:
            bench.clock.at += 7
            seen.extend((device, lender.is_lent, context.remaining_s()))

    row, _ = await bench.attempt(act, time_limit_s=60.0)
    assert seen == ["cuda:0 for headshot", True, 53]
    assert (row.status, lender.is_lent) == ("completed", False)
    assert row.cost is not None
    assert row.cost.device_s == 7


async def test_a_generator_without_a_device_lends_none(bench: Bench) -> None:
    async def act(_session: Session, _params: PortraitParams, context: Context) -> None:
        async with context.exclusive_device():
            raise AssertionError("lent what is not there")

    row, _ = await bench.attempt(act)
    assert row.failure is not None
    assert row.failure.code == "model_unavailable"


async def test_what_an_earlier_session_of_the_owner_saved_can_be_called_back_and_nobody_elses(bench: Bench) -> None:
    owner, other = uuid4(), uuid4()
    bench.objects.objects["headshots", f"{owner}/old.png"] = (b"mine", "image/png")
    bench.objects.objects["headshots", f"{other}/old.png"] = (b"his", "image/png")
    got: list[Fetched] = []

    def recalling(path: str) -> Any:
        async def act(_session: Session, _params: PortraitParams, context: Context) -> None:
            got.append(await context.recall(path, "image_urls.0"))

        return act

    await bench.attempt(recalling(f"{owner}/old.png"), owner=owner)
    assert (got, bench.objects.asked) == ([Fetched(b"mine", "image/png")], [PICTURES])
    row, _ = await bench.attempt(recalling(f"{other}/old.png"), owner=owner)
    assert row.failure is not None
    assert (row.failure.code, row.failure.details["field"]) == ("input_unavailable", "image_urls.0")
    assert len(got) == 1


async def test_a_storage_that_stays_away_while_an_input_is_read_is_another_attempt(bench: Bench) -> None:
    owner = uuid4()

    async def act(_session: Session, _params: PortraitParams, context: Context) -> None:
        await context.fetch(f"{owner}/me.png", "image_url")

    bench.objects.faults = [StoreUnavailable("503")] * 9
    row, _ = await bench.attempt(act, owner=owner)
    assert row.settled_as == "retry.1"
    assert row.failure is not None
    assert (row.failure.code, row.failure.details["field"]) == ("storage_down", "image_url")


async def test_a_file_whose_url_cannot_be_signed_is_told_with_where_it_lies(bench: Bench, logged: Lines) -> None:
    async def unsigned(*_: Any) -> str:
        raise StoreUnavailable("503")

    bench.objects.sign = unsigned  # type: ignore[method-assign,assignment]
    row, _ = await bench.attempt(make_portrait)
    assert row.failure is not None
    assert row.failure.code == "url_not_signed"
    (line,) = logged("artifact_not_signed")
    assert (line["artifact"], line["stored_as"]) == ("image.png", f"{row.session.path_prefix}.png")
    assert len(bench.objects.objects) == 1
