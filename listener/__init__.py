"""The daemon: it claims session rows, runs their handlers and settles them; it knows nothing of GPUs."""

__version__ = "0.1.0"
