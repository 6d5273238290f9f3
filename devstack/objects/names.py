"""Which names buckets and objects may have."""

from __future__ import annotations

import re

from devstack.objects.errors import StorageError

KEY = re.compile(r"[A-Za-z0-9_/!.*'() &$=@;:+,?-]+")
BUCKET = re.compile(r"[A-Za-z0-9_!.*'() &$=@;:+,?-]{1,100}")


def check_key(key: str) -> str:
    """The key as it came.

    Raises: StorageError; dot segments too, as the file backend refuses them.
    """
    if not KEY.fullmatch(key):
        raise StorageError("400", "InvalidKey", f"Invalid key: {key}", "InvalidKey")
    if any(segment in (".", "..") for segment in key.split("/")):
        raise StorageError("400", "InvalidKey", f"Invalid key: {key} contains dot path segment", "InvalidKey")
    return key


def check_bucket(name: str) -> str:
    """The bucket's name as it came.

    Raises: StorageError.
    """
    if not BUCKET.fullmatch(name) or name != name.strip():
        raise StorageError("400", "Invalid Input", "Bucket name invalid", "InvalidBucketName")
    return name
