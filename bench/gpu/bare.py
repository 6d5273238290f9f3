"""The loop that owes nothing to anybody: the pipeline called again and again in one process."""

from __future__ import annotations

import json
import sys
import time

import torch

from handlers.runtime import pipelines
from handlers.runtime.messages import Load
from handlers.runtime.pictures import to_pictures


def main() -> None:
    """Draw `count` images and print how long one takes."""
    asked = json.loads(sys.argv[1])
    count, side, steps = asked.pop("count"), asked.pop("side"), asked.pop("steps")
    pipelines.quieten()
    loaded, _ = pipelines.load(Load(1, "headshot", steps=steps, guidance_scale=None, **asked), lambda _note: None)
    began = 0.0
    for seed in range(count + 1):
        if seed == 1:
            began = time.monotonic()
        with torch.no_grad():
            drawn = loaded.pipe(
                prompt="a portrait",
                width=side,
                height=side,
                num_inference_steps=steps,
                generator=torch.Generator("cpu").manual_seed(seed),
                output_type="pt",
            ).images
            to_pictures(drawn)
    print(json.dumps({"image_s": (time.monotonic() - began) / count}))


if __name__ == "__main__":
    main()
