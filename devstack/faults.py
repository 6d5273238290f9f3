"""Faults that tests switch on; every service of the stack asks here before it answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Faults:
    """What the stack does wrong at the moment.

    Units: subscribe_delay_s lies between a Realtime join's reply and the live subscription, as on the real server.
    """

    realtime_muted: bool = False
    subscribe_delay_s: float = 0.2
