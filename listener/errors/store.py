"""How the store and the configuration fail: what an operator reads."""

from __future__ import annotations

from listener.errors.attempt import ListenerError


class StoreError(ListenerError):
    """The store refused or failed."""

    code = "store_error"


class StoreUnavailable(StoreError):
    """The store cannot be reached; the same call may be made again."""

    code = "store_unavailable"


class KeyRefused(StoreUnavailable):
    """The store refuses our key; the same call works as soon as an operator has mended it."""

    code = "store_key_refused"


class StoreMisplaced(StoreUnavailable):
    """The store is not where, or not whose, the settings say; the call works as soon as an operator has mended it."""

    code = "store_misplaced"


class StoreFull(StoreUnavailable):
    """The store has no room; the same call works when something was removed."""

    code = "store_full"


class StoreRejected(StoreError):
    """The store refused the call; making it again will not help."""

    code = "store_rejected"


class ConfigError(ListenerError):
    """The configuration is missing something or holds a wrong value."""

    code = "config_error"


class SchemaTooNew(ConfigError):
    """The database's schema no longer serves this version of the worker."""

    code = "schema_too_new"
