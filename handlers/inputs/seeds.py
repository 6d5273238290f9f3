"""Seeds of sessions. Knows how a seed comes from a session's id; does not know what is drawn with it."""

from __future__ import annotations

import hashlib
from uuid import UUID

# JavaScript reads larger integers wrongly, and a seed is there to be used again.
DEFAULT_SEED_MAX = 2**53 - 1


def default_seed(session: UUID) -> int:
    """Derive a seed from the session, so that another attempt makes the same picture."""
    return int.from_bytes(hashlib.blake2b(session.bytes, digest_size=8).digest()) & DEFAULT_SEED_MAX
