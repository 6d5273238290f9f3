"""Where a store that speaks S3 is, and what of it is ours. Knows no client: it is imported without the extra."""

from __future__ import annotations

from dataclasses import dataclass, field

SIGNED_MAX_S = 7 * 24 * 3600
"""No signature lives longer. Source: AWS Signature Version 4, X-Amz-Expires."""


@dataclass(frozen=True, slots=True)
class S3Place:
    """One bucket of a store, and the buckets of ours that lie in it, each in a folder of its name."""

    endpoint: str
    bucket: str
    key_id: str = field(repr=False)
    secret: str = field(repr=False)
    region: str = "auto"
    buckets: tuple[str, ...] = ("videos",)
