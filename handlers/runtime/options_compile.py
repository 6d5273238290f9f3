"""Compiles a pipeline's repeated blocks for a fixed list of sizes, and for no other. Knows torch's compiler.

A size outside the list runs uncompiled at once: nobody's request waits for a compiler.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch._dynamo.utils import counters

CODE_PER_SIZE = 4
"""Versions of one block that a size may need (with and without guidance, and spare)."""

Draw = Callable[[int, int, int], None]


def compile_blocks(denoiser: Any, sizes: list[tuple[str, int, int, int]], draw: Draw, *, whole: bool) -> dict[str, Any]:
    """Compile by drawing once at each size; tell the seconds of each, and how much came from the kept cache.

    `whole` refuses a block that cannot be compiled in one piece. Raises: what the compiler raises.
    """
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, CODE_PER_SIZE * len(sizes))
    before = _cache_hits()
    took: dict[str, float] = {}
    torch.compiler.set_stance("default")
    try:
        # Without dynamic shapes each size gets code of its own, the fastest there is.
        denoiser.compile_repeated_blocks(dynamic=False, fullgraph=whole)
        for name, width, height, images in sizes:
            started = time.monotonic()
            draw(width, height, images)
            took[name] = round(time.monotonic() - started, 3)
    finally:
        torch.compiler.set_stance("eager_on_recompile")
    return {"sizes_s": took, "cache_hits": _cache_hits() - before}


def _cache_hits() -> int:
    return int(counters["aot_autograd"]["autograd_cache_hit"]) + int(counters["inductor"]["fxgraph_cache_hit"])
