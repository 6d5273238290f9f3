"""Keeps passwords as salted scrypt hashes; slow on purpose, so both functions belong on a thread."""

from __future__ import annotations

import hashlib
import hmac
import secrets

COST, BLOCK, LANES = 2**14, 8, 1


def hash_password(password: str) -> str:
    """What is stored."""
    salt = secrets.token_bytes(16)
    return f"scrypt${salt.hex()}${_derive(password, salt).hex()}"


def is_password(password: str, stored: str | None) -> bool:
    """Whether the password made the stored hash; takes as long for an unknown user."""
    _, salt, wanted = (stored or f"scrypt${'00' * 16}$").split("$")
    return hmac.compare_digest(_derive(password, bytes.fromhex(salt)).hex(), wanted)


def _derive(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=COST, r=BLOCK, p=LANES)
