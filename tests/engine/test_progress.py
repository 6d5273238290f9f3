"""Progress goes out at most once a second and only when it says something new; first and last always."""

from __future__ import annotations

import asyncio

from listener.engine.progress import ProgressWriter, Report
from tests.engine.engine_support import HandClock


class Written:
    """A writer on a hand-set clock, turned over by the test."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.sent: list[Report] = []
        self.writer = ProgressWriter(self.send, self.clock)

    async def send(self, report: Report) -> None:
        self.sent.append(report)

    async def after(self, done: int, total: int, note: str = "generating", seconds: float = 0.0) -> list[int]:
        """Report, let the time pass and the writer look; the steps sent so far."""
        self.writer.report(Report(done, total, note))
        self.clock.at += seconds
        for _ in range(5):
            self.writer._changed.set()  # the hand-set clock wakes nobody
            await asyncio.sleep(0)
        return [report.done for report in self.sent]


async def test_first_and_last_go_out_and_nothing_twice_a_second() -> None:
    written = Written()
    async with asyncio.TaskGroup() as group:
        group.create_task(written.writer.run())
        assert await written.after(1, 100) == [1]
        assert await written.after(50, 100) == [1]
        assert await written.after(60, 100, seconds=1.0) == [1, 60]
        assert await written.after(100, 100) == [1, 60, 100]
        written.writer.close()


async def test_less_than_five_percent_more_is_no_news_but_another_note_is() -> None:
    written = Written()
    async with asyncio.TaskGroup() as group:
        group.create_task(written.writer.run())
        await written.after(1, 100)
        assert await written.after(5, 100, seconds=10) == [1]
        assert await written.after(6, 100, seconds=10) == [1, 6]
        assert await written.after(6, 100, note="uploading", seconds=10) == [1, 6, 6]
        written.writer.close()


async def test_the_last_step_goes_out_even_when_it_is_little_more() -> None:
    written = Written()
    async with asyncio.TaskGroup() as group:
        group.create_task(written.writer.run())
        await written.after(99, 100)
        assert await written.after(100, 100) == [99, 100]
        written.writer.close()


async def test_a_report_held_back_goes_out_when_its_second_is_over() -> None:
    sent: list[Report] = []
    arrived = asyncio.Event()

    class Ticking(HandClock):
        def monotonic(self) -> float:
            return asyncio.get_running_loop().time()

    async def send(report: Report) -> None:
        sent.append(report)
        if len(sent) == 2:
            arrived.set()

    writer = ProgressWriter(send, Ticking(), min_interval_s=0.05)
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        writer.report(Report(1, 10))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        writer.report(Report(4, 10))
        writer.report(Report(5, 10))
        async with asyncio.timeout(2):
            await arrived.wait()
        writer.close()
    assert [report.done for report in sent] == [1, 5]


async def test_reporting_never_waits_for_the_network() -> None:
    stuck = asyncio.Event()

    async def send(_report: Report) -> None:
        await stuck.wait()

    writer = ProgressWriter(send, HandClock())
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        for step in range(1000):
            writer.report(Report(step, 1000))
        await asyncio.sleep(0)
        writer.close()
        stuck.set()
