"""Which names buckets and objects may have."""

from __future__ import annotations

import re
from uuid import uuid4

from devstack.objects.errors import StorageError, invalid_key

KEY = re.compile(r"[A-Za-z0-9_/!.*'() &$=@;:+,?-]+")
BUCKET = re.compile(r"[A-Za-z0-9_!.*'() &$=@;:+,?-]{1,100}")
PLACEHOLDER = ".emptyFolderPlaceholder"


def check_key(key: str) -> str:
    """The key as it came.

    Raises: StorageError.
    """
    if not KEY.fullmatch(key):
        raise invalid_key(key)
    return key


def check_segments(bucket: str, key: str) -> None:
    """Refuse dot segments, as the real server's file backend does; hosted projects store them as they are.

    Raises: StorageError.
    """
    if any(segment in (".", "..") for segment in key.split("/")):
        raise invalid_key(f"local/storage-single-tenant/{bucket}/{key}/{uuid4()} contains dot path segment")


def check_bucket(name: str) -> str:
    """The bucket's name as it came.

    Raises: StorageError.
    """
    if not BUCKET.fullmatch(name) or name != name.strip():
        raise StorageError("400", "Invalid Input", "Bucket name invalid", "InvalidBucketName")
    return name


def is_placeholder(key: str) -> bool:
    """Whether this is the empty file that stands for a folder, which every bucket takes."""
    return key.endswith(PLACEHOLDER)
