"""Which files of which repository an engine needs, and the proof that a folder has them all.

The proof is written last and lists every file with its size: half a download never has it. Knows no network.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

BESIDE = ".listener"
"""What is ours in a repository's folder: the proof, the claim, what is only partly there."""
PROOF = "complete.json"
GIB = 1 << 30
MIB = 1 << 20
OnNote = Callable[[str], None]
"""Called with what is going on, in words."""
REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of the model hub and the folder that gets it.

    `files` are patterns such as `*.json`; none means all. `size_bytes` is about what they take, for who reads about it
    before the hub was asked. Raises: ValueError for a name or a folder that leads elsewhere.
    """

    repo_id: str
    folder: str
    files: tuple[str, ...] = ()
    size_bytes: int = 0
    revision: str = "main"

    def __post_init__(self) -> None:
        if not REPO_ID.fullmatch(self.repo_id) or ".." in self.repo_id:
            raise ValueError(f"{self.repo_id!r} is no name of a repository, such as black-forest-labs/FLUX.2-klein-4B")
        if not is_inside(self.folder) or PurePosixPath(self.folder).parts[0].startswith("."):
            raise ValueError(f"{self.folder!r} is no folder inside the one that keeps the models")


@dataclass(frozen=True, slots=True)
class Proof:
    """What a complete folder was filled with. `commit` is what the revision meant then."""

    repo_id: str
    revision: str
    patterns: tuple[str, ...]
    commit: str
    files: Mapping[str, int]  # sizes in bytes


def is_inside(path: str) -> bool:
    """Tell whether a relative path stays where it begins."""
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\\" not in path


def lacking(repository: Repository, folder: Path) -> str | None:
    """Say in words what this folder lacks; None when everything is there."""
    about = f"{repository.repo_id} ({in_words(repository.size_bytes)})" if repository.size_bytes else repository.repo_id
    proof = _read(folder / BESIDE / PROOF)
    if proof is None:
        half = (folder / BESIDE).is_dir()
        return f"{about} is {'only partly in' if half else 'not in'} {folder}"
    if (proof.repo_id, proof.revision) != (repository.repo_id, repository.revision):
        return f"{about} is not in {folder}: that has {proof.repo_id} at {proof.revision}"
    if proof.patterns != repository.files:
        return f"{about} is only partly in {folder}: other files of it were wanted before"
    if wrong := sorted(name for name, size_bytes in proof.files.items() if size_of(folder / name) != size_bytes):
        return f"{about} in {folder} lacks {wrong[0]}" + (f" and {len(wrong) - 1} more" if wrong[1:] else "")
    return None


def prove(repository: Repository, folder: Path, commit: str, sizes_bytes: Mapping[str, int]) -> None:
    """Write down that all is there; a reader sees the whole proof or none. Raises: OSError."""
    proof = Proof(repository.repo_id, repository.revision, repository.files, commit, dict(sizes_bytes))
    half = folder / BESIDE / f"{PROOF}.part"
    with half.open("w") as file:
        json.dump(asdict(proof), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    half.replace(folder / BESIDE / PROOF)


def in_words(size_bytes: float) -> str:
    """A size as people say it."""
    return f"{size_bytes / GIB:.1f} GiB" if size_bytes >= GIB / 10 else f"{size_bytes / MIB:.1f} MiB"


def size_of(path: Path) -> int | None:
    """The size of a file in bytes; None when there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _read(path: Path) -> Proof | None:
    try:
        told: dict[str, Any] = json.loads(path.read_bytes())
        files = {str(name): int(size_bytes) for name, size_bytes in told["files"].items()}
        if not all(map(is_inside, files)):
            return None
        return Proof(told["repo_id"], told["revision"], tuple(told["patterns"]), told["commit"], files)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
