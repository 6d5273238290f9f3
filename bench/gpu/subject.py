"""What is measured: the configured model on a GPU, or, without one, a pipeline that waits instead of computing."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from listener.contract import GeneratorConfig, PipelineConfig

STANDIN = Path(__file__).parent / "standin"
STEP_S = 0.1
SAVE = """
import sys, diffusers
diffusers.WaitingPipeline(diffusers.FlowMatchEulerDiscreteScheduler()).save_pretrained(sys.argv[1])
"""


@dataclass(frozen=True)
class Subject:
    """One pipeline and its request's shape."""

    words: str
    config: GeneratorConfig
    side_px: int
    steps: int

    @property
    def pipeline(self) -> PipelineConfig:
        """The only one."""
        return self.config.pipelines[0]


def has_gpu() -> bool:
    """Ask torch, in a process of its own."""
    code = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def gpu_subject(folder: Path) -> Subject:
    """The model of LISTENER_HEADSHOT_MODEL, else the embedded weights, on the GPU."""
    model = os.environ.get("LISTENER_HEADSHOT_MODEL", "embedded")
    pipeline = PipelineConfig("headshot", model, device="cuda")
    return Subject(f"{model} on the GPU", GeneratorConfig((pipeline,), str(folder)), 1024, 4)


def standin_subject(folder: Path) -> Subject:
    """The waiting pipeline; from here on, children of this process find it."""
    path = [str(STANDIN), os.environ.get("PYTHONPATH", str(Path.cwd()))]
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    os.environ["TORCH_STANDIN_STEP_S"] = str(STEP_S)
    model = folder / "waiting"
    subprocess.run([sys.executable, "-c", SAVE, str(model)], check=True)
    pipeline = PipelineConfig("headshot", str(model), "WaitingPipeline", device="cpu")
    return Subject(
        f"a device that waits {STEP_S * 1000:g} ms a step", GeneratorConfig((pipeline,), str(folder)), 1024, 4
    )


def tiny_config(folder: Path, device: str, *, standby: bool) -> GeneratorConfig:
    """The embedded weights: real torch, real diffusers, next to no computation."""
    return GeneratorConfig((PipelineConfig("headshot", "embedded", device=device),), str(folder), standby=standby)
