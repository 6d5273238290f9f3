"""The stores' API under many callers, beside a bare aiohttp server that writes and reads a row."""

from bench.api.measure import measure_api

__all__ = ["measure_api"]
