"""What of the daemon's environment a child gets, or an engine that is not ours: allowlists, without project secrets.

The one place in the handlers that reads the environment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from pathlib import Path

from listener.contract import GeneratorConfig

SYSTEM = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH")
NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE")
NAMES = frozenset((*SYSTEM, *NETWORK, "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))
PREFIXES = ("LC_", "XDG_", "LD_", "CUDA", "NVIDIA_", "NCCL_", "TORCH", "PYTORCH_", "TRITON_", "OMP_", "MKL_", "HF_")
OF_AN_ENGINE = frozenset({"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ"})
OF_AN_ENGINE_PREFIXES = ("LC_", "LD_", "CUDA", "NVIDIA_", "NCCL_", "TORCH", "PYTORCH_", "TRITON_", "OMP_", "MKL_")
VISIBLE = "CUDA_VISIBLE_DEVICES"
CPU_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")


def child_environment(config: GeneratorConfig) -> dict[str, str]:
    """Compose the child's environment."""
    environment = _allowed(NAMES, PREFIXES)
    environment.setdefault("OMP_NUM_THREADS", str(_threads(config)))
    # Threads that spin while they wait make a picture 20 times slower as soon as anything else runs (measured).
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment.update(PYTHONUNBUFFERED="1", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    environment["TOKENIZERS_PARALLELISM"] = "false"
    environment.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(config.cache_dir) / "compiled"))
    if all(is_local(pipeline.model) for pipeline in config.pipelines):
        environment["HF_HUB_OFFLINE"] = "1"
    if config.weights_dir:
        environment["HF_HUB_CACHE"] = config.weights_dir
    if config.hub_token:
        environment["HF_TOKEN"] = config.hub_token
    return environment


def engine_environment(device: str, folder: Path, cache_dir: Path) -> dict[str, str]:
    """Compose the environment of a program that is not ours, on this device: no key, no proxy, no path of our packages.

    It sees that device only; what it puts into a temporary folder lands in `folder`.
    """
    environment = _allowed(OF_AN_ENGINE, OF_AN_ENGINE_PREFIXES)
    environment |= {"PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false", "TMPDIR": str(folder)}
    environment |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_dir / "compiled"))
    name, _, number = device.partition(":")
    if name == "cpu":
        environment[VISIBLE] = ""
    elif number:
        seen = [one.strip() for one in environment.get(VISIBLE, "").split(",") if one.strip()]
        environment[VISIBLE] = seen[int(number)] if int(number) < len(seen) else number
    return environment


def download_environment() -> dict[str, str]:
    """Compose the environment of a process that asks the model hub."""
    quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return _allowed(NAMES, ("LC_", "HF_")) | quiet


def _allowed(names: Collection[str], prefixes: tuple[str, ...]) -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()  # noqa: TID251 only to hand a part of it on
        if name in names or name.startswith(prefixes)
    }


def is_local(model: str) -> bool:
    """Tell whether a model needs no network: the embedded weights, or a folder."""
    return model == "embedded" or Path(model).expanduser().is_dir()


def _threads(config: GeneratorConfig) -> int:
    # The embedded weights are too small to share out: one thread is as fast, and twice as fast on a busy machine.
    return 1 if all(pipeline.model == "embedded" for pipeline in config.pipelines) else usable_processors()


def usable_processors() -> int:
    """Count the processors this process may really use: torch would count the machine's."""
    count = len(os.sched_getaffinity(0)) if sys.platform == "linux" else (os.cpu_count() or 1)
    try:
        quota, period = CPU_QUOTA_FILE.read_text().split()[:2]
        count = min(count, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # no control group, or no quota ("max")
    return count
