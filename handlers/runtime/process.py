"""The host's end of one child process: start, talk, notice the end, leave nothing behind.

Knows asyncio and the protocol; does not know sessions or why a child is wanted.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from handlers.runtime import messages
from handlers.runtime.exits import EXIT_FATAL_DEVICE, FATAL_LINE, describe_exit, reason_of
from handlers.runtime.messages import NO_RUN, Beat, Message
from handlers.runtime.output import Output

STREAM_BYTES_MAX = 8 << 20
CLOSE_GRACE_S = 2.0


class ChildEndedError(Exception):
    """The child process is gone. The text says how it ended, `cause` why it was ended, if the host knows.

    `reason` is one word of a short list.
    """

    def __init__(self, exit_words: str, cause: str = "", reason: str = "ended") -> None:
        super().__init__(exit_words)
        self.cause = cause
        self.reason = reason


class Child:
    """One child process. `nudge` wakes whoever waits in `receive` with None; `imported`: a spare is ready to load."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        output: Output,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._output = output
        self._inbox: asyncio.Queue[Message | ChildEndedError | None] = asyncio.Queue()
        self._relays: list[asyncio.Task[None]] = []
        self.imported = False

    @classmethod
    async def spawn(
        cls,
        environment: Mapping[str, str],
        prompts: Callable[[], Iterable[str | None]],
        group: asyncio.TaskGroup,
        spare: Sequence[str] | None = None,
    ) -> Child:
        """Start a child; `spare` names pipeline classes that it imports before it is asked for anything.

        Raises: OSError when the system refuses.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            # First: nothing may be waited for between the birth of a child and its having somebody who ends it.
            reader, writer = await asyncio.open_connection(sock=ours, limit=STREAM_BYTES_MAX)
            try:
                # -P: a file in the working directory must not pose as a library.
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",
                    "-m",
                    "handlers.runtime.child",
                    str(theirs.fileno()),
                    str(os.getpid()),
                    *(() if spare is None else ("spare", *spare)),
                    env=dict(environment),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                )
            except BaseException:
                writer.close()
                raise
        child = cls(process, reader, writer, Output(process.pid, prompts))
        group.create_task(child._pump())
        if process.stdout is not None and process.stderr is not None:
            relay = child._output.relay
            child._relays += [group.create_task(relay(process.stdout, "stdout"))]
            child._relays += [group.create_task(relay(process.stderr, "stderr"))]
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs and listens, as far as is known."""
        return self._process.returncode is None and not self._reader.at_eof()

    @property
    def last_lines(self) -> list[str]:
        """What it printed last, redacted."""
        return list(self._output.last_lines)

    def post(self, message: Message) -> None:
        """Send a message; to a child that is gone it goes nowhere."""
        if not self._writer.is_closing():
            self._writer.writelines(messages.encode(message))

    def nudge(self) -> None:
        """Wake the receiver."""
        self._inbox.put_nowait(None)

    async def receive(self) -> Message | None:
        """Wait for a message or a nudge. Raises: ChildEndedError."""
        message = await self._inbox.get()
        if isinstance(message, ChildEndedError):
            raise message
        return message

    def kill(self) -> None:
        """End it now, whatever it is doing."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def kill_and_wait(self) -> str:
        """End it now and tell in words how it ended."""
        self.kill()
        return describe_exit(await self._process.wait())

    async def close(self) -> str:
        """Close the socket, wait a moment, kill; tell in words how it ended."""
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_GRACE_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
        finally:
            if self._process.returncode is None:
                self.kill()
        with suppress(OSError):
            await self._writer.wait_closed()
        return describe_exit(await self._process.wait())

    async def _pump(self) -> None:
        cause = ""
        try:
            while True:
                message = await self._read()
                if isinstance(message, Beat) and message.run == NO_RUN:
                    self.imported = True
                else:
                    self._inbox.put_nowait(message)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the end of the stream is how its end shows
        except messages.ProtocolError as error:
            cause = f"it broke the protocol: {error}"
        # A child that closed its socket or babbles is of no use, even if it still runs.
        if self._process.returncode is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_GRACE_S):
                    await self._process.wait()
        self.kill()
        returncode = await self._process.wait()
        reason = "protocol" if cause else reason_of(returncode)
        if returncode == EXIT_FATAL_DEVICE:
            cause = await self._last_words()
        self._inbox.put_nowait(ChildEndedError(describe_exit(returncode), cause, reason))

    async def _last_words(self) -> str:
        """What it said of the device before it ended itself, when all that it printed has come."""
        await asyncio.wait(self._relays, timeout=CLOSE_GRACE_S)
        return next((line for line in reversed(self.last_lines) if line.startswith(FATAL_LINE)), "")

    async def _read(self) -> Message:
        prefix = await self._reader.readexactly(messages.HEADER_LENGTH.size)
        header = messages.parse_header(await self._reader.readexactly(messages.header_length(prefix)))
        blobs = [await self._reader.readexactly(size) for size in messages.blob_lengths(header)]
        return messages.build(header, blobs)
