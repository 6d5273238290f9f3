"""Checks paths of objects that users name. Knows folders and owners; does not know whether an object exists."""

from __future__ import annotations

import re
from uuid import UUID

from listener.errors import Unusable

PATH_CHARS_MAX = 500
# What the storage takes in a key, less what a shell, a URL or a file system reads in another way.
_PART = re.compile(r"[A-Za-z0-9_(][A-Za-z0-9_.()@ -]*")


def require_own_object(path: str, owner: UUID) -> str:
    """Insist that a path leads into the folder of its owner. Raises: Unusable, which does not repeat the path."""
    if len(path) > PATH_CHARS_MAX:
        raise Unusable(f"has {len(path)} characters", f"use a path of at most {PATH_CHARS_MAX}")
    parts = path.split("/")
    if any(_PART.fullmatch(part) is None or ".." in part or part.endswith((".", " ")) for part in parts):
        raise Unusable("is not a plain path", "use letters, digits, - _ . and / between folders, with no .. in it")
    if parts[0] != str(owner) or len(parts) == 1:
        raise Unusable("lies outside of your own folder", "upload the file to a folder named by your user id")
    return path
