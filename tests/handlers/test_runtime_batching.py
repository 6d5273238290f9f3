"""How many images are drawn at once, and what is forgotten of a bad moment."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch.testing._internal.two_tensor import TwoTensor

from handlers.runtime.batching import GROW_AFTER_S, GROW_AFTER_S_MAX, BatchSizes
from handlers.runtime.residency import size_bytes


class Hand:
    """Time that moves when told."""

    at = 0.0

    def __call__(self) -> float:
        return self.at


def test_what_ran_out_is_halved_and_another_shape_is_not_concerned() -> None:
    sizes = BatchSizes(Hand())
    sizes.ran_out("large", 8)
    sizes.ran_out("large", 4)
    assert (sizes.allowed("large", 8), sizes.allowed("large", 1), sizes.allowed("small", 8)) == (2, 1, 8)
    sizes.ran_out("large", 1)
    assert sizes.allowed("large", 8) == 1, "one is always drawn"


def test_a_limit_grows_back_step_by_step_after_a_while() -> None:
    clock = Hand()
    sizes = BatchSizes(clock)
    sizes.ran_out("large", 8)
    sizes.ran_out("large", 4)
    seen = []
    for _ in range(4):
        clock.at += GROW_AFTER_S - 1
        seen.append(sizes.allowed("large", 8))
        clock.at += 1
        seen.append(sizes.allowed("large", 8))
    assert seen == [2, 4, 4, 8, 8, 8, 8, 8]


def test_where_it_runs_out_again_the_next_try_comes_later_and_later() -> None:
    clock = Hand()
    sizes = BatchSizes(clock)
    sizes.ran_out("large", 8)
    waits = []
    for _ in range(7):
        began = clock.at
        while sizes.allowed("large", 8) == 4:
            clock.at += GROW_AFTER_S
        waits.append((clock.at - began) / GROW_AFTER_S)
        sizes.ran_out("large", 8)
    assert waits == [1, 2, 4, 8, 16, GROW_AFTER_S_MAX / GROW_AFTER_S, GROW_AFTER_S_MAX / GROW_AFTER_S]


def test_a_new_set_of_pipelines_begins_anew() -> None:
    sizes = BatchSizes(Hand())
    sizes.ran_out("large", 8)
    sizes.forget()
    assert sizes.allowed("large", 8) == 8


def test_the_size_of_a_tensor_that_stands_for_others_is_what_those_take() -> None:
    """As quantised weights do: the outside tells the number format that it computes in, the inside holds the bytes."""
    layer = torch.nn.Linear(16, 8, bias=False)
    plain = 16 * 8 * 4

    pipe = SimpleNamespace(components={"transformer": layer, "tokenizer": object()})
    assert size_bytes(pipe) == plain
    inner = torch.zeros(8, 16), torch.zeros(8, 16)
    layer.weight = torch.nn.Parameter(TwoTensor(*inner))
    assert layer.weight.numel() * layer.weight.element_size() == plain, "which is what the outside tells"
    assert size_bytes(pipe) == 2 * plain
