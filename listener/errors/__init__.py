"""Every way in which work can end badly, as one tree.

ListenerError                    has: code (stable, stored in the row), public_message, remedy, retry_after_s
├─ AttemptFailure                the attempt ended badly -> a verdict (engine/verdict.py)
│  ├─ InvalidParams              invalid_params        the row's parameters cannot be served; names the fields
│  ├─ ContentRejected            content_rejected      moderation
│  ├─ InputUnavailable           input_unavailable     an input image or file cannot be had
│  ├─ NothingProduced            nothing_produced      the generator returned no image
│  ├─ Transient                  temporarily_unavailable   worth another attempt later
│  │  ├─ ProviderBusy            provider_busy         a provider answered 429
│  │  ├─ ProviderDown            provider_down         a provider's 5xx, timeout, or no connection
│  │  ├─ InputUnreachable        input_unreachable     an input's own server is away or too slow
│  │  ├─ StorageDown             storage_down          the storage or the database stays away
│  │  ├─ StorageFull             storage_full          the storage has no room, also after cleaning
│  │  ├─ UrlNotSigned            url_not_signed        the file is stored, its URL could not be signed
│  │  ├─ ModerationDown          moderation_down       nobody could judge the words
│  │  └─ DiskFull                disk_full
│  ├─ ProviderRefused            provider_refused      a provider refuses our call
│  │  └─ ProviderMisconfigured   provider_misconfigured    ... every one: our key, our quota, its model's name
│  ├─ StorageRefused             storage_refused       the storage takes no such object
│  ├─ OutOfMemory                out_of_memory
│  ├─ TimeLimit                  time_limit
│  ├─ RuntimeDied                runtime_died          the GPU child ended while it ran this session
│  ├─ WorkerLost                 worker_lost           the worker ended; written by the sweep, in SQL
│  ├─ ModelUnavailable           model_unavailable     the pipeline is not loaded
│  └─ GenerationFailed           generation_failed     the default for any unknown exception
├─ AttemptInterrupted            nobody is to blame
│  ├─ Cancelled                  the owner asked for it
│  ├─ Draining                   the worker stops; the attempt is given back uncounted
│  └─ LeaseLost                  the fence moved on; nothing may be written
├─ StoreError
│  ├─ StoreUnavailable           transport, 5xx, timeouts: the same call may be made again
│  │  ├─ KeyRefused              the project's key: an operator mends it, and the call works
│  │  ├─ StoreMisplaced          no such bucket, or another project's: the settings
│  │  └─ StoreFull               no room: cleaned once, then told
│  └─ StoreRejected              our own mistake, or a schema that does not fit: loud
└─ ConfigError                   ends the process, status 78
   └─ SchemaTooNew               the database moved on without this worker, status 57

Unusable stands beside the tree. This package knows the names and the words; it does not know what happens then.
"""

from __future__ import annotations

from listener.errors.attempt import (
    AttemptFailure,
    AttemptInterrupted,
    Cancelled,
    ContentRejected,
    DiskFull,
    Draining,
    GenerationFailed,
    InputUnavailable,
    InputUnreachable,
    InvalidParams,
    LeaseLost,
    ListenerError,
    ModelUnavailable,
    ModerationDown,
    NothingProduced,
    OutOfMemory,
    ProviderBusy,
    ProviderDown,
    ProviderMisconfigured,
    ProviderRefused,
    RuntimeDied,
    StorageDown,
    StorageFull,
    StorageRefused,
    TimeLimit,
    Transient,
    Unusable,
    UrlNotSigned,
    WorkerLost,
)
from listener.errors.store import (
    ConfigError,
    KeyRefused,
    SchemaTooNew,
    StoreError,
    StoreFull,
    StoreMisplaced,
    StoreRejected,
    StoreUnavailable,
)

__all__ = [
    "AttemptFailure",
    "AttemptInterrupted",
    "Cancelled",
    "ConfigError",
    "ContentRejected",
    "DiskFull",
    "Draining",
    "GenerationFailed",
    "InputUnavailable",
    "InputUnreachable",
    "InvalidParams",
    "KeyRefused",
    "LeaseLost",
    "ListenerError",
    "ModelUnavailable",
    "ModerationDown",
    "NothingProduced",
    "OutOfMemory",
    "ProviderBusy",
    "ProviderDown",
    "ProviderMisconfigured",
    "ProviderRefused",
    "RuntimeDied",
    "SchemaTooNew",
    "StorageDown",
    "StorageFull",
    "StorageRefused",
    "StoreError",
    "StoreFull",
    "StoreMisplaced",
    "StoreRejected",
    "StoreUnavailable",
    "TimeLimit",
    "Transient",
    "Unusable",
    "UrlNotSigned",
    "WorkerLost",
]
