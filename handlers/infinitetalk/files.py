"""InfiniteTalk's model files: which they are, where they lie, whether all are there; brought in the background.

Does not know how files are brought.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import structlog

from handlers.infinitetalk.arguments import Models
from handlers.weights.files import ModelFiles
from handlers.weights.repository import Repository
from listener.errors import ModelUnavailable

SHARDS = tuple(f"diffusion_pytorch_model-{n:05}-of-00007.safetensors" for n in range(1, 8))
ENCODERS = ("models_t5_umt5-xxl-enc-bf16.pth", "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth")
TOKENIZERS = ("google/umt5-xxl/*", "xlm-roberta-large/*")
BASE = Repository(
    "Wan-AI/Wan2.1-I2V-14B-480P",
    "Wan2.1-I2V-14B-480P",
    ("config.json", *SHARDS, *ENCODERS, "Wan2.1_VAE.pth", *TOKENIZERS),
    size_bytes=80 * 10**9,
)
# Its main branch has no safetensors, and the other file is refused by transformers beside an older torch.
SOUND = Repository(
    "TencentGameMate/chinese-wav2vec2-base",
    "chinese-wav2vec2-base",
    ("config.json", "preprocessor_config.json", "model.safetensors"),
    revision="refs/pr/1",
)
# One file of many: the whole repository has 159 GB.
WEIGHTS = Repository("MeiGen-AI/InfiniteTalk", "InfiniteTalk", ("single/infinitetalk.safetensors",))
REPOSITORIES = (BASE, SOUND, WEIGHTS)
LOOK_AGAIN_S = 30.0
TRY_AGAIN_S = 300.0

log = structlog.get_logger()


class Files(Protocol):
    """Whoever brings files that are missing."""

    def missing(self) -> tuple[str, ...]: ...

    async def ensure(self, on_note: Callable[[str], None]) -> None: ...


class ModelCare:
    """Looks for the model files, and has them brought if it may. `obstacle` says in words what is missing."""

    def __init__(self, root: Path, token: str | None, *, download: bool, files: Files | None = None) -> None:
        self._root = root
        self._files: Files = files or ModelFiles(REPOSITORIES, root, token)
        self._download = download
        self.obstacle = "its model files were not looked for yet"

    @property
    def models(self) -> Models:
        """What the program is told."""
        return Models(
            checkpoint=self._root / BASE.folder,
            sound=self._root / SOUND.folder,
            weights=self._root / WEIGHTS.folder / WEIGHTS.files[0],
        )

    async def look(self) -> bool:
        """Tell whether all is there."""
        missing = await asyncio.to_thread(self.missing)
        self.obstacle = f"model files are missing: {'; '.join(missing)}" if missing else ""
        return not missing

    async def care(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Until all is there: bring what is missing, or look whether somebody else did."""
        while True:
            try:
                if self._download:
                    await self._files.ensure(self._note)
            except (ModelUnavailable, OSError) as error:
                self._note(str(error))
                log.error("model_files_missing", engine="infinitetalk", reason=str(error), again_in_s=TRY_AGAIN_S)
                await sleep(TRY_AGAIN_S)
            else:
                if await self.look():
                    return
                await sleep(LOOK_AGAIN_S)

    def missing(self) -> tuple[str, ...]:
        """Say in words what is not there."""
        return self._files.missing() if self._download else self._absent()

    def _note(self, note: str) -> None:
        self.obstacle = f"model files are missing: {note}"

    def _absent(self) -> tuple[str, ...]:
        """What an operator who brings the files himself has not brought: each file, or one of each sort."""
        return tuple(
            f"{self._root / repository.folder}/{pattern}"
            for repository in REPOSITORIES
            for pattern in repository.files
            if not any((self._root / repository.folder).glob(pattern))
        )
