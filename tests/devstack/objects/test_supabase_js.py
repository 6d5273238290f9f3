"""supabase-js handles files here as it does on a hosted project, in the shapes that it sends and expects."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devstack.stack import Stack
from tests.support.node import run_node

SIZE_BYTES = 7


@pytest.fixture
async def told(stack: Stack) -> Any:
    """What each call of the script came to."""
    script = "tests/devstack/objects/files_in_node.mjs"
    printed = await run_node(script, URL=stack.url, KEY=stack.keys.service_role_key, within_s=60)
    return json.loads(printed.splitlines()[-1])


async def test_supabase_js_handles_files(told: Any) -> None:
    assert [bucket["id"] for bucket in told["buckets"]] == ["js"]
    assert told["buckets"][0]["file_size_limit"] == 1_000_000
    assert told["blob"]["fullPath"] == "js/a b/blob.png"
    assert told["again"] == {"name": "StorageApiError", "status": 400, "statusCode": "409", "code": "KeyAlreadyExists"}
    assert told["upsert"]["id"] == told["buffer"]["id"]
    assert told["wrong type"]["code"] == "InvalidMimeType"
    assert (told["info"]["size"], told["info"]["contentType"], told["info"]["metadata"]) == (
        SIZE_BYTES,
        "image/png",
        {"n": 1},
    )
    assert (told["exists"], told["missing"]) == (True, False)
    assert [one["name"] for one in told["list"]] == ["updated.png", "buffer.png"]
    assert told["list v2"]["folders"] == [{"name": "a b/", "key": "a b"}]
    assert told["copy"] == {"path": "open/copied.png"}
    assert told["move"] == {"message": "Successfully moved"}
    assert told["signed"] == told["open"] == [200, SIZE_BYTES]
    assert told["many"] == [[200, SIZE_BYTES], "Either the object does not exist or you do not have access to it", None]
    for name in ("in blob.png", "in buffer.png"):
        assert told[name] == {"path": name, "fullPath": f"js/{name}"}
    assert told["downloaded"] == SIZE_BYTES
    assert (told["transformed"]["status"], told["versioned"]["code"]) == (404, "InvalidRequest")
    assert [one["name"] for one in told["removed"]] == ["moved.png"]
    assert told["full"]["code"] == "ResourceNotEmpty"
    assert told["deleted"] == {"message": "Successfully deleted"}
