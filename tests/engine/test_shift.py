"""A worker on demand claims only while somebody asked for work."""

from __future__ import annotations

import pytest

from listener.engine.shift import Shift


def test_it_is_open_while_an_order_is_under_way_and_each_wakes_the_claim_loop() -> None:
    shift, woken = Shift(is_open=False), []
    assert not shift.is_open
    with shift.order():
        assert shift.is_open, "and a wake-up that nobody takes does no harm"
    shift.wake = woken.append
    with shift.order(), shift.order():
        assert shift.is_open
    assert not shift.is_open
    assert woken == ["order", "order"]


def test_an_order_that_was_left_early_counts_once() -> None:
    shift = Shift(is_open=False)
    with shift.order(), shift.order() as leave:
        leave()
        leave()
        assert shift.is_open, "the other one goes on"
    assert not shift.is_open


def test_an_order_that_fails_is_over() -> None:
    shift = Shift(is_open=False)
    with pytest.raises(RuntimeError), shift.order():
        raise RuntimeError
    assert not shift.is_open


def test_a_daemon_is_always_open() -> None:
    shift = Shift()
    with shift.order():
        pass
    assert shift.is_open
