"""What a store's failures mean: S3's codes in the taxonomy's words, with the setting that an operator has to mend.

Knows the codes of AWS, R2, MinIO and Ceph; does not know what was called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError

from listener.errors import KeyRefused, StoreError, StoreFull, StoreMisplaced, StoreRejected, StoreUnavailable

KEYS = frozenset(
    {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Unauthorized", "ExpiredToken", "InvalidToken"}
)
MEND_KEYS = "(R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY: a token that reads, writes and lists this bucket)"
MEND_BUCKET = "(R2_BUCKET_NAME: no such bucket at this store; create it, or correct the name)"
MEND_REGION = "(LISTENER_S3_REGION and LISTENER_S3_ENDPOINT: the bucket is somewhere else)"
MEND_CLOCK = "(this machine's clock is wrong: let NTP set it)"
MEND_ROOM = "(no room: enlarge the store, or keep results for less time)"
PLACES = {
    "NoSuchBucket": MEND_BUCKET,
    "InvalidBucketName": MEND_BUCKET,
    "PermanentRedirect": MEND_REGION,
    "AuthorizationHeaderMalformed": MEND_REGION,
    "IllegalLocationConstraintException": MEND_REGION,
    "RequestTimeTooSkewed": MEND_CLOCK,
}
FULL = re.compile(r"Quota|StorageFull|InsufficientStorage|InsufficientCapacity|OutOfSpace")
"""As MinIO, Ceph and gateways to file systems say it; R2 and AWS never do."""
PASSING = frozenset(
    {"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling", "TooManyRequests"}
)
PASSING_STATUSES = frozenset({408, 425, 429})
NO_ROOM = 507
FIRST_SERVER_ERROR = 500
MISSING = frozenset({"NoSuchKey", "404"})


@contextmanager
def translated(call: str) -> Iterator[None]:
    """Turn the client's exceptions into the taxonomy's; no URL of an object gets into a message.

    Raises: StoreUnavailable when the same call may be made again, StoreRejected when it will not help.
    """
    try:
        yield
    except ClientError as error:
        told = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise failure(call, str(told.get("Code", "")), int(status or 0), str(told.get("Message", ""))) from None
    except (HTTPClientError, NoConnection, ResponseParserError, aiohttp.ClientError, TimeoutError, OSError) as error:
        raise StoreUnavailable(f"{call}: {type(error).__name__}") from None
    except (BotoCoreError, KeyError, TypeError, ValueError) as error:
        raise StoreRejected(f"{call}: {type(error).__name__}") from error


def failure(call: str, code: str, status: int, message: str = "") -> StoreError:
    """Judge what the store answered."""
    text = f"{call}: HTTP {status} {code} {message[:200]}".rstrip()
    if status == NO_ROOM or FULL.search(code):
        return StoreFull(f"{text} {MEND_ROOM}")
    if code in PLACES:
        return StoreMisplaced(f"{text} {PLACES[code]}")
    if code in KEYS or status in (401, 403):
        return KeyRefused(f"{text} {MEND_KEYS}")
    if code in PASSING or status in PASSING_STATUSES or status >= FIRST_SERVER_ERROR:
        return StoreUnavailable(text)
    return StoreRejected(text)


def is_missing(error: ClientError) -> bool:
    """Whether an answer says that the object is not there."""
    return str(error.response.get("Error", {}).get("Code", "")) in MISSING
