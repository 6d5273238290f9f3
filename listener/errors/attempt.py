"""How the work on a session ends badly, and the words that its owner reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class ListenerError(Exception):
    """Something went wrong in the listener."""

    code: ClassVar[str] = "internal_error"
    public_message: ClassVar[str] = "Something went wrong on our side."
    remedy: ClassVar[str] = "Insert a new row; if it happens again, name the request_id to the operator."

    def __init__(
        self, detail: str = "", *, details: Mapping[str, Any] | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(detail or (type(self).__doc__ or "").strip())
        self.details: dict[str, Any] = dict(details or {})
        self.retry_after_s = retry_after_s


class Unusable(ValueError):
    """What a validator raises: the value cannot be used, and what to give instead. Becomes a field of InvalidParams."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


class AttemptFailure(ListenerError):
    """The attempt failed."""

    code = "attempt_failed"


class InvalidParams(AttemptFailure):
    """The session's parameters are not valid."""

    code = "invalid_params"
    public_message = "The request has a field that cannot be used; see the details."
    remedy = "Correct the named fields and insert a new row."


class ContentRejected(AttemptFailure):
    """The request was refused by content moderation."""

    code = "content_rejected"
    public_message = "This request cannot be generated because of its content. Please change it and try again."
    remedy = "Describe something else and insert a new row."


class InputUnavailable(AttemptFailure):
    """An input file could not be fetched or read."""

    code = "input_unavailable"
    public_message = "One of your input files could not be read. Please upload it again."
    remedy = "Upload the file again and insert a new row."


class NothingProduced(AttemptFailure):
    """The generator produced no image."""

    code = "nothing_produced"
    public_message = "No image was produced. Please try again."


class Transient(AttemptFailure):
    """A dependency is busy or away for a moment."""

    code = "temporarily_unavailable"
    public_message = "The service is busy at the moment. Please try again in a few minutes."
    remedy = "Insert a new row in a few minutes."


class ProviderBusy(Transient):
    """The provider has too many requests."""

    code = "provider_busy"


class ProviderDown(Transient):
    """The provider failed or did not answer."""

    code = "provider_down"


class InputUnreachable(Transient):
    """The server of an input file is away or too slow."""

    code = "input_unreachable"
    public_message = "One of your input files could not be fetched at the moment. Please try again."


class StorageDown(Transient):
    """The storage stayed away."""

    code = "storage_down"


class StorageFull(Transient):
    """The storage has no room, also after what may go was removed."""

    code = "storage_full"
    public_message = "The result could not be stored at the moment. We have been told."


class UrlNotSigned(Transient):
    """The result is stored, but no URL that reads it could be made."""

    code = "url_not_signed"
    public_message = "Your result was made and is stored, but no link to it could be made. We have been told."
    remedy = "Name the request_id to the operator, who can still find the file; or insert a new row in a few minutes."


class ModerationDown(Transient):
    """The words could not be judged."""

    code = "moderation_down"


class DiskFull(Transient):
    """The worker's disk is full."""

    code = "disk_full"


class ProviderRefused(AttemptFailure):
    """The provider refused the call; making it again will not help."""

    code = "provider_refused"
    public_message = "The image service refused this request. We have been told."


class ProviderMisconfigured(ProviderRefused):
    """The provider refuses our key, our account, or the model we name."""

    code = "provider_misconfigured"
    public_message = "The image service is not available at the moment. We have been told."
    remedy = "Insert a new row later; it is for the operator to mend."


class StorageRefused(AttemptFailure):
    """The storage refused the object; giving it again will not help."""

    code = "storage_refused"
    public_message = "The image could not be stored."


class OutOfMemory(AttemptFailure):
    """The device or the host ran out of memory."""

    code = "out_of_memory"
    public_message = "The image was too large for the machine. Please try a smaller size."
    remedy = "Insert a new row with a smaller width and height."


class TimeLimit(AttemptFailure):
    """The attempt took longer than its kind allows."""

    code = "time_limit"
    public_message = "The generation took too long and was stopped."
    remedy = "Insert a new row with fewer steps or a smaller size."


class RuntimeDied(AttemptFailure):
    """The generation process ended while it ran this session."""

    code = "runtime_died"
    public_message = "The generation was interrupted on our side."


class WorkerLost(AttemptFailure):
    """The worker ended or fell silent while it ran this session."""

    code = "worker_lost"
    public_message = "The generation was interrupted on our side."


class ModelUnavailable(AttemptFailure):
    """The model of this kind is not loaded."""

    code = "model_unavailable"
    public_message = "The model is not available at the moment. Please try again in a few minutes."


class GenerationFailed(AttemptFailure):
    """The generation failed."""

    code = "generation_failed"
    public_message = "The generation failed on our side."


class AttemptInterrupted(ListenerError):
    """The attempt was interrupted."""

    code = "interrupted"


class Cancelled(AttemptInterrupted):
    """The session was cancelled by its owner."""

    code = "cancelled"
    public_message = "The session was cancelled."


class Draining(AttemptInterrupted):
    """The worker is stopping; the session goes back to the queue."""

    code = "draining"


class LeaseLost(AttemptInterrupted):
    """Another attempt owns the session now."""

    code = "lease_lost"
