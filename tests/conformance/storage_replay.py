"""Plays the recorded Storage pairs on a stack and compares status, headers that matter and bodies.

The recordings hold no SQL: the policies that some of them stand on are made here, as their answers tell.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path

import aiohttp
import asyncpg
import jwt
from yarl import URL

from devstack.stack import Stack
from devstack.tokens import ProjectKeys
from tests.conformance.masks import masked, masked_headers, masked_value
from tests.conformance.recording import Exchange, Response, exchanges
from tests.conformance.report import Case
from tests.conformance.storage_bodies import matches, sent
from tests.conformance.tokens import signed_again, standing_in

PREFIX = "/storage/v1"
OF_CONTENT = {f"content-{name}" for name in ("disposition", "length", "range", "type")}
HEADERS = frozenset({"accept-ranges", "cache-control", "etag", "expires", "last-modified", "x-robots-tag"} | OF_CONTENT)
NOT_SENT = frozenset(("content-length", "host", "accept-encoding"))
PLACEHOLDER = re.compile(r"<(\w+)(?: jwt)?>")
TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
FIRST_WITH_POLICIES = "user WITH policy upload own"
POLICIES = """
create policy recorded_insert on storage.objects for insert to authenticated
  with check (bucket_id = 'gen' and (storage.foldername(name))[1] = (select auth.uid())::text);
create policy recorded_select on storage.objects for select to authenticated
  using (bucket_id = 'gen' and (storage.foldername(name))[1] = (select auth.uid())::text);
"""


async def play(stack: Stack, recordings: Path) -> list[Case]:
    """Every recorded pair, in its order, on a stack without buckets."""
    cases = []
    async with aiohttp.ClientSession(skip_auto_headers=["Content-Type", "User-Agent"]) as client:
        for exchange in exchanges(recordings, "storage"):
            if exchange.label == FIRST_WITH_POLICIES:
                await _make_policies(stack)
            cases.append(Case.compared(exchange.label, list(await _differences(exchange, stack, client))))
    return cases


async def _make_policies(stack: Stack) -> None:
    connection = await asyncpg.connect(stack.database_url)
    try:
        await connection.execute(POLICIES)
    finally:
        await connection.close()


async def _differences(exchange: Exchange, stack: Stack, client: aiohttp.ClientSession) -> list[str]:
    request = exchange.request
    path = request.path if request.path.startswith(PREFIX) else PREFIX + request.path
    headers = {
        name: _in_use(value, exchange, stack.keys)
        for name, value in request.headers.items()
        if name.lower() not in NOT_SENT
    }
    url = URL(stack.url + _in_use(path, exchange, stack.keys), encoded=True)
    sending = sent(request)
    body = None if sending is None else io.BytesIO(sending)
    async with client.request(request.method, url, headers=headers, data=body) as answer:
        return list(_compared(exchange.response, answer.status, answer.headers, await answer.read()))


def _in_use(text: str, exchange: Exchange, keys: ProjectKeys) -> str:
    """The text with its tokens replaced by ones that the stack signed; a forged one stays forged."""
    forged = "tampered" in exchange.label or "wrong secret" in exchange.label

    text = TOKEN.sub(lambda found: signed_again(found[0], keys, exchange.at, wrongly=forged), text)
    return PLACEHOLDER.sub(lambda found: standing_in(keys)[found[1]], text)


def _compared(recorded: Response, status: int, headers: Mapping[str, str], body: bytes) -> Iterator[str]:
    if status != recorded.status:
        yield f"status: {recorded.status} recorded, {status} answered"
    # Lengths count where no masked token or time is in the body; a 304 need not say one.
    names = HEADERS - {"content-length"} if _is_json(headers) or status == HTTPStatus.NOT_MODIFIED else HEADERS
    wanted, given = masked_headers(recorded.headers, names), masked_headers(headers, names)
    if recorded.headers and wanted != given:  # nothing was recorded of those that came over a raw socket
        yield f"headers: {wanted} recorded, {given} answered"
    if isinstance(recorded.body, dict):
        if not matches(recorded.body, body):
            yield f"body: {recorded.body} recorded, {len(body)} bytes answered"
    elif _comparable(recorded.body or "") != _comparable(body.decode("utf-8", "replace")):
        yield f"body: {recorded.body!r} recorded, {body[:2000]!r} answered"


def _is_json(headers: Mapping[str, str]) -> bool:
    return headers.get("Content-Type", "").startswith("application/json")


def _comparable(text: str) -> str:
    """The order of keys counts, as it is part of what the real server writes."""
    text = TOKEN.sub(_told, text)
    try:
        return json.dumps(masked_value(json.loads(text)), ensure_ascii=False)
    except ValueError:
        return masked(text)


def _told(token: re.Match[str]) -> str:
    """What a signed URL's token says, in place of it; how long one for uploads lasts is the server's setting."""
    header = jwt.get_unverified_header(token[0])
    claims = jwt.decode(token[0], options={"verify_signature": False})
    valid_s = claims.pop("exp") - claims.pop("iat")
    lasts = "as set" if claims.get("scope") == "upload" else f"{valid_s} s"
    return f"{header} {claims} {lasts}".replace('"', "'")
