"""What an attempt comes to: seconds of devices of our own, and dollars. Knows a price; does not know who pays."""

from __future__ import annotations

from collections.abc import Callable

from listener.ports import Cost

HOUR_S = 3600.0

OnCost = Callable[[str, float | None, float | None], object]
"""Called with the kind, the device seconds and the dollars of an attempt."""


class Spending:
    """Adds up what one attempt uses. Units: price_per_hour_usd is of one device; 0 is unknown."""

    def __init__(self, price_per_hour_usd: float) -> None:
        self._price_per_hour_usd = price_per_hour_usd
        self._device_s = 0.0
        self._providers_usd: float | None = None

    def device_worked(self, duration_s: float) -> None:
        """A device of ours worked for so long."""
        self._device_s += duration_s

    def provider_took(self, cost_usd: float | None) -> None:
        """A provider made something; None: nobody knows for how much."""
        if cost_usd is not None:
            self._providers_usd = (self._providers_usd or 0.0) + max(0.0, cost_usd)

    def cost(self) -> Cost:
        """What it came to until now."""
        device_s = round(self._device_s, 3) or None
        priced = device_s is not None and self._price_per_hour_usd > 0
        devices_usd = self._device_s * self._price_per_hour_usd / HOUR_S if priced else None
        known = [part for part in (devices_usd, self._providers_usd) if part is not None]
        return Cost(device_s, round(sum(known), 6) if known else None)
