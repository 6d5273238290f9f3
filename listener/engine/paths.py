"""Under which path an attempt's files lie. Knows the owner's folder; does not know the storage."""

from __future__ import annotations

import re

from listener.contract import Artifact

EXTENSIONS = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "video/mp4": ".mp4"}
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
PREFIX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


class ArtifactPaths:
    """The paths of one attempt: the first artifact is the session's own file, further ones lie in a folder beside."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._paths: dict[str, str] = {}
        self._names: dict[str, str] = {}  # by path

    def of(self, artifact: Artifact) -> str:
        """The path of an artifact; the same name has the same one. Raises: ValueError for what is no plain name."""
        if NAME.fullmatch(artifact.name) is None or ".." in artifact.name:
            raise ValueError(f"artifact name not allowed: {artifact.name!r}")
        if artifact.name not in self._paths:
            extension = EXTENSIONS.get(artifact.content_type, "")
            stem = artifact.name.removesuffix(extension)
            if PREFIX.fullmatch(self._prefix) is None or ".." in self._prefix:
                raise ValueError(f"the path of this kind's artifacts is not a plain one: {self._prefix!r}")
            path = f"{self._prefix}/{stem}{extension}" if self._paths else f"{self._prefix}{extension}"
            self._paths[artifact.name] = self._taken(path, artifact)
        return self._paths[artifact.name]

    def thumbnail_of(self, artifact: Artifact) -> str:
        """The path of its thumbnail, beside it. Raises: ValueError, also where another artifact's file lies."""
        stem = self.of(artifact).removesuffix(EXTENSIONS.get(artifact.content_type, ""))
        return self._taken(f"{stem}.thumb.webp", artifact)

    def _taken(self, path: str, artifact: Artifact) -> str:
        """Names that differ by a suffix alone would overwrite each other's file."""
        if (holder := self._names.setdefault(path, artifact.name)) != artifact.name:
            raise ValueError(f"the artifacts {holder!r} and {artifact.name!r} would share a file")
        return path
