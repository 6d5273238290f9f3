"""Asks the model hub what a repository holds and brings files of it. Imported by the child only.

Every file is checked against the hub's digest before it gets its name, and a part of one is continued by the next
process: the hub's own client begins a file anew in each process, so only its single steps are used.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import build_hf_headers, filter_repo_objects

from handlers.weights.repository import BESIDE, OnNote, Repository, in_words, is_inside, prove, size_of

CALL_S = 30.0
NOTE_S = 2.0
AT_ONCE = 4
READ_BYTES = 4 << 20
FULL = (errno.ENOSPC, errno.EDQUOT)
TOO_MANY_REQUESTS = 429
SERVER_ERRORS = 500


class BringError(Exception):
    """What is missing cannot be brought; `is_passing` when trying again may help."""

    def __init__(self, reason: str, *, is_passing: bool = False) -> None:
        super().__init__(reason)
        self.is_passing = is_passing


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file. `sha256` is of its bytes where the hub knows it, else `blob_id` is git's name for them."""

    path: str
    size_bytes: int
    blob_id: str
    sha256: str | None

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{self.path}\0{self.sha256 or self.blob_id}".encode()).hexdigest()[:32]

    def is_right(self, file: Path) -> bool:
        """Read it all and compare."""
        digest = hashlib.sha256() if self.sha256 else hashlib.sha1(usedforsecurity=False)
        if self.sha256 is None:
            digest.update(f"blob {self.size_bytes}\0".encode())
        with file.open("rb") as reading:
            while piece := reading.read(READ_BYTES):
                digest.update(piece)
        return digest.hexdigest() == (self.sha256 or self.blob_id)


class Bringing:
    """Fills one folder with the files of one repository."""

    def __init__(self, repository: Repository, folder: Path, token: str | None, on_note: OnNote) -> None:
        self._repository = repository
        self._folder = folder
        self._token = token
        self._on_note = on_note
        self._parts = folder / BESIDE / "parts"
        self._checked = folder / BESIDE / "checked"

    def run(self) -> None:
        """Bring everything, then prove it. Raises: BringError."""
        with in_our_words(self._repository, self._token):
            commit, wanted = self._listing()
            for folder in (self._parts, self._checked):
                folder.mkdir(parents=True, exist_ok=True)
            self._forget_other_parts(wanted)
            self._require_room(wanted)
            self._bring_all(commit, wanted)
            prove(self._repository, self._folder, commit, {one.path: one.size_bytes for one in wanted})
            shutil.rmtree(self._parts, ignore_errors=True)

    def _listing(self) -> tuple[str, list[Wanted]]:
        name, revision = self._repository.repo_id, self._repository.revision
        self._on_note(f"asking the hub about {name}")
        api = HfApi(token=self._token)
        commit = api.model_info(name, revision=revision, timeout=CALL_S).sha
        if commit is None:
            raise BringError(f"the hub names no commit of {name}", is_passing=True)
        files = [one for one in api.list_repo_tree(name, recursive=True, revision=commit) if isinstance(one, RepoFile)]
        patterns = list(self._repository.files) or None
        chosen = filter_repo_objects(files, allow_patterns=patterns, key=lambda one: one.path)
        wanted = [Wanted(one.path, one.size, one.blob_id, one.lfs.sha256 if one.lfs else None) for one in chosen]
        if not wanted:
            raise BringError(f"{name} has none of the files {', '.join(self._repository.files) or 'that are wanted'}")
        if outside := [one.path for one in wanted if not is_inside(one.path) or one.path.startswith(BESIDE)]:
            raise BringError(f"{name} names a file outside of its folder: {outside[0][:100]!r}")
        return commit, wanted

    def _forget_other_parts(self, wanted: list[Wanted]) -> None:
        known = {one.key for one in wanted}
        for part in self._parts.iterdir():
            if part.name not in known:
                part.unlink()

    def _require_room(self, wanted: list[Wanted]) -> None:
        there = sum(map(self._there_bytes, wanted))
        needed, free = sum(one.size_bytes for one in wanted) - there, shutil.disk_usage(self._folder).free
        if needed > free:
            has = f"{in_words(needed)} more, and {self._folder} has {in_words(free)} free"
            raise BringError(f"{self._repository.repo_id} needs {has}: make room, or use a larger volume")

    def _bring_all(self, commit: str, wanted: list[Wanted]) -> None:
        total = sum(one.size_bytes for one in wanted)
        pool = ThreadPoolExecutor(AT_ONCE)
        pending: set[Future[None]] = {pool.submit(self._bring, commit, one) for one in wanted}
        try:
            while pending:
                done, pending = wait(pending, NOTE_S)
                for one in done:
                    one.result()
                there = sum(map(self._there_bytes, wanted))
                self._on_note(f"bringing {self._repository.repo_id}: {in_words(there)} of {in_words(total)}")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _bring(self, commit: str, wanted: Wanted) -> None:
        """Bring one file, beginning where a process before ended."""
        target, part = self._folder / wanted.path, self._parts / wanted.key
        if size_of(target) == wanted.size_bytes and (self._was_checked(wanted) or wanted.is_right(target)):
            self._note_checked(wanted)
            return
        if (size_of(part) or 0) > wanted.size_bytes:
            part.unlink()
        self._continue(commit, wanted, part)
        if not wanted.is_right(part):
            part.unlink()
            raise BringError(f"{wanted.path} of {self._repository.repo_id} came damaged", is_passing=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
        self._note_checked(wanted)

    def _continue(self, commit: str, wanted: Wanted, part: Path) -> None:
        url = hf_hub_url(self._repository.repo_id, wanted.path, revision=commit)
        with part.open("ab") as file:
            if file.tell() == wanted.size_bytes:
                return
            location = get_hf_file_metadata(url, token=self._token, timeout=CALL_S).location
            headers = build_hf_headers(token=self._token) | {"Accept-Encoding": "identity"}
            if urlsplit(location).netloc != urlsplit(url).netloc:
                headers.pop("authorization", None)  # the hub's token is none of another host's business
            http_get(location, file, resume_size=file.tell(), headers=headers, expected_size=wanted.size_bytes)
            file.flush()
            os.fsync(file.fileno())

    def _there_bytes(self, wanted: Wanted) -> int:
        if size_of(self._folder / wanted.path) == wanted.size_bytes:
            return wanted.size_bytes
        return min(size_of(self._parts / wanted.key) or 0, wanted.size_bytes)

    def _was_checked(self, wanted: Wanted) -> bool:
        return (self._checked / wanted.key).exists()

    def _note_checked(self, wanted: Wanted) -> None:
        (self._checked / wanted.key).touch()


@contextmanager
def in_our_words(repository: Repository, token: str | None) -> Iterator[None]:
    """Say what went wrong and what helps; the client's own words hold addresses with signatures."""
    name = repository.repo_id
    try:
        yield
    except GatedRepoError as error:
        how = "its account may not read it yet" if token else "HF_TOKEN is not set"
        raise BringError(f"{name} is gated and {how}: accept its terms at the hub, then set HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise BringError(f"{name} has no revision {repository.revision!r}") from error
    except RepositoryNotFoundError as error:
        hint = "the account of HF_TOKEN may not read it" if token else "it is private: set HF_TOKEN"
        raise BringError(f"the hub has no {name}, or {hint}") from error
    except OfflineModeIsEnabled as error:
        raise BringError(f"{name} is missing and HF_HUB_OFFLINE forbids to ask the hub") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        is_passing = status >= SERVER_ERRORS or status in {408, TOO_MANY_REQUESTS}
        hint = "" if is_passing else ": check HF_TOKEN and what its account may read"
        raise BringError(f"the hub answers {status} for {name}{hint}", is_passing=is_passing) from error
    except OSError as error:
        if error.errno in FULL:
            raise BringError(f"the disk is full while {name} is brought: make room, or use a larger volume") from error
        how = f"cannot be kept: {os.strerror(error.errno)}" if error.errno else "did not come whole"
        raise BringError(f"{name} {how}", is_passing=True) from error
    except BringError:
        raise
    except Exception as error:
        raise BringError(f"the hub was not reached for {name} ({type(error).__name__})", is_passing=True) from error
