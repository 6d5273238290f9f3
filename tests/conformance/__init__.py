"""The embedded stack against recordings of the real servers: what conforms, what is refused, what differs, and why."""
