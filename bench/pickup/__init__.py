"""From the insert to the handler's start: this worker by each of its sources, a bare loop, and installed peers."""
