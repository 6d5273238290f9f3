"""From the insert to the handler's start: this worker by each of its sources, a bare loop, and installed peers."""

from bench.pickup.bare import bare_queue
from bench.pickup.measure import ROUNDS, measure_pickup, print_line

__all__ = ["ROUNDS", "bare_queue", "measure_pickup", "print_line"]
