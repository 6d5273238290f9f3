"""A detector's own end: pictures in, findings out, one at a time, without a network.

A message is its length (4 bytes, big endian) and its bytes: a picture from the daemon, JSON from here. The first one
from here says `ready` or `failure`. Knows no detector.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Protocol

from handlers.detectors.offline import forbid_network
from handlers.runtime.lifeline import leave_signals_to_the_daemon, tie_to_parent

LENGTH = struct.Struct("!I")


class Detector(Protocol):
    """Models, loaded once."""

    def find(self, picture: bytes, /) -> Mapping[str, Any]:
        """What is in a picture, as JSON; empty when there is nothing."""


def serve_the_daemon(make: Callable[[], Detector], first: bytes) -> None:
    """Be the process that the daemon started as `python -m MODULE PID`; `first` is a picture that loads the models."""
    tie_to_parent(int(sys.argv[1]))
    leave_signals_to_the_daemon()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print is no answer
    forbid_network()
    _serve(make, first, sys.stdin.buffer, answers)


def _serve(make: Callable[[], Detector], first: bytes, reading: BinaryIO, writing: BinaryIO) -> None:
    """Answer pictures until the daemon closes its end."""
    try:
        detector = make()
        detector.find(first)
    except Exception as error:  # noqa: BLE001 - whatever it is, the daemon tells it
        _send(writing, {"failure": f"{type(error).__name__}: {error}"})
        return
    _send(writing, {"ready": True})
    while len(prefix := reading.read(LENGTH.size)) == LENGTH.size:
        try:
            told: dict[str, Any] = {"found": detector.find(reading.read(LENGTH.unpack(prefix)[0]))}
        except Exception as error:  # noqa: BLE001 - one bad picture does not end the process
            told = {"failure": type(error).__name__}
        _send(writing, told)


def _send(stream: BinaryIO, told: Mapping[str, Any]) -> None:
    body = json.dumps(told).encode()
    stream.write(LENGTH.pack(len(body)) + body)
    stream.flush()
