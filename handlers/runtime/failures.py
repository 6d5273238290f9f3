"""What went wrong in a run, as a code and words without the prompt. Knows torch's and the driver's errors."""

from __future__ import annotations

import traceback

import torch

from handlers.runtime.loaded import Loaded
from handlers.runtime.messages import Failed, Generate
from handlers.runtime.redaction import redact

CUDA_OUT_OF_MEMORY = 2
MESSAGE_CHARS_MAX = 2000
TRACE_CHARS_MAX = 8000
_MEMORY_WORDS = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
_UNABLE_WORDS = ("_STATUS_NOT_SUPPORTED", "_STATUS_ARCH_MISMATCH", "no kernel image is available")
"""The device cannot do this one thing, and is none the worse for being asked."""
_DEVICE_WORDS = ("CUDA error", "CUDA driver error", "Triton Error [CUDA]", "CUDNN_STATUS", "CUBLAS_STATUS")


class RefusedError(Exception):
    """The request cannot be run as it is. The arguments are a code and a sentence for the owner."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class StoppedError(Exception):
    """Every run of a batch was cancelled between two steps."""


class FatalDeviceError(Exception):
    """The device's state is undefined: this process must end, and nothing it made since counts."""


def classify(error: BaseException) -> str:
    """Tell a lack of memory and a broken device from an ordinary failure.

    Source: the CUDA runtime's list of errors that leave the process in an inconsistent state; kept wide on purpose,
    since a restart costs a load and a poisoned context costs wrong images.
    """
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in text for words in _MEMORY_WORDS):
        return "out_of_memory"
    of_device = isinstance(error, RuntimeError) and any(words in text for words in _DEVICE_WORDS)
    if not (of_device or isinstance(error, torch.AcceleratorError)) or any(words in text for words in _UNABLE_WORDS):
        return "generation_failed"
    lacks_memory = getattr(error, "error_code", None) == CUDA_OUT_OF_MEMORY or "out of memory" in text
    return "out_of_memory" if lacks_memory else "fatal"


def describe(error: Exception, loaded: Loaded, order: Generate, prompts: tuple[str | None, ...]) -> Failed:
    """Say what went wrong with an order; `prompts` are the texts that must not appear.

    Raises: FatalDeviceError.
    """
    if isinstance(error, RefusedError):
        return Failed(order.run, error.code, str(error), {})
    message = redact(f"{type(error).__name__}: {error}"[:MESSAGE_CHARS_MAX], prompts)
    code = classify(error)
    if code == "fatal":
        raise FatalDeviceError(message)
    details = {
        "model": loaded.model,
        "pipeline_class": loaded.name,
        "device": loaded.device,
        "width": order.width,
        "height": order.height,
        "steps": order.steps or loaded.steps,
        "seeds": list(order.seeds),
    }
    return Failed(order.run, code, message, details, redact(traceback.format_exc()[-TRACE_CHARS_MAX:], prompts))
