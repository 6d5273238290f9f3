"""Passwords of the throwaway cluster: random, and stored so that checking one costs nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from urllib.parse import unquote, urlsplit

SUPERUSER = "supabase_admin"
"""As on hosted projects, where `postgres` is none."""
# 256 random bits need no stretching; PostgreSQL's 4096 rounds cost asyncpg some 10 ms a connection.
ROUNDS = 1


def scram_verifier(password: str) -> str:
    """What PostgreSQL stores for a password that is ASCII.

    Source: RFC 5803; PostgreSQL's pg_authid.rolpassword.
    """
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, ROUNDS)
    stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    served = _hmac(salted, b"Server Key")
    return f"SCRAM-SHA-256${ROUNDS}:{_base64(salt)}${_base64(stored)}:{_base64(served)}"


def derived_password(password: str, role: str) -> str:
    """The password of another role, so that whoever holds the superuser's DSN needs no second secret."""
    return hmac.new(password.encode(), f"role {role}".encode(), hashlib.sha256).hexdigest()


def login_dsn(dsn: str, role: str) -> str:
    """The superuser's DSN turned into that of a role which the bootstrap lets log in.

    A `postgres` who is the superuser, as on a server that somebody else made, stays who he is.
    """
    parts = urlsplit(dsn)
    if parts.username == role:
        return dsn
    password = derived_password(unquote(parts.password or ""), role)
    return parts._replace(netloc=f"{role}:{password}@{parts.hostname}:{parts.port or 5432}").geturl()


def _hmac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
