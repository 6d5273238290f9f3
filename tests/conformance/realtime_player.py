"""Plays one Realtime scenario line by line; which scenarios there are and on what they run is not its matter."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tests.conformance.realtime_causes import SCRIPTS, moment, moments, transaction, write
from tests.conformance.realtime_frames import AT_CLIENT, Comparison, Seen, received, recorded
from tests.conformance.realtime_notes import NOTES, cause_of
from tests.conformance.realtime_tokens import Tokens
from tests.conformance.realtime_world import World
from tests.conformance.recording import Line, Scenario

WITHIN_S = 15.0


class LostTrackError(Exception):
    """The conversation cannot go on."""


class Player:
    """One scenario as it goes on; `at` is the line that is being played."""

    def __init__(self, world: World, scenario: Scenario, comparison: Comparison) -> None:
        self.world = world
        self.label = scenario.label
        self.lines = scenario.lines
        self.at = 0
        self.differences: list[str] = []
        self.tokens = Tokens(world.stack.keys, scenario.label, world.apikeys)
        self.script = list(SCRIPTS.get(scenario.label, ()))
        self.caused: set[str] = set()
        self.posted: dict[int, str] = {}
        self.unanswered: dict[str, int] = {}
        self.early: dict[str, list[Seen]] = {}
        self._comparison = comparison

    async def play(self) -> None:
        """Walk through the lines."""
        for at, line in enumerate(self.lines):
            self.at = at
            try:
                await self._play(line)
            except (TimeoutError, LostTrackError, aiohttp.ClientError, OSError) as error:
                self.differences.append(f"line {self.at} at {line.t} s, {line.dir} {line.frame[:200]}: {error!r}")
                break
        if self.lines[-1].dir != "closed" and self.label != "join-errors":
            for conn in list(self.world.sockets):
                await self.close(conn)

    async def _play(self, line: Line) -> None:
        match line.dir:
            case "open":
                await self._open(line)
            case ">":
                await self._send(line)
            case "<":
                await self._expect(line)
            case "http" if line.conn == "-":
                await self._request(line)
            case "closed":
                await self._closed(line)
                await self._note(f"{line.conn} closed")
            case "note" | "log":
                self.tokens.hint = line.frame
                await self._note(line.frame)

    async def _note(self, text: str) -> None:
        for start, act in NOTES.get(self.label, {}).items():
            if text.startswith(start):
                await act(self)

    # -- sockets

    async def _open(self, line: Line) -> None:
        old = self.world.sockets.pop(line.conn, None)
        if old is not None:
            await old.close()
        answer = self._answer()
        refused = answer is not None and answer.dir == "note"
        if self.world.server is None and not refused:
            await self.world.start()
        token = self.tokens.of_connection(line.conn)
        path = urlsplit(line.frame)
        query = path.query.replace("<jwt>", token)
        url = f"{self.world.url}/realtime/v1{path.path.removeprefix('/socket')}?{query}"
        if answer is not None and answer.dir == "http":
            async with self.world.http.get(url) as got:
                text = await got.text()
                if f"{got.status} {text}".strip() != answer.frame.strip():
                    self.differences.append(f"{path.path}: expected {answer.frame}, got {got.status} {text}")
            return
        try:
            self.world.sockets[line.conn] = await self.world.http.ws_connect(url, autoping=True)
        except aiohttp.ClientConnectorError:
            if not refused:
                raise

    def _answer(self) -> Line | None:
        """The line that tells that a connection was refused, if it was."""
        line, following = self.lines[self.at], self.lines[self.at + 1 : self.at + 2]
        for next_line in following:
            if next_line.dir == "http" and next_line.conn == line.conn:
                return next_line
            if next_line.frame.startswith("connect while down"):
                return next_line
        return None

    async def _send(self, line: Line) -> None:
        if line.conn not in self.world.sockets:
            if self.world.server is None:
                await self.world.start()
            token = self.tokens.of_connection(line.conn)
            url = f"{self.world.url}/realtime/v1/websocket?apikey={token}"
            self.world.sockets[line.conn] = await self.world.http.ws_connect(url)
        self.unanswered[line.conn] = self.unanswered.get(line.conn, 0) + 1
        await self.world.sockets[line.conn].send_str(self.tokens.filled(line.conn, line.frame))

    async def next(self, conn: str) -> Seen:
        """The next frame of a connection."""
        async with asyncio.timeout(WITHIN_S):
            message = await self.world.sockets[conn].receive()
        if message.type not in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
            raise LostTrackError(f"{conn} was closed: {self.world.sockets[conn].close_code}")
        return received(message.data)

    async def _expect(self, line: Line) -> None:
        expected = recorded(line)
        await self._cause(expected)
        got = await self._matching(line.conn, expected)
        if difference := self._comparison.difference(expected, got):
            self.differences.append(f"line {self.at} at {line.t} s on {line.conn}: {difference}")

    async def _matching(self, conn: str, expected: Seen) -> Seen:
        """The next frame; in which order the channels of a connection hear of one change is not promised."""
        early = self.early.setdefault(conn, [])
        for seen in early:
            if seen.topic == expected.topic and expected.change is not None:
                early.remove(seen)
                return seen
        while (got := await self.next(conn)).topic != expected.topic and expected.change and got.change:
            early.append(got)
        return got

    async def _closed(self, line: Line) -> None:
        code = json.loads(line.frame)["code"]
        by_server = code != aiohttp.WSCloseCode.OK or self.label.startswith("idle: no heartbeat")
        if code == 1012 and self.label.startswith("realtime server restart"):
            await self.world.stop()
        if code == 1006:
            self.world.kill()
        await (self.closed_by_server(line.conn, code) if by_server else self.close(line.conn))

    async def closed_by_server(self, conn: str, code: int) -> None:
        """Wait until the server closes; nothing else may come before."""
        socket = self.world.sockets.pop(conn)
        async with asyncio.timeout(WITHIN_S):
            message = await socket.receive()
        got = message.data if message.type is aiohttp.WSMsgType.CLOSE else socket.close_code
        if message.type in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY} or got != code:
            self.differences.append(f"{conn}: expected close {code}, got {message} {socket.close_code}")

    async def close(self, conn: str) -> None:
        """Close from the client's side, after nothing else has come."""
        await self.silent(conn)
        await self.world.sockets.pop(conn).close()

    async def silent(self, conn: str) -> None:
        """See that nothing was sent that the recording does not have."""
        await self.world.settled()
        for seen in self.early.pop(conn, []):
            self.differences.append(f"{conn} before line {self.at}: not recorded: {seen.shape}")
        socket = self.world.sockets[conn]
        probe: dict[str, Any] = {
            "topic": "phoenix",
            "event": "heartbeat",
            "payload": {},
            "ref": "probe",
            "join_ref": None,
        }
        is_v2 = "vsn=2" in str(socket._response.url)
        await socket.send_str(json.dumps([None, "probe", "phoenix", "heartbeat", {}] if is_v2 else probe))
        while (got := await self.next(conn)).shape[1] != "probe":
            self.differences.append(f"{conn} after line {self.at}: not recorded: {got.shape}")

    # -- what happens beside the sockets

    async def _cause(self, expected: Seen) -> None:
        if await cause_of(self, expected):
            return
        if expected.change is None and not expected.is_cut:
            return
        at = moment(expected) if not expected.is_cut else "cut"
        if at is None:
            at = next((found for found in moments(self._frames(self.at), expected) if found not in self.caused), None)
        if at is None or at in self.caused:
            return
        self.caused.add(at)
        if self.script:
            await self.world.database.execute(self.script.pop(0))
        else:
            await write(self.world.database, transaction(self._frames(0), at))

    def _frames(self, start: int) -> list[Seen]:
        return [recorded(line) for line in self.lines[start:] if line.dir == "<"]

    async def _request(self, line: Line) -> None:
        got = self.posted.pop(self.at, None) or await self.request(line)
        expected = line.frame.split(" -> ", 1)[1].strip()
        if got != expected:
            self.differences.append(f"{line.frame[:60]}: expected {expected[:120]}, got {got[:120]}")

    async def request(self, line: Line) -> str:
        """Send a recorded request; status and body."""
        asked = line.frame.split(" -> ", 1)[0].strip()
        method, path, *body = asked.split(" ", 2)
        headers = {"authorization": f"Bearer {self.tokens.of_request(line.frame)}"}
        url = f"{self.world.url}/realtime/v1{path}"
        data = body[0] if body else None
        if data:
            headers["content-type"] = "application/json"
        async with self.world.http.request(method, url, data=data, headers=headers) as got:
            return f"{got.status} {await got.text()}".strip()

    @property
    def is_python(self) -> bool:
        """True for what supabase-py's log told."""
        return any(line.conn == AT_CLIENT for line in self.lines)
