"""How native detectors run: each in a process of its own, without our secrets and without a network."""
