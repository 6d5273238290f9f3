"""Replays the recorded requests to PostgREST, in their order, and compares what the embedded stack answers.

Knows what stood in the recorded database, and which SQL ran between the requests; not why a difference is right.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import httpx
import jwt

from devstack.stack import Stack
from devstack.tokens import ALGORITHM, ProjectKeys
from tests.conformance.masks import masked, masked_headers
from tests.conformance.recording import Exchange, exchanges
from tests.conformance.report import Case
from tests.conformance.tokens import VALID_S, signed_again, standing_in

COMPARED = frozenset(
    name.lower()
    for name in (
        *("Content-Range", "Content-Location", "Content-Type", "Content-Profile", "Preference-Applied", "Location"),
        *("WWW-Authenticate", "Proxy-Status", "Retry-After", "X-Made", "Cache-Control", "Allow"),
        *("Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Max-Age"),
        "Access-Control-Expose-Headers",
    )
)
"""The headers that matter: what PostgREST itself says, without those of the connection."""
NOT_SENT = frozenset(("content-length", "host", "accept-encoding", "apikey"))
SURROUNDINGS = """
grant all on public.parents to anon, authenticated;
grant select, insert on public.sessions to authenticated;
create function public.f_ser(code text) returns void language plpgsql as
$$ begin raise exception using errcode = code, message = 'conflict'; end $$;
insert into storage.buckets (id, name) values ('gen', 'gen'), ('tiny', 'tiny');
grant usage on schema storage to service_role;
grant select on storage.buckets to service_role;
alter table storage.buckets disable row level security;
revoke authenticator from postgres;
grant postgres to authenticator;
alter role authenticator set pgrst.db_schemas = 'public, storage';
notify pgrst, 'reload config';
notify pgrst, 'reload schema';
"""
"""What stood in the recorded database beside its schema: the rights Supabase gave by default, Storage's migrations."""
BEFORE = {
    "schema cache: new table, not reloaded": """
        create table public.fresh (a int);
        grant all on public.fresh to service_role;
        create function public.f_fresh() returns int language sql as 'select 1';
        alter table public.parents add column extra text;
        create function public.f_scalar(a int, b int, c int) returns int language sql as 'select a + b + c';
    """,
    "schema cache: after NOTIFY": "notify pgrst, 'reload schema'",
    "schema cache: dropped table, not reloaded": "drop table public.fresh",
    "schema cache: dropped column select *, not reloaded": "alter table public.parents drop column extra",
    "schema cache: dropped function, not reloaded": "drop function public.f_fresh()",
}
"""The SQL that ran before a case."""
UNTOLD = """
alter event trigger pgrst_ddl_watch disable;
alter event trigger pgrst_drop_watch disable;
"""
"""The recorded server was told of no change but by hand."""
KILLED = frozenset(("raise 40001 retry storm", "raise 40P01 retry storm"))
"""Cases that ended when the backend was killed; which of the two answers comes then is a matter of timing."""
WRONG_SECRET = "wrong secret"
KILL = "select pg_terminate_backend(pid) from pg_stat_activity where query like '%f_ser%' and pid <> pg_backend_pid()"
KILL_EVERY_S = 0.2


async def play(stack: Stack, recordings: Path) -> list[Case]:
    """All recorded pairs, in order, each compared with the answer of this stack."""
    played = exchanges(recordings, "rest")
    connection = await asyncpg.connect(stack.database_url)
    try:
        await connection.execute((recordings / "rest_schema.sql").read_text(encoding="utf-8"))
        await _surround(stack)
        async with httpx.AsyncClient(base_url=stack.url, timeout=30) as client:
            # The recorder made its tokens when it began.
            player = _Player(stack.keys, client, connection, _tokens(stack.keys), played[0].at)
            killed = [pair for pair in played if pair.label in KILLED]
            return [await player.case(pair, killed if pair.label in KILLED else [pair]) for pair in played]
    finally:
        await connection.close()


async def _surround(stack: Stack) -> None:
    admin = await asyncpg.connect(stack.admin_url)
    try:
        await admin.execute(SURROUNDINGS)
        await admin.execute(UNTOLD)
    finally:
        await admin.close()


class _Player:
    def __init__(
        self,
        keys: ProjectKeys,
        client: httpx.AsyncClient,
        connection: asyncpg.Connection[asyncpg.Record],
        tokens: Mapping[str, str],
        recorded_at: float,
    ) -> None:
        self._keys = keys
        self._client = client
        self._connection = connection
        self._tokens = tokens
        self._recorded_at = recorded_at

    async def case(self, pair: Exchange, acceptable: list[Exchange]) -> Case:
        """Play one pair; it conforms when it answers as one of those that are `acceptable`."""
        if pair.label in BEFORE:
            await self._connection.execute(BEFORE[pair.label])
        answer = await (self._killed(pair) if pair.label in KILLED else self._sent(pair))
        found = [_differences(one, answer) for one in acceptable]
        return Case.compared(pair.label, min(found, key=len))

    async def _sent(self, pair: Exchange) -> httpx.Response:
        request = pair.request
        body = request.body if isinstance(request.body, str) else ""
        sent = self._client.build_request(
            request.method, request.path, content=body.encode() or None, headers=self._headers(pair)
        )
        return await self._client.send(sent)

    async def _killed(self, pair: Exchange) -> httpx.Response:
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(self._sent(pair))
            while not (await asyncio.wait([sending], timeout=KILL_EVERY_S))[0]:
                await self._connection.execute(KILL)
        return sending.result()

    def _headers(self, pair: Exchange) -> dict[str, str]:
        # The recorder's own header X-Label is not in the recording, but functions that tell of the request show it.
        headers = {"apikey": self._keys.anon_key, "X-Label": pair.label}
        for name, value in pair.request.headers.items():
            if name.lower() not in NOT_SENT:
                sent = self._token(pair, value) if name.lower() == "authorization" else value
                headers[name] = sent.strip()
        return headers

    def _token(self, pair: Exchange, value: str) -> str:
        scheme, _, token = value.partition(" ")
        if scheme != "Bearer":
            return value
        placeholder = re.fullmatch(r"<(\w+) jwt>", token)
        if placeholder:
            return f"Bearer {self._tokens[placeholder[1]]}"
        return f"Bearer {signed_again(token, self._keys, self._recorded_at, wrongly=pair.label == WRONG_SECRET)}"


def _tokens(keys: ProjectKeys) -> dict[str, str]:
    """The tokens as the recorder made them: without an issuer."""
    now = int(time.time())
    tokens = {}
    for name, token in standing_in(keys).items():
        claims = {key: value for key, value in keys.decode(token).items() if key in ("role", "sub")}
        tokens[name] = jwt.encode(claims | {"iat": now, "exp": now + VALID_S}, keys.jwt_secret, algorithm=ALGORITHM)
    return tokens


def _differences(pair: Exchange, answer: httpx.Response) -> list[str]:
    wanted = pair.response
    found = []
    if answer.status_code != wanted.status:
        found.append(f"status: {answer.status_code}, not {wanted.status}")
    theirs, ours = masked_headers(wanted.headers, COMPARED), masked_headers(answer.headers, COMPARED)
    found += [
        f"{name}: {ours.get(name)!r}, not {theirs.get(name)!r}"
        for name in sorted(theirs.keys() | ours.keys())
        if theirs.get(name) != ours.get(name)
    ]
    if isinstance(wanted.body, str) and _body(pair, answer.text) != _body(pair, wanted.body):
        found.append(f"body: {_body(pair, answer.text)}\n not: {_body(pair, wanted.body)}")
    return found


def _body(pair: Exchange, text: str) -> str:
    """The body without what the server's version and the recording machine's time zone name put there."""
    plain = re.sub(r'"app": "PostgREST [^"]*"', '"app": "PostgREST <version>"', masked(text)).replace("Etc/UTC", "UTC")
    plain = re.sub(r'"w[0-9a-f-]{36}"', '"w<uuid>"', plain)
    if "/rpc/claim" in pair.request.path:  # an UPDATE returns its rows in no particular order
        return ", \n ".join(sorted(plain.strip("[]").split(", \n ")))
    return plain
