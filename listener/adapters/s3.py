"""The ArtifactStore over S3, such as Cloudflare R2: put, sign, get, list, remove. Does not know what the files are.

One bucket of the store holds ours, each in a folder of its name. Imported where the extra is installed and asked for.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError

from listener.adapters.downloads import not_there, require_size, require_type
from listener.adapters.s3_failures import failure, is_missing, translated
from listener.adapters.s3_place import S3Place
from listener.contract import Fetched
from listener.errors import ConfigError, StoreError, StoreMisplaced
from listener.leftovers import Listed
from listener.ports import Accepted
from listener.telemetry import log

CONNECT_S = 5.0
SILENT_S = 60.0
"""How long nothing may be heard of a call."""
SLOWEST_BYTES_PER_S = 128 * 1024
CALL_S = 60.0
REMOVED_AT_ONCE = 1000
OWNER_KEY = "listener-project.txt"
"""Says whose results lie in the bucket: cleaning would take another project's for orphans."""


class S3ArtifactStore:
    """Objects in one bucket. Raises: StoreUnavailable (call again), StoreRejected (do not)."""

    def __init__(self, client: Any, place: S3Place, project: str) -> None:
        self.place = place
        self._client = client
        self._project = project.rstrip("/").encode()
        self._is_ours = False
        self._log = log.get("s3")

    async def put(self, bucket: str, path: str, data: bytes, content_type: str) -> None:
        """Write one object; the same path again replaces it."""
        content = {"Body": data, "ContentType": content_type, "CacheControl": "private, max-age=3600"}
        with self._watched(f"upload to {bucket}"):
            async with asyncio.timeout(CALL_S + len(data) / SLOWEST_BYTES_PER_S):
                await self._client.put_object(**self._at(bucket, path), **content)

    async def sign(self, bucket: str, path: str, valid_s: int) -> str:
        """Make a URL that reads the object for `valid_s` seconds. Asks nobody: it is a matter of the key alone."""
        with self._watched(f"signed URL in {bucket}"):
            made = await self._client.generate_presigned_url("get_object", self._at(bucket, path), ExpiresIn=valid_s)
            return str(made)

    async def get(self, bucket: str, path: str, accepted: Accepted) -> Fetched:
        """Read one object, and no more of it than is accepted.

        Raises: InputUnavailable too, for one that is not there or not accepted.
        """
        with self._watched(f"download from {bucket}"):
            async with asyncio.timeout(CALL_S):
                answer = await self._found(bucket, path)
                async with answer["Body"] as body:
                    content_type = require_type(answer.get("ContentType", ""), accepted)
                    data = await _read(body, accepted.size_max_bytes + 1)
        return Fetched(require_size(data, accepted), content_type)

    async def remove(self, bucket: str, paths: Sequence[str]) -> None:
        """Remove objects; one that is not there is no error."""
        for start in range(0, len(paths), REMOVED_AT_ONCE):
            keys = [{"Key": f"{bucket}/{path}"} for path in paths[start : start + REMOVED_AT_ONCE]]
            with self._watched(f"removal from {bucket}"):
                async with asyncio.timeout(CALL_S):
                    removed = {"Objects": keys, "Quiet": True}
                    answer = await self._client.delete_objects(Bucket=self.place.bucket, Delete=removed)
                for error in answer.get("Errors", []):
                    raise failure(f"removal from {bucket}", str(error.get("Code", "")), 200)

    async def listed(self, bucket: str, after: str, limit: int) -> tuple[Listed, ...]:
        """List the objects of a bucket that come after a path. Raises: StoreMisplaced in another project's bucket."""
        await self._require_ours()
        folder = f"{bucket}/"
        from_key = {"StartAfter": f"{folder}{after}"} if after else {}
        with self._watched(f"list {bucket}"):
            async with asyncio.timeout(CALL_S):
                asked = {"Bucket": self.place.bucket, "Prefix": folder, "MaxKeys": limit, **from_key}
                answer = await self._client.list_objects_v2(**asked)
            found = answer.get("Contents", [])
            return tuple(Listed(one["Key"].removeprefix(folder), one["Size"], one["LastModified"]) for one in found)

    async def ping(self) -> None:
        """See that the bucket is there, and ours, and that the key may list it."""
        with self._watched("list"):
            async with asyncio.timeout(CALL_S):
                await self._client.list_objects_v2(Bucket=self.place.bucket, MaxKeys=1)
        await self._require_ours()

    async def _require_ours(self) -> None:
        """Take a bucket that nobody has marked; never one that is another project's."""
        if self._is_ours:
            return
        mark = {"Bucket": self.place.bucket, "Key": OWNER_KEY}
        with self._watched("read whose bucket it is"):
            async with asyncio.timeout(CALL_S):
                try:
                    answer = await self._client.get_object(**mark)
                except ClientError as error:
                    if not is_missing(error):
                        raise
                    await self._client.put_object(**mark, Body=self._project, ContentType="text/plain")
                    owner = self._project
                else:
                    async with answer["Body"] as body:
                        owner = await _read(body, 1000)
        if owner.strip() != self._project:
            told = "the bucket holds the results of another project: use one bucket (R2_BUCKET_NAME) for each"
            raise StoreMisplaced(f"{told}, or remove {OWNER_KEY} from it")
        self._is_ours = True

    async def _found(self, bucket: str, path: str) -> Any:
        try:
            return await self._client.get_object(**self._at(bucket, path))
        except ClientError as error:
            if is_missing(error):
                raise not_there() from None
            raise

    def _at(self, bucket: str, path: str) -> dict[str, str]:
        if ".." in path or path.startswith("/"):
            raise ValueError("a path that climbs")
        return {"Bucket": self.place.bucket, "Key": f"{bucket}/{path}"}

    @contextmanager
    def _watched(self, call: str) -> Iterator[None]:
        """Translate failures, and tell each with what an operator needs to find its cause."""
        try:
            with translated(call):
                yield
        except StoreError as error:
            where = {"endpoint": self.place.endpoint, "bucket": self.place.bucket}
            self._log.warning("s3_failed", call=call, error=str(error), **where)
            raise


async def _read(body: Any, most_bytes: int) -> bytes:
    data = bytearray()
    while len(data) < most_bytes and (chunk := await body.read(min(65_536, most_bytes - len(data)))):
        data += chunk
    return bytes(data)


def _with_md5(params: dict[str, Any], **_: Any) -> None:
    """Of a removal, S3 insists on a checksum; MD5 is the one that every store knows, CRC32 is not."""
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()
    params["headers"].pop("x-amz-sdk-checksum-algorithm", None)
    params["context"].pop("checksum", None)


@asynccontextmanager
async def open_s3(place: S3Place, slots: int, project: str) -> AsyncIterator[S3ArtifactStore]:
    """Open the client; `slots` bounds its connections. Raises: ConfigError for what no client can be made of."""
    config = AioConfig(
        connect_timeout=CONNECT_S,
        read_timeout=SILENT_S,
        max_pool_connections=slots + 4,
        retries={"total_max_attempts": 1},  # tries are counted in one place: engine/uploads.py
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    made = AioSession().create_client(
        "s3",
        region_name=place.region,
        endpoint_url=place.endpoint,
        aws_access_key_id=place.key_id,
        aws_secret_access_key=place.secret,
        config=config,
    )
    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(made)
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(
                f"no client for S3 can be made ({type(error).__name__}): see R2_…, LISTENER_S3_…"
            ) from error
        client.meta.events.register("before-call.s3.DeleteObjects", _with_md5)
        yield S3ArtifactStore(client, place, project)
