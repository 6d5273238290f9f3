"""What an attempt saves and what becomes of it. A part of the contract.

Knows nothing of Supabase, HTTP, queues or torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file the owner paid for, before it is stored; `thumbnail` is a WebP, `facts` is JSON that is kept with it."""

    name: str
    data: bytes = field(repr=False)
    content_type: str
    width: int | None = None
    height: int | None = None
    thumbnail: bytes | None = field(default=None, repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SavedArtifact:
    """A stored artifact and a signed URL that reads it until `expires_at`."""

    name: str
    bucket: str
    path: str
    url: str = field(repr=False)
    expires_at: datetime
    size_bytes: int
    content_type: str
    width: int | None = None
    height: int | None = None
    thumbnail_path: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
