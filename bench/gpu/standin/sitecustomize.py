"""On the path of a runtime child, of nobody else: gives diffusers a pipeline that waits instead of computing.

It stands in for a device: so many milliseconds a step, no processor time. Everything around it is the real thing.
"""

import os
import time
from types import SimpleNamespace

import diffusers
import torch
from diffusers import DiffusionPipeline

STEP_S = float(os.environ.get("TORCH_STANDIN_STEP_S", "0.1"))


class WaitingPipeline(DiffusionPipeline):
    """Draws a gradient after its waiting time."""

    vae_scale_factor = 8

    def __init__(self, scheduler):
        super().__init__()
        self.register_modules(scheduler=scheduler)

    def __call__(  # noqa: PLR0917 - as diffusers' own are called
        self,
        prompt,
        width=1024,
        height=1024,
        num_inference_steps=4,
        guidance_scale=1.0,
        generator=None,
        num_images_per_prompt=1,
        output_type="pt",
        callback_on_step_end=None,
    ):
        due = time.monotonic()
        for step in range(num_inference_steps):
            due += STEP_S
            time.sleep(max(0.0, due - time.monotonic()))
            if callback_on_step_end is not None:
                callback_on_step_end(self, step, 0, {})
        rows = torch.linspace(0, 1, height)[:, None].expand(height, width)
        one = torch.stack([rows, rows.flip(0), rows * 0.5])
        return SimpleNamespace(images=one[None].expand(num_images_per_prompt, -1, -1, -1))


WaitingPipeline.__module__ = "diffusers"
diffusers.WaitingPipeline = WaitingPipeline
