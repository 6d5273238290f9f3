"""What PostgreSQL says, in Storage's words."""

from __future__ import annotations

import asyncpg
import pytest

from devstack.objects.errors import from_postgres

SAID = [
    (asyncpg.InsufficientPrivilegeError, 400, "AccessDenied", "new row violates row-level security policy"),
    (asyncpg.UniqueViolationError, 400, "ResourceAlreadyExists", "The resource already exists"),
    (asyncpg.ForeignKeyViolationError, 400, "InvalidRequest", "The related resource does not exist"),
    (asyncpg.LockNotAvailableError, 400, "ResourceLocked", "The resource is locked"),
    (asyncpg.QueryCanceledError, 500, "DatabaseError", "database error, code: 57014"),
    (asyncpg.AdminShutdownError, 500, "InternalError", "Internal Server Error"),
    (asyncpg.CannotConnectNowError, 500, "InternalError", "Internal Server Error"),
    (asyncpg.ConnectionDoesNotExistError, 500, "InternalError", "Internal Server Error"),
]


@pytest.mark.parametrize(("kind", "status", "code", "message"), SAID)
def test_postgres_errors_are_worded_as_storage_does(
    kind: type[asyncpg.PostgresError], status: int, code: str, message: str
) -> None:
    error = from_postgres(kind("as PostgreSQL says it"))
    assert (error.response().status, error.code, error.message) == (status, code, message)
