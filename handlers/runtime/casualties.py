"""Which sessions ended children, and when: what tells a poisonous session from a sick device.

Knows no process and reads no clock; times are the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

SESSION_DEATHS_MAX = 2
DEVICE_SESSIONS_MAX = 3
DEVICE_WINDOW_S = 600.0
QUARANTINE_S = 600.0
REMEMBERED_MAX = 1000


class Casualties:
    """The deaths of one device's children. Units: seconds."""

    def __init__(self) -> None:
        self._deaths: dict[UUID, int] = {}
        self._recent: dict[UUID, float] = {}
        self._on_trial = False

    def died_with(self, sessions: Iterable[UUID], now_s: float) -> None:
        """Note that a child ended while it ran these sessions."""
        together = sorted(sessions)
        for session in together:
            self._deaths[session] = self._deaths.pop(session, 0) + 1
        # One death is one sign against the device, however many shared the batch.
        self._recent.update(dict.fromkeys(together[:1], now_s))
        while len(self._deaths) > REMEMBERED_MAX:
            self._deaths.pop(next(iter(self._deaths)))

    def survived(self) -> None:
        """Note that the device finished a run: one that was on trial is trusted again."""
        if self._on_trial:
            self._on_trial = False
            self._recent.clear()

    def is_suspect(self, session: UUID) -> bool:
        """Tell whether a session ended a child before; it runs alone from then on."""
        return session in self._deaths

    def is_poison(self, session: UUID) -> bool:
        """Tell whether a session ended as many children as one may."""
        return self._deaths.get(session, 0) >= SESSION_DEATHS_MAX

    def quarantine_s(self, now_s: float) -> float:
        """Tell for how long the device is to rest; 0 while it may go on.

        Several sessions that die in a short time are not all to blame. After the rest one more death is enough.
        """
        self._recent = {who: at for who, at in self._recent.items() if now_s - at < DEVICE_WINDOW_S}
        if len(self._recent) < (1 if self._on_trial else DEVICE_SESSIONS_MAX):
            return 0.0
        self._on_trial = True
        self._recent.clear()
        return QUARANTINE_S
